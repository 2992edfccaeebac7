// Package bindsim plays attackers against an owner for days, in a bubble of
// time (testing/synctest), and counts what they get.
package bindsim_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
	"ldapd/internal/policy"
	"ldapd/internal/verified"
	"ldapd/internal/verified/keyring"
)

const (
	base     = "dc=ldap,dc=example"
	uuid     = "6b1c5c4e-0000-4000-8000-000000000001"
	service  = "6b1c5c4e-0000-4000-8000-000000000002"
	password = "correct horse"
	userDN   = "cn=alice,ou=users," + base
)

var (
	nextcloud = netip.MustParseAddr("10.0.0.2")
	mailer    = netip.MustParseAddr("10.0.0.5")
)

// guessable separates the codes of attackers, which are below, from those of
// the owner's app, so that no guess is right by luck: what luck there is is
// computed.
const guessable = 500_000

// app is the owner's authenticator app, and the backend that knows its codes:
// the one of the moment and its neighbours are good, each once.
type app struct {
	seed uint64

	mu    sync.Mutex
	used  map[int64]bool
	asked int  // codes below guessable that were compared, with the right password
	wrong int  // wrong passwords
	lucky bool // a code that ends in 777 is right
	down  bool
}

func step(now time.Time) int64 { return now.Unix() / 30 }

func (a *app) code(step int64) string {
	r := rand.New(rand.NewPCG(a.seed, uint64(step)))
	return fmt.Sprintf("%06d", guessable+r.IntN(1_000_000-guessable))
}

// Stamps implements auth.Stamper.
func (a *app) Stamps(directory.Account) (string, string) { return "password 1", "factor 1" }

// Authenticate implements auth.Authenticator.
func (a *app) Authenticate(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
	if err := guard.Sleep(ctx, 50*time.Millisecond); err != nil {
		return auth.Granted{}, err
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.down:
		return auth.Granted{}, errors.New("authentik is down")
	case !at.Known || at.Password != password:
		a.wrong++
		return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}
	case at.Code == "" || at.Quiet:
		return auth.Granted{}, &auth.Denied{Reason: auth.CodeMissing, Password: auth.Right}
	}
	if string(at.Code) < fmt.Sprint(guessable) {
		a.asked++
		if a.lucky && strings.HasSuffix(string(at.Code), "777") {
			return auth.Granted{Source: auth.SourceFlow, Factor: auth.FactorTOTP}, nil
		}
	}
	for s := step(now) - 1; s <= step(now)+1; s++ {
		if a.code(s) != string(at.Code) {
			continue
		}
		if a.used[s] {
			return auth.Granted{}, &auth.Denied{Reason: auth.CodeUsed, Password: auth.Right}
		}
		a.used[s] = true
		return auth.Granted{Source: auth.SourceFlow, Factor: auth.FactorTOTP}, nil
	}
	return auth.Granted{}, &auth.Denied{Reason: auth.WrongCode, Password: auth.Right}
}

func (a *app) compared() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// people is a bind.Directory of one user.
type people struct{}

func (people) LoginName(dn ldap.DN) (string, bool) {
	if len(dn) == 0 || dn[0][0].Type != "cn" {
		return "", false
	}
	return dn[0][0].Value, true
}

func (people) AccountByName(name string) (directory.Account, bool) {
	if name != "alice" {
		return directory.Account{Base: base}, false
	}
	return directory.Account{UUID: uuid, Username: name, DN: userDN, Base: base, Active: true}, true
}

// store is one replica's view of what they share.
type store struct {
	*cache.Memory
	all *stores
}

type stores struct {
	mu      sync.Mutex
	watches map[*store]func(string)
	guesses map[[16]byte]map[[16]byte]time.Time
}

func (s *store) Update(ctx context.Context, key string, epoch uint64, change func([]byte) ([]byte, error)) error {
	err := s.Memory.Update(ctx, key, epoch, change)
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	for other, changed := range s.all.watches {
		if other != s {
			changed(key)
		}
	}
	return err
}

func (s *store) Watch(ctx context.Context, changed func(string)) error {
	s.all.mu.Lock()
	s.all.watches[s] = changed
	s.all.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (s *stores) Guess(_ context.Context, key, secret [16]byte, window time.Duration) (n int, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.within(key, window)
	if _, seen := of[secret]; !seen {
		of[secret], fresh = time.Now(), true
	}
	return len(of), fresh, nil
}

func (s *stores) Guessed(_ context.Context, key, secret [16]byte, window time.Duration) (n int, seen bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.within(key, window)
	_, seen = of[secret]
	return len(of), seen, nil
}

func (s *stores) Forgive(_ context.Context, key [16]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.guesses, key)
	return nil
}

func (s *stores) within(key [16]byte, window time.Duration) map[[16]byte]time.Time {
	of := s.guesses[key]
	if of == nil {
		of = make(map[[16]byte]time.Time)
		s.guesses[key] = of
	}
	for secret, at := range of {
		if time.Since(at) >= window {
			delete(of, secret)
		}
	}
	return of
}

// replica is one ldapd.
type replica struct {
	*bind.Pipeline
	logins *login.Tracker
}

// world is a backend and the replicas before it.
type world struct {
	*testing.T
	app      *app
	replicas []*replica
	conns    uint64 // given out
	mu       sync.Mutex
	stop     func()
}

func newWorld(t *testing.T, replicas int, named bool) *world {
	t.Helper()
	keys, err := keyring.Parse(strings.Repeat("0f", 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{T: t, app: &app{seed: 8, used: make(map[int64]bool)}}
	shared := &stores{watches: make(map[*store]func(string)), guesses: make(map[[16]byte]map[[16]byte]time.Time)}
	memory := cache.NewMemory(time.Now)
	var running sync.WaitGroup
	for range replicas {
		book, err := verified.Open(ctx, verified.Options{Store: &store{memory, shared}, Keys: keys, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { book.Run(ctx) })
		logins := login.New(time.Now)
		w.replicas = append(w.replicas, &replica{logins: logins, Pipeline: bind.New(bind.Options{
			Directory:     func(ldap.DN) (bind.Directory, error) { return people{}, nil },
			Authenticator: w.app,
			Book:          book, Logins: logins,
			CodeInPassword: true, Separator: ";",
			Rules: policy.Rules{
				Reprove: 12 * time.Hour, Access: time.Hour, StaleFor: 7 * 24 * time.Hour, MaxAge: 30 * 24 * time.Hour,
				Scope: policy.ScopeLogin, Remember: 30 * 24 * time.Hour, CodeInUsername: true,
			},
			Client: func(a netip.Addr) bind.Client {
				if named && a == nextcloud {
					return bind.Client{Name: "nextcloud"}
				}
				return bind.Client{}
			},
			Limits:  guard.Limits{FailuresPerUser: 10, FailuresPerAddress: 300},
			Tallies: memory, Guesses: shared, Key: []byte("shared"),
			Now: time.Now, Sleep: guard.Sleep,
		})})
	}
	w.stop = func() {
		for _, r := range w.replicas {
			r.Close()
		}
		cancel()
		running.Wait()
	}
	return w
}

// answers are the result codes that binds may get.
type answer int

const (
	granted     answer = 0
	denied      answer = 49
	noAccess    answer = 50
	busy        answer = 51
	unavailable answer = 52
	// undecided is 52 for a right password of which it cannot be determined
	// which login it belongs to: no code was compared.
	undecided answer = -52
)

func answerOf(err error) answer {
	var e *ldap.Error
	_, reason := bind.Classify(err)
	switch {
	case err == nil:
		return granted
	case reason == bind.Unpaired:
		return undecided
	case errors.As(err, &e):
		return answer(e.Code)
	}
	return -1
}

// bind is a bind of alice, with what stands behind her name.
func (w *world) bind(r *replica, from netip.Addr, behind, secret string) answer {
	_, err := r.Bind(w.Context(), bind.Request{DN: "cn=alice" + behind + ",ou=users," + base, Password: []byte(secret), Addr: from})
	return answerOf(err)
}

// conn returns a number for a connection.
func (w *world) conn() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns++
	return w.conns
}

// login is a login through Nextcloud: its service account searches for the name,
// on a connection of its own, and then the user binds on another one.
func (w *world) login(r *replica, code, secret string) answer {
	conn := w.conn()
	r.logins.Searched(conn, nextcloud, service, &login.Search{Name: "alice", Code: auth.Secret(code), Base: base, User: uuid}, nil)
	defer r.logins.Closed(conn)
	time.Sleep(2 * time.Millisecond) // of PHP
	return w.bind(r, nextcloud, "", secret)
}

// unlock opens a window on the page.
func (w *world) unlock(r *replica, from netip.Addr, code, secret string) answer {
	_, err := r.Unlock(w.Context(), bind.UnlockRequest{
		Directories: []bind.Directory{people{}}, Name: "alice", Password: auth.Secret(secret), Code: auth.Secret(code),
		Clients: []string{"nextcloud"}, Addr: from,
	})
	return answerOf(err)
}
