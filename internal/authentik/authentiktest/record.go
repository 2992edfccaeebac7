package authentiktest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// keepRequests is how many of the latest requests are kept.
const keepRequests = 10_000

// Request is one request as it came, secrets included.
type Request struct {
	Endpoint Endpoint
	Method   string
	Path     string
	RawQuery string
	Header   http.Header
	Body     []byte
	ID       string // X-authentik-id of the answer
}

// Event is an entry of authentik's audit log.
type Event struct {
	Action      string // login, login_failed, logout, password_set, system_exception
	Username    string // as typed if no such user exists
	IP          string
	Stage       string // component of the stage, for login_failed
	DeviceClass string // for login_failed of an MFA device
	Outpost     bool   // whether the request came from a trusted outpost
}

// Counters count since New or ResetCounters.
type Counters struct {
	// Requests counts requests per endpoint, faulty ones included.
	Requests map[Endpoint]int
	// FlowsStarted and FlowsFinished count plans made and plans run to their
	// end, per flow slug. A restarted plan is not a new one.
	FlowsStarted, FlowsFinished map[string]int
	// Logins, LoginsFailed and Logouts count events.
	Logins, LoginsFailed, Logouts int
	// UserFlows and UserLogins count the flows that a user was identified in,
	// and login events, by username.
	UserFlows, UserLogins map[string]int
	// Messages counts texts and mails sent because an sms or email device was
	// chosen.
	Messages int
}

type recorder struct {
	recMu      sync.Mutex
	counters   Counters
	requests   []Request // a ring once full
	oldest     int
	complaints []string
	events     []Event
	reputation map[reputationKey]int
	change     chan struct{} // closed and replaced when anything happened
}

type reputationKey struct{ identifier, ip string }

// The tenant's default limits of a reputation score.
const reputationLimit = 5

func (r *recorder) init() {
	r.counters = newCounters()
	r.reputation = make(map[reputationKey]int)
	r.change = make(chan struct{})
}

func newCounters() Counters {
	return Counters{
		Requests:      make(map[Endpoint]int),
		FlowsStarted:  make(map[string]int),
		FlowsFinished: make(map[string]int),
		UserFlows:     make(map[string]int),
		UserLogins:    make(map[string]int),
	}
}

func (r *recorder) record(c *call) {
	q := Request{
		Endpoint: c.endpoint,
		Method:   c.r.Method,
		Path:     c.r.URL.Path,
		RawQuery: c.r.URL.RawQuery,
		Header:   c.r.Header.Clone(),
		Body:     c.body,
		ID:       c.id,
	}
	r.recMu.Lock()
	r.counters.Requests[c.endpoint]++
	if len(r.requests) < keepRequests {
		r.requests = append(r.requests, q)
	} else {
		r.requests[r.oldest] = q
		r.oldest = (r.oldest + 1) % keepRequests
	}
	r.wake()
	r.recMu.Unlock()
}

// Requests returns the latest requests, at most 10 000, oldest first.
func (r *recorder) Requests() []Request {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	return append(slices.Clone(r.requests[r.oldest:]), r.requests[:r.oldest]...)
}

// Counters returns a copy of the counters.
func (r *recorder) Counters() Counters {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	c := r.counters
	c.Requests = maps.Clone(c.Requests)
	c.FlowsStarted = maps.Clone(c.FlowsStarted)
	c.FlowsFinished = maps.Clone(c.FlowsFinished)
	c.UserFlows = maps.Clone(c.UserFlows)
	c.UserLogins = maps.Clone(c.UserLogins)
	return c
}

// ResetCounters forgets counters, requests, events and complaints, but not
// reputation.
func (r *recorder) ResetCounters() {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	r.counters = newCounters()
	r.requests, r.oldest, r.events, r.complaints = nil, 0, nil, nil
}

// Events returns the audit log, oldest first.
func (r *recorder) Events() []Event {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	return slices.Clone(r.events)
}

// Reputation returns the score of a typed user name and a client address.
func (r *recorder) Reputation(identifier, ip string) int {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	return r.reputation[reputationKey{identifier, ip}]
}

// Complaints returns what clients did that authentik tolerates, or answers
// misleadingly, and that a careful client must not do: a bearer token where it
// would replace the user, missing outpost headers, an encoding of query that
// authentik does not repeat, an answer to another component than was asked.
func (r *recorder) Complaints() []string {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	return slices.Clone(r.complaints)
}

func (r *recorder) complain(format string, args ...any) {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	r.complaints = append(r.complaints, fmt.Sprintf(format, args...))
	r.wake()
}

// count changes counters.
func (r *recorder) count(f func(*Counters)) {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	f(&r.counters)
}

func (r *recorder) event(e Event) {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	r.events = append(r.events, e)
	switch e.Action {
	case "login":
		r.counters.Logins++
		r.counters.UserLogins[e.Username]++
	case "login_failed":
		r.counters.LoginsFailed++
	case "logout":
		r.counters.Logouts++
	}
}

// score changes a reputation within the tenant's limits.
func (r *recorder) score(identifier, ip string, by int) {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	k := reputationKey{identifier, ip}
	r.reputation[k] = min(max(r.reputation[k]+by, -reputationLimit), reputationLimit)
}

// userScore sums the scores of a name over all addresses.
func (r *recorder) userScore(identifier string) int {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	sum := 0
	for k, n := range r.reputation {
		if k.identifier == identifier {
			sum += n
		}
	}
	return sum
}

// changed wakes every Wait.
func (r *recorder) changed() {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	r.wake()
}

// wake is changed for holders of the lock.
func (r *recorder) wake() {
	close(r.change)
	r.change = make(chan struct{})
}

// Wait blocks until cond holds or ctx ends. The condition is looked at whenever
// a request arrived or was answered, or a websocket came, went or spoke.
func (r *recorder) Wait(ctx context.Context, cond func() bool) error {
	for {
		r.recMu.Lock()
		change := r.change
		r.recMu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stamp renders a time as authentik does, or null.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	layout := "2006-01-02T15:04:05.000000Z"
	if u.Nanosecond()/1000 == 0 {
		layout = "2006-01-02T15:04:05Z"
	}
	text := u.Format(layout)
	return &text
}
