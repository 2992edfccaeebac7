package fair

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// hall is Places with who sits there, by name.
type hall struct {
	*testing.T
	*Places
	gone []string
	firm map[string]bool // yield to nobody
}

func newHall(t *testing.T, most, each int) *hall {
	return &hall{T: t, Places: NewPlaces(most, each), firm: map[string]bool{}}
}

func (h *hall) enter(network int, name string) *Place {
	h.Helper()
	pl, err := h.Enter(numbered(network), func() bool {
		if h.firm[name] {
			return false
		}
		h.gone = append(h.gone, name)
		return true
	})
	if err != nil {
		h.Fatalf("%s: %v", name, err)
	}
	return pl
}

func (h *hall) refused(network int, want error) {
	h.Helper()
	if _, err := h.Enter(numbered(network), func() bool { return true }); !errors.Is(err, want) {
		h.Errorf("one more of network %d: %v, want %v", network, err, want)
	}
}

func (h *hall) left(want ...string) {
	h.Helper()
	if len(h.gone) != len(want) {
		h.Fatalf("%q had to leave, want %q", h.gone, want)
	}
	for i := range want {
		if h.gone[i] != want[i] {
			h.Fatalf("%q had to leave, want %q", h.gone, want)
		}
	}
	h.gone = nil
}

func TestNewcomerGetsThePlaceOfWhoHasMost(t *testing.T) {
	h := newHall(t, 5, 5)
	h.enter(1, "a1")
	h.enter(2, "b1")
	h.enter(2, "b2")
	h.enter(2, "b3")
	h.enter(3, "c1").Hold()
	h.left()
	h.enter(4, "d1")
	h.left("b1")
	h.enter(2, "b4") // whoever has most takes from itself
	h.left("b2")
	h.enter(5, "e1")
	h.left("b3")
	h.enter(6, "f1") // all have one: who has had it longest
	h.left("a1")
}

func TestLoosePlacesGoFirst(t *testing.T) {
	h := newHall(t, 4, 4)
	h.enter(1, "a1").Hold()
	h.enter(1, "a2").Hold()
	bound := h.enter(1, "a3")
	bound.Hold()
	h.enter(2, "b1")
	h.enter(3, "c1")
	h.left("b1")
	bound.Loosen()
	h.enter(4, "d1")
	h.enter(5, "e1")
	h.left("c1", "a3")
}

func TestHeldPlacesGoToWhoHasFarFewer(t *testing.T) {
	h := newHall(t, 4, 4)
	for _, name := range []string{"a1", "a2", "a3"} {
		h.enter(1, name).Hold()
	}
	h.enter(2, "b1").Hold()
	h.refused(1, ErrFull)
	h.refused(2, ErrFull)
	h.firm["a1"] = true
	h.enter(3, "c1").Hold() // none, against three
	h.left("a2")
	h.refused(4, ErrFull) // two are not far more than none
	h.left()
}

func TestANetworkAtItsLimit(t *testing.T) {
	h := newHall(t, 10, 2)
	h.enter(1, "a1").Hold()
	h.enter(1, "a2")
	h.enter(1, "a3").Hold()
	h.left("a2")
	h.refused(1, ErrNetwork)
	h.enter(2, "b1")
	moved := h.enter(3, "c1")
	if err := moved.Move(numbered(2)); err != nil {
		t.Error(err)
	}
	if err := h.enter(4, "d1").Move(numbered(1)); !errors.Is(err, ErrNetwork) {
		t.Errorf("moved to a full network: %v", err)
	}
	h.left()
	h.enter(2, "b2")
	h.left("b1")
	for range 2 {
		moved.Leave()
	}
	h.enter(2, "b3")
	h.left()
}

// A random history, beside counts made the plain way.
func TestRankings(t *testing.T) {
	p := NewPlaces(60, 12)
	var open []*Place
	check := func() {
		t.Helper()
		var most, mostLoose, taken int
		for _, n := range p.networks {
			taken += n.places()
			most, mostLoose = max(most, n.places()), max(mostLoose, n.loose.Len())
			if n.places() == 0 {
				t.Fatal("a network without places is kept")
			}
		}
		if p.taken != taken || p.all.highest != most || p.loose.highest != mostLoose {
			t.Fatalf("%d taken, most %d, most loose %d; counted %d, %d, %d",
				p.taken, p.all.highest, p.loose.highest, taken, most, mostLoose)
		}
		if p.taken > p.most || most > p.each {
			t.Fatalf("%d taken, %d by one", p.taken, most)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		switch i := r.IntN(max(1, len(open))); {
		case len(open) == 0 || r.IntN(3) == 0:
			if pl, err := p.Enter(numbered(r.IntN(12)), func() bool { return r.IntN(2) == 0 }); err == nil {
				open = append(open, pl)
			}
		case r.IntN(3) == 0:
			open[i].Leave()
			open = append(open[:i], open[i+1:]...)
		case r.IntN(3) == 0:
			_ = open[i].Move(numbered(r.IntN(12)))
		case r.IntN(3) == 0:
			open[i].Loosen()
		default:
			open[i].Hold()
		}
		check()
	}
	for _, pl := range open {
		pl.Leave()
	}
	if check(); len(p.networks) != 0 {
		t.Errorf("%d networks are kept", len(p.networks))
	}
}
