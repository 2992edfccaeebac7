package recent

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMap compares a map with one that forgets nothing, and a list of when
// each key was put.
func TestMap(t *testing.T) {
	for _, most := range []int{2, 3, 8, 9} {
		rnd := rand.New(rand.NewPCG(uint64(most), 1))
		m := NewMap[int, int](most)
		all := map[int]int{}
		var order []int // the key put last is the last one
		for step := range 5000 {
			k := rnd.IntN(2 * most)
			if rnd.IntN(4) == 0 {
				m.Delete(k)
				delete(all, k)
			} else {
				m.Put(k, step)
				all[k] = step
				order = append(slices.DeleteFunc(order, func(o int) bool { return o == k }), k)
			}
			got := map[int]int{}
			m.All(func(k, v int) bool {
				got[k] = v
				return true
			})
			if len(got) != m.Len() || m.Len() > most {
				t.Fatalf("%d entries, and Len is %d, of %d at most", len(got), m.Len(), most)
			}
			for k := range 2 * most {
				v, ok := m.Get(k)
				if kept, listed := got[k]; ok != listed || v != kept {
					t.Fatalf("Get(%d) = %d, %v, but All lists %d, %v", k, v, ok, kept, listed)
				}
				if want, put := all[k]; ok && (!put || v != want) {
					t.Fatalf("Get(%d) = %d, want %d, %v", k, v, want, put)
				}
			}
			for _, k := range order[max(0, len(order)-most/2):] {
				_, want := all[k]
				if _, ok := m.Get(k); ok != want {
					t.Fatalf("%d is forgotten, though it was among the last %d", k, most/2)
				}
			}
		}
	}
}

// What is not put again is forgotten, if enough others come.
func TestMapForgets(t *testing.T) {
	m := NewMap[string, bool](4)
	m.Put("old", true)
	m.Put("kept", true)
	for _, k := range []string{"a", "b", "c"} {
		m.Put(k, true)
		m.Put("kept", true)
		m.Put("kept", true) // which takes no place
	}
	if _, ok := m.Get("old"); ok {
		t.Error("nothing was forgotten")
	}
	if _, ok := m.Get("kept"); !ok {
		t.Error("what is put all the time was forgotten")
	}
}

// Putting what is there takes no place of others.
func TestMapPutsAgain(t *testing.T) {
	m := NewMap[string, int](4)
	for i, k := range []string{"a", "b", "c", "d"} {
		m.Put(k, i)
	}
	for range 10 {
		m.Put("c", 7)
		m.Put("d", 8)
	}
	if m.Len() != 4 {
		t.Errorf("%d entries, want 4", m.Len())
	}
}

func TestMapEmpty(t *testing.T) {
	m := NewMap[int, int](4)
	m.Delete(1)
	if _, ok := m.Get(1); ok || m.Len() != 0 {
		t.Error("an empty map has something")
	}
	m.All(func(int, int) bool {
		t.Error("All called for an entry")
		return true
	})
}

func TestMapAllEnds(t *testing.T) {
	for _, n := range []int{2, 4} { // all young, and half of them old
		m := NewMap[int, int](4)
		for k := range n {
			m.Put(k, k)
		}
		got := map[int]int{}
		m.All(func(k, v int) bool {
			got[k] = v
			return false
		})
		if len(got) != 1 {
			t.Errorf("of %d: called for %v, want one", n, slices.Collect(maps.Keys(got)))
		}
	}
}
