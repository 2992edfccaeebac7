package bind

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/recent"
	"ldapd/internal/verified"
)

const (
	// searchTime bounds a search that several binds wait for.
	searchTime = 30 * time.Second
	// vainFor is how long a password that was searched in vain is not searched
	// again: clients repeat a wrong one at once, and each search costs a slow
	// hash. It is short, since another replica may learn the password.
	vainFor = 3 * time.Second
	// maxVain bounds what is remembered: about 2 MiB.
	maxVain = 1 << 14
)

// searches are those for verified binds. Identical ones are one.
type searches struct {
	book *verified.Book
	now  func() time.Time
	key  guard.Key

	flights *guard.Flights[search]

	mu  sync.Mutex
	all recent.Map[guard.Digest, search] // in vain
}

func newSearches(book *verified.Book, now func() time.Time) *searches {
	return &searches{book: book, now: now, key: guard.NewKey(), flights: guard.NewFlights[search](), all: recent.NewMap[guard.Digest, search](maxVain)}
}

// search is one that was made.
type search struct {
	at    time.Time
	found *verified.Credential
	epoch uint64
	err   error // the store could not be asked
}

// of looks for the credential of a password, whatever it costs, for who asks
// from an address. The error is that of the context; whether the store could be
// asked stands in the result.
func (s *searches) of(ctx context.Context, subject string, k verified.User, password auth.Secret, from netip.Addr) (search, error) {
	id := s.id(subject, k, password)
	if c, _ := s.book.Find(k, password); c == nil {
		if r, ok := s.vain(id); ok {
			return r, nil
		}
	}
	r, _, err := s.flights.Do(ctx, id, func(ctx context.Context) (search, error) {
		ctx, cancel := context.WithTimeout(ctx, searchTime)
		defer cancel()
		r := search{at: s.now()}
		r.found, r.epoch, r.err = s.book.Search(ctx, k, password, from)
		if r.found == nil && r.err == nil {
			s.add(id, r)
		}
		return r, nil
	})
	if err != nil {
		return search{}, fmt.Errorf("look for a verified bind: %w", err)
	}
	return r, nil
}

func (s *searches) vain(id guard.Digest) (search, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.all.Get(id)
	age := s.now().Sub(r.at)
	return r, ok && 0 <= age && age < vainFor
}

// forget is for a password that is right, or that nobody said to be wrong: it may
// be learned elsewhere at any time, and revoked before that.
func (s *searches) forget(subject string, k verified.User, password auth.Secret) {
	id := s.id(subject, k, password)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Delete(id)
}

func (s *searches) id(subject string, k verified.User, password auth.Secret) guard.Digest {
	return s.key.Digest("search", subject, k.Base, string(password))
}

func (s *searches) add(id guard.Digest, r search) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Put(id, r)
}
