package cache

import (
	"container/heap"
	"iter"
	"time"
)

// ends is a heap of keys by the time when they end.
type ends[K comparable] []end[K]

type end[K comparable] struct {
	key   K
	until time.Time
}

func (e *ends[K]) push(key K, until time.Time) { heap.Push(e, end[K]{key, until}) }

// passed takes out the keys that have ended by now, the oldest first, but no
// more than one write may clear away.
func (e *ends[K]) passed(now time.Time) iter.Seq[K] {
	return func(yield func(K) bool) {
		for n := 0; n < purgeMost && len(*e) > 0 && !(*e)[0].until.After(now); n++ {
			if !yield(heap.Pop(e).(end[K]).key) {
				return
			}
		}
	}
}

func (e ends[K]) Len() int           { return len(e) }
func (e ends[K]) Less(i, j int) bool { return e[i].until.Before(e[j].until) }
func (e ends[K]) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends[K]) Push(x any)        { *e = append(*e, x.(end[K])) }
func (e *ends[K]) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}
