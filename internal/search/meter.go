package search

import (
	"math"
	"time"

	"ldapd/internal/ldap"
)

// meter counts the work of one search, in octets looked at or what takes about
// as long. Every loop of a search tells it, whatever it is about, so that none
// goes on long after the search is out of time, or is not wanted any more. The
// zero meter lets anything be spent, by what has a bound of its own.
type meter struct {
	spent int
	next  int   // how much is spent when to look at the clock again
	err   error // why the search is over; then nothing more may be spent

	limit    int       // of work; 0: none
	deadline time.Time // zero: none
	now      func() time.Time
	w        Writer
	slow     bool // w knows that the search is slow
}

const (
	// lookEvery is how much work there is between two looks at the clock:
	// about a tenth of a millisecond.
	lookEvery = 1 << 16
	// slowWork is how much makes a search worth a goroutine of its own.
	slowWork = 1 << 20
	// outsideLimit bounds the work of a search outside of the trees, which is
	// for anybody: a few milliseconds. To look through all of the built-in
	// subschema takes a few thousandths of it.
	outsideLimit = 1 << 23

	// What there is to do besides looking at octets.
	nodeCost  = 32 // for each term of the filter
	entryCost = 64 // for each candidate
	valueCost = 32 // for each value
	idCost    = 8  // for each ID that an index gives
)

var errCostly = ldap.Errorf(ldap.ResultAdminLimitExceeded, "the filter takes too much work")

// start begins to count for a search that may take a time, 0 for any.
func (m *meter) start(w Writer, now func() time.Time, limit time.Duration) {
	*m = meter{next: lookEvery, now: now, w: w}
	if limit > 0 {
		m.deadline = now().Add(limit)
	}
}

// spend counts work before it is done, and says whether to do it.
func (m *meter) spend(work int) bool {
	m.spent += work
	return m.spent < m.next || m.look()
}

func (m *meter) look() bool {
	switch {
	case m.err != nil:
		return false
	case m.w == nil:
		return true
	case m.limit > 0 && m.spent > m.limit:
		m.err = errCostly
	case !m.deadline.IsZero() && m.now().After(m.deadline):
		m.err = errTime
	default:
		m.err = m.w.Err()
	}
	if m.err != nil {
		m.fail(m.err)
		return false
	}
	if m.spent >= slowWork && !m.slow {
		m.slow = true
		m.w.Slow()
	}
	m.next = m.spent + lookEvery
	return true
}

// fail ends the search.
func (m *meter) fail(err error) { m.err, m.next = err, math.MinInt }
