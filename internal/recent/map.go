// Package recent keeps what is of use for a while, and never too much of it.
package recent

// Map is a map of at most max entries that forgets those put least recently:
// when the young ones are half of the most there may be, the old ones go, and
// the young ones are old. It is not safe for concurrent use.
type Map[K comparable, V any] struct {
	max        int
	young, old map[K]V
}

// NewMap returns an empty map for at most max entries, 2 or more.
func NewMap[K comparable, V any](max int) Map[K, V] { return Map[K, V]{max: max} }

// Get returns the value of a key.
func (m *Map[K, V]) Get(k K) (V, bool) {
	v, ok := m.young[k]
	if !ok {
		v, ok = m.old[k]
	}
	return v, ok
}

// Put sets the value of a key, which is young by that.
func (m *Map[K, V]) Put(k K, v V) {
	if _, ok := m.young[k]; !ok && (m.young == nil || len(m.young) >= m.max/2) {
		m.young, m.old = make(map[K]V), m.young
	}
	m.young[k] = v
	delete(m.old, k)
}

// Delete forgets a key.
func (m *Map[K, V]) Delete(k K) {
	delete(m.young, k)
	delete(m.old, k)
}

// Len returns how many entries there are.
func (m *Map[K, V]) Len() int { return len(m.young) + len(m.old) }

// All calls f for each entry, in no order, until it returns false.
func (m *Map[K, V]) All(f func(K, V) bool) {
	for _, part := range []map[K]V{m.young, m.old} {
		for k, v := range part {
			if !f(k, v) {
				return
			}
		}
	}
}
