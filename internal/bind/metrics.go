package bind

import (
	"cmp"
	"errors"
	"ldapd/internal/auth"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxUndecided bounds the clients that Metrics tells apart.
const maxUndecided = 256

// Metrics count what happens around verified binds.
type Metrics struct {
	undecideds prometheus.Counter
	renewals   *prometheus.CounterVec
	sessions   *prometheus.CounterVec
	aways      prometheus.Counter
	guesses    prometheus.Counter

	mu      sync.Mutex
	clients map[string]Undecided
	moved   map[string]time.Time
}

// Undecided counts the binds of a client with a right password of which it
// could not be determined whether a code came with it.
type Undecided struct {
	Client string
	Count  int
	Last   time.Time
}

// NewMetrics returns metrics that are registered, unless reg is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		undecideds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ldapd_binds_undecided_total",
			Help: "Binds with a right password that were answered 52, since it could not be determined whether a proved code came with them. Set Nextcloud's ldapCacheTTL to 0."}),
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ldapd_verified_renewals_total",
			Help: "Questions to the backend whether a verified bind is still good, by outcome: granted, denied, failed."}, []string{"outcome"}),
		sessions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ldapd_verified_sessions_ended_total",
			Help: "Sessions at the backend that were ended as nobody needs them any more, by result: ok, failed."}, []string{"result"}),
		clients: make(map[string]Undecided),
		moved:   make(map[string]time.Time),
	}
	m.aways = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ldapd_binds_away_total",
		Help: "Binds with a right password and a wrong code that were answered 52, since the user's logins were proved at another client. Name the client, or let it search with the account that it had."})
	m.guesses = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ldapd_guesses_exhausted_total",
		Help: "Users whose password somebody has who tried as many codes as may be tried in a day."})
	if reg != nil {
		reg.MustRegister(m.undecideds, m.renewals, m.sessions, m.aways, m.guesses)
	}
	return m
}

func (m *Metrics) undecided(client string, now time.Time) {
	m.undecideds.Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.clients[client]
	if !ok && len(m.clients) >= maxUndecided {
		return
	}
	m.clients[client] = Undecided{Client: client, Count: u.Count + 1, Last: now}
}

func (m *Metrics) away(client string, now time.Time) {
	m.aways.Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.moved[client]; ok || len(m.moved) < maxUndecided {
		m.moved[client] = now
	}
}

// Away returns the clients at which logins fail that were proved at others, and
// when one did last.
func (m *Metrics) Away() map[string]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.moved)
}

func (m *Metrics) guessed() { m.guesses.Inc() }

// Undecided returns the clients with undecided binds, the latest first.
func (m *Metrics) Undecided() []Undecided {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Undecided
	for _, u := range m.clients {
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b Undecided) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Client, b.Client))
	})
	return all
}

func (m *Metrics) renewed(err error) {
	outcome := "granted"
	if denied := (*auth.Denied)(nil); errors.As(err, &denied) {
		outcome = "denied"
	} else if err != nil {
		outcome = "failed"
	}
	m.renewals.WithLabelValues(outcome).Inc()
}

func (m *Metrics) ended(err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.sessions.WithLabelValues(result).Inc()
}
