package fair

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
)

// Why there is no place.
var (
	ErrFull    = errors.New("too many connections")
	ErrNetwork = errors.New("too many connections from this address")
)

// Places are those of connections. A place is loose until it is held, which is
// for a connection that has proved something. When all places are taken, a
// newcomer gets that of the longest waiting loose one of the network that has
// most of them.
type Places struct {
	most, each int // in all, and of one network

	mu       sync.Mutex
	taken    int
	networks map[netip.Prefix]*network // those with places
	loose    ranking                   // by loose places
	all      ranking                   // by places
}

// NewPlaces returns so many places in all, of which a network gets at most each.
func NewPlaces(most, each int) *Places {
	return &Places{most: most, each: each, networks: make(map[netip.Prefix]*network)}
}

// Place is one that is taken.
type Place struct {
	places  *Places
	yield   func() bool
	network *network      // nil: given up
	at      *list.Element // in a list of the network
	held    bool
}

type network struct {
	prefix      netip.Prefix
	loose, held list.List // of *Place, first those that have been in it longest
	byLoose     rank
	byAll       rank
}

func (n *network) places() int { return n.loose.Len() + n.held.Len() }

// Enter takes a place, a loose one, or says by ErrFull or ErrNetwork why there
// is none. Once the place is wanted for somebody else, yield is called, which
// ends the connection and reports true, or false if that cannot be spared now.
// It must not wait, nor call the Places.
func (p *Places) Enter(from netip.Prefix, yield func() bool) (*Place, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.of(from)
	if err := p.makeRoom(n); err != nil {
		return nil, err
	}
	pl := &Place{places: p, yield: yield}
	p.add(pl, n)
	return pl, nil
}

// Move counts the place for another network, when it turns out whose it is. If
// that has too many, the place is given up and the error ErrNetwork.
func (pl *Place) Move(to netip.Prefix) error {
	p := pl.places
	p.mu.Lock()
	defer p.mu.Unlock()
	if pl.network == nil || pl.network.prefix == to {
		return nil
	}
	p.remove(pl)
	n := p.of(to)
	if err := p.makeRoom(n); err != nil {
		return err
	}
	p.add(pl, n)
	return nil
}

// Hold makes a loose place a held one. A held one is asked for only when there
// is no loose one, by a newcomer whose network has less than half as many.
func (pl *Place) Hold() { pl.set(true) }

// Loosen makes a held place a loose one.
func (pl *Place) Loosen() { pl.set(false) }

func (pl *Place) set(held bool) {
	p := pl.places
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := pl.network; n != nil && pl.held != held {
		pl.list().Remove(pl.at)
		pl.held = held
		pl.at = pl.list().PushBack(pl)
		p.rank(n)
	}
}

// Leave gives up the place, once or more often.
func (pl *Place) Leave() {
	p := pl.places
	p.mu.Lock()
	defer p.mu.Unlock()
	if pl.network != nil {
		p.remove(pl)
	}
}

func (pl *Place) list() *list.List {
	if pl.held {
		return &pl.network.held
	}
	return &pl.network.loose
}

// of returns the network, which may have no places yet.
func (p *Places) of(prefix netip.Prefix) *network {
	if n := p.networks[prefix]; n != nil {
		return n
	}
	return &network{prefix: prefix}
}

// makeRoom finds a place for one more of a network.
func (p *Places) makeRoom(n *network) error {
	if n.places() >= p.each && !p.takeFrom(&n.loose) {
		return ErrNetwork
	}
	if p.taken < p.most {
		return nil
	}
	if top := p.loose.top(); top != nil && p.takeFrom(&top.loose) {
		return nil
	}
	if top := p.all.top(); top != nil && top.places() > 2*(n.places()+1) && p.takeFrom(&top.held) {
		return nil
	}
	return ErrFull
}

// asked is how many places may be asked for to get one.
const asked = 16

func (p *Places) takeFrom(l *list.List) bool {
	for range min(asked, l.Len()) {
		first := l.Front()
		pl := first.Value.(*Place)
		if pl.yield() {
			p.remove(pl)
			return true
		}
		l.MoveToBack(first)
	}
	return false
}

func (p *Places) add(pl *Place, n *network) {
	pl.network = n
	pl.at = pl.list().PushBack(pl)
	p.networks[n.prefix] = n
	p.taken++
	p.rank(n)
}

func (p *Places) remove(pl *Place) {
	n := pl.network
	pl.list().Remove(pl.at)
	pl.network = nil
	p.taken--
	p.rank(n)
	if n.places() == 0 {
		delete(p.networks, n.prefix)
	}
}

func (p *Places) rank(n *network) {
	p.loose.set(n, &n.byLoose, n.loose.Len())
	p.all.set(n, &n.byAll, n.places())
}

// ranking finds the network that has most. As what a network has changes by
// one, that takes no search.
type ranking struct {
	levels  []*list.List // of *network, by how much they have, which is not 0
	highest int          // level that is not empty, or 0
}

// rank is where a network stands in a ranking.
type rank struct {
	level int
	at    *list.Element // nil at level 0
}

func (r *ranking) set(n *network, k *rank, level int) {
	if level == k.level {
		return
	}
	if k.at != nil {
		r.levels[k.level].Remove(k.at)
		k.at = nil
	}
	k.level = level
	for len(r.levels) <= level {
		r.levels = append(r.levels, list.New())
	}
	if level > 0 {
		k.at = r.levels[level].PushBack(n)
		r.highest = max(r.highest, level)
	}
	for r.highest > 0 && r.levels[r.highest].Len() == 0 {
		r.highest--
	}
}

// top returns the network that has most, of several the one that has had so
// many for longest; nil if none has any.
func (r *ranking) top() *network {
	if r.highest == 0 {
		return nil
	}
	return r.levels[r.highest].Front().Value.(*network)
}
