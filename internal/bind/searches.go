package bind

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

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
	book  *verified.Book
	now   func() time.Time
	key   key
	group singleflight.Group

	mu         sync.Mutex
	young, old map[digest]search
}

// search is one that was made.
type search struct {
	at    time.Time
	found *verified.Credential
	epoch uint64
	err   error // the store could not be asked
}

// of looks for the credential of a password, whatever it costs. The error is
// that of the context; whether the store could be asked stands in the result.
func (s *searches) of(ctx context.Context, subject string, k verified.User, password Secret, from netip.Addr) (search, error) {
	id := s.id(subject, k, password)
	if c, _ := s.book.Find(k, password); c == nil {
		if r, ok := s.vain(id); ok {
			return r, nil
		}
	}
	done := s.group.DoChan(string(id[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), searchTime)
		defer cancel()
		r := search{at: s.now()}
		r.found, r.epoch, r.err = s.book.Search(ctx, k, password, from)
		if r.found == nil && r.err == nil {
			s.add(id, r)
		}
		return r, nil
	})
	select {
	case r := <-done:
		return r.Val.(search), nil
	case <-ctx.Done():
		return search{}, fmt.Errorf("look for a verified bind: %w", ctx.Err())
	}
}

func (s *searches) vain(id digest) (search, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.young[id]
	if !ok {
		r, ok = s.old[id]
	}
	age := s.now().Sub(r.at)
	return r, ok && 0 <= age && age < vainFor
}

// forget is for a password that turned out right: it may be learned elsewhere
// at any time, and revoked before that.
func (s *searches) forget(subject string, k verified.User, password Secret) {
	id := s.id(subject, k, password)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.young, id)
	delete(s.old, id)
}

func (s *searches) id(subject string, k verified.User, password Secret) digest {
	return s.key.digest("search", subject, k.Base, string(password))
}

// add remembers; when the young are half of all that may be kept, the old go.
func (s *searches) add(id digest, r search) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= maxVain/2 {
		s.young, s.old = make(map[digest]search), s.young
	}
	s.young[id] = r
}
