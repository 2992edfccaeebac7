package fair

import (
	"net/netip"
	"sync"
)

// Budget is an amount of which a network may have as much as it leaves to the
// others: a single one gets half of it, and however many take what they can,
// the next one gets as much as each of them.
type Budget struct {
	most int

	mu    sync.Mutex
	taken int
	of    map[netip.Prefix]int // what networks have, none of them nothing
}

// NewBudget returns a budget of which nothing is taken.
func NewBudget(most int) *Budget {
	return &Budget{most: most, of: make(map[netip.Prefix]int)}
}

// Take takes n for a network, all of it or, reporting false, nothing.
func (b *Budget) Take(network netip.Prefix, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of[network]+n > b.most-b.taken-n {
		return false
	}
	b.change(network, n)
	return true
}

// Overdraw takes n for a network whether there is so much left or not.
func (b *Budget) Overdraw(network netip.Prefix, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change(network, n)
}

// Give gives back n that a network took.
func (b *Budget) Give(network netip.Prefix, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change(network, -n)
}

func (b *Budget) change(network netip.Prefix, n int) {
	b.taken += n
	if b.of[network] += n; b.of[network] == 0 {
		delete(b.of, network)
	}
}
