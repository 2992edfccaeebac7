package authentiktest

import (
	"slices"
	"sync"
)

// orders keeps the rows of a table in the orders that were asked for.
type orders[T any] struct {
	mu sync.Mutex
	by map[string][]*T // by the parameter ordering; nil after a change
}

// sorted returns the rows in an order, of which compare knows the meaning.
func (o *orders[T]) sorted(param string, rows []*T, compare func(param string) func(a, b *T) int) []*T {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known := o.by[param]; known != nil {
		return known
	}
	rows = slices.Clone(rows)
	slices.SortFunc(rows, compare(param))
	if o.by == nil {
		o.by = make(map[string][]*T)
	}
	o.by[param] = rows
	return rows
}
