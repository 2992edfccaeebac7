package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ldapd/internal/postgrestest"
	"ldapd/test/slapdtest"
)

// verifiers is how many users bind with their password, how many with a code,
// and how many with a code at a replica.
const verifiers = 32

// stage is where verified binds are measured: slapd, and ldapd before an
// authentik, alone with its file and as two replicas with a PostgreSQL.
type stage struct {
	o      options
	out    io.Writer
	dir    string
	binary string

	binds  [][]byte             // of users without a second factor
	coded  map[*target][]string // names of users with one, by the server that sees the code
	logins map[*target][]login  // of them; slapd has all, without codes

	fake       *fake
	postgres   *postgrestest.Server
	slapd      *target
	alone      *target
	one, other *target // the replicas
}

// login is what Nextcloud sends for one.
type login struct{ search, bind []byte }

// verifiedLines are the names of what is measured, in order.
var verifiedLines = []struct {
	name string
	do   func(s *stage, ctx context.Context, name string) error
}{
	{"first bind of all: a flow", (*stage).flows},
	{"verified bind, kept connection", (*stage).kept},
	{"verified bind, connect and unbind", (*stage).connect},
	{"verified login with a code", (*stage).codes},
	{"verified bind, after a restart", (*stage).restart},
	{"verified bind, at the other replica", (*stage).replica},
	{"verified bind, PostgreSQL stopped", (*stage).outage},
}

// wantsVerified says whether there is a line to measure.
func wantsVerified(only string) bool {
	for _, l := range verifiedLines {
		if strings.Contains(l.name, only) {
			return true
		}
	}
	return false
}

const verifiedNotes = `
Verified binds: %d users, of whom %d bind with a password and as many with a code; %d connections.
Processor time of the server and time that the client waited, for each operation. Behind ldapd is an
authentik whose flows cost it next to nothing, and the network to it nothing: a real one's take
tenths of a second. "first" binds come one after the other. slapd's are plain binds, without a code.

%-36s %-16s %9s %9s %9s   slapd/ldapd
`

// runVerified measures verified binds.
func runVerified(ctx context.Context, o options, dir string, n int, out io.Writer) (err error) {
	if !wantsVerified(o.only) {
		return nil
	}
	dir = filepath.Join(dir, "verified")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	d, err := newDirectory(filepath.Join(dir, "users.yaml"), n)
	if err != nil {
		return err
	}
	binders := min(verifiers, len(d.users)/3)
	s := &stage{o: o, out: out, dir: dir, binary: o.ldapd}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx, d, binders); err != nil {
		return err
	}
	fmt.Fprintf(out, verifiedNotes, n, binders, o.conns, "", "", "µs", "p50", "p99")
	for i, l := range verifiedLines {
		if i > 0 && !strings.Contains(l.name, o.only) {
			continue // the first makes what the others find
		}
		if err := l.do(s, ctx, l.name); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

const sealingKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func (s *stage) start(ctx context.Context, d *dir, binders int) (err error) {
	if s.fake, err = newFake(d, d.users[binders:3*binders]); err != nil {
		return err
	}
	if s.postgres, err = postgrestest.New(ctx); err != nil {
		return err
	}
	database, err := s.postgres.NewDatabase(ctx)
	if err != nil {
		return err
	}
	if s.slapd, err = startSlapd(ctx, d); err != nil {
		return err
	}
	shared := []string{"LDAPD_CACHE_STORE=postgres", "LDAPD_CACHE_DSN=" + s.postgres.DSN(database), "LDAPD_CACHE_KEY=" + sealingKey}
	for _, t := range []struct {
		to   **target
		name string
		env  []string
	}{{&s.alone, "ldapd", nil}, {&s.one, "PostgreSQL", shared}, {&s.other, "other replica", shared}} {
		env := append([]string{"AUTHENTIK_HOST=" + s.fake.URL, "AUTHENTIK_TOKEN=" + s.fake.Token}, t.env...)
		if *t.to, err = serveLdapd(ctx, t.name, s.binary, s.dir, "warn", env...); err != nil {
			return err
		}
		if err := serving(*t.to); err != nil {
			return err
		}
	}
	s.binds = bindRequests(d.users[:binders])
	s.logins = map[*target][]login{}
	s.coded = map[*target][]string{s.alone: d.users[binders : 2*binders], s.one: d.users[2*binders : 3*binders]}
	return nil
}

// loginFilter is Nextcloud's. authentik's uid is no name.
func loginFilter(user, code string) string {
	return "(&(objectClass=inetOrgPerson)(|(cn=" + user + code + ")(mail=" + user + code + ")))"
}

// serving waits until ldapd has read the directory, before which it answers 52.
func serving(t *target) error {
	for end := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := warm(t, [][]byte{bindRequest(userDN(service))})
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

func (s *stage) stop() (err error) {
	for _, t := range []*target{s.alone, s.one, s.other, s.slapd} {
		if t != nil {
			err = errors.Join(err, t.stop())
		}
	}
	if s.postgres != nil {
		err = errors.Join(err, s.postgres.Close())
	}
	if s.fake != nil {
		s.fake.close()
	}
	return err
}

// flows has everybody bind for the first time, and log in with a code.
func (s *stage) flows(ctx context.Context, name string) error {
	wanted := strings.Contains(name, s.o.only)
	for _, t := range []*target{s.alone, s.one} {
		c, err := first(t, s.binds)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		if wanted {
			s.print(name, t.name, c, cell{})
			name = ""
		}
		for _, u := range s.coded[t] {
			l := login{mustSearch(loginFilter(u, ";"+s.fake.Code(u))), bindRequest(userDN(u))} // the code is good for half a minute
			s.logins[t] = append(s.logins[t], l)
			s.logins[s.slapd] = append(s.logins[s.slapd], login{mustSearch(loginFilter(u, "")), l.bind})
			if _, err := (&session{addr: t.addr}).login(bindRequest(userDN(service)), l.search, l.bind); err != nil {
				return fmt.Errorf("%s: login with a code: %w", t.name, err)
			}
		}
	}
	return nil
}

func (s *stage) kept(ctx context.Context, name string) error {
	return s.compare(ctx, name, operation{kept: true, do: one(s.binds)}, s.slapd, s.alone, s.one)
}

func (s *stage) connect(ctx context.Context, name string) error {
	return s.compare(ctx, name, s.connecting(s.binds), s.slapd, s.alone, s.one)
}

func (s *stage) connecting(binds [][]byte) operation {
	return operation{do: func(c *session) (int, error) { return 0, c.connected(pick(c, binds)) }}
}

// codes is Nextcloud's login and each validation of it. Each connection has
// users of its own: what one user does at the same time twice is another
// matter.
func (s *stage) codes(ctx context.Context, name string) error {
	bindService := bindRequest(userDN(service))
	return s.compareEach(ctx, name, []*target{s.slapd, s.alone, s.one}, func(t *target) operation {
		all := s.logins[t]
		return operation{do: func(c *session) (int, error) {
			l := all[c.number%len(all)]
			return c.login(bindService, l.search, l.bind)
		}}
	})
}

// restart ends ldapd and starts it over the same state.
func (s *stage) restart(ctx context.Context, name string) error {
	for _, t := range []**target{&s.alone, &s.one} {
		if err := (*t).restart(ctx, t); err != nil {
			return err
		}
		if err := serving(*t); err != nil {
			return err
		}
		c, err := first(*t, s.binds)
		if err != nil {
			return err
		}
		s.print(name, (*t).name+", first", c, cell{})
		name = ""
	}
	return s.compare(ctx, "", s.connecting(s.binds), s.slapd, s.alone, s.one)
}

// replica binds where nobody has bound. Half of the users are left for the
// outage.
func (s *stage) replica(ctx context.Context, name string) error {
	binds := s.binds[:len(s.binds)/2]
	c, err := first(s.other, binds)
	if err != nil {
		return err
	}
	s.print(name, "first", c, cell{})
	return s.compare(ctx, "", s.connecting(binds), s.slapd, s.other)
}

// outage stops PostgreSQL.
func (s *stage) outage(ctx context.Context, name string) error {
	if err := s.postgres.Stop(); err != nil {
		return err
	}
	c, err := first(s.other, s.binds[len(s.binds)/2:])
	if err != nil {
		return err
	}
	s.print(name, "replica, first", c, cell{})
	return s.compare(ctx, "", s.connecting(s.binds), s.slapd, s.one)
}

// first binds each once, one after the other, each over a connection of its
// own.
func first(t *target, binds [][]byte) (cell, error) {
	before, err := slapdtest.CPU(t.pid)
	if err != nil {
		return cell{}, err
	}
	var c cell
	s := &session{addr: t.addr}
	for _, b := range binds {
		began := time.Now()
		if err := s.connected(b); err != nil {
			return cell{}, err
		}
		c.ops++
		c.took = append(c.took, time.Since(began))
	}
	after, err := slapdtest.CPU(t.pid)
	c.cpu = after - before
	return c, err
}

// compare measures an operation with some servers in turn, the first of which
// the others are set beside.
func (s *stage) compare(ctx context.Context, name string, op operation, targets ...*target) error {
	return s.compareEach(ctx, name, targets, func(*target) operation { return op })
}

func (s *stage) compareEach(ctx context.Context, name string, targets []*target, op func(*target) operation) error {
	cells := make([]cell, len(targets))
	for range rounds {
		for i, t := range targets {
			c, err := measure(ctx, t, op(t), s.o.conns, s.o.time/rounds)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			cells[i].add(c)
		}
	}
	for i, t := range targets {
		beside := cells[0]
		if i == 0 {
			beside = cell{}
		}
		s.print(name, t.name, cells[i], beside)
		name = ""
	}
	return nil
}

// print prints a line.
func (s *stage) print(name, server string, c, beside cell) {
	fmt.Fprintf(s.out, "%-36s %-16s %9s %9s %9s   %*s\n", name, server,
		figure(c.cpuEach()), figure(c.waited(50)), figure(c.waited(99)), len("slapd/ldapd"), ratio(beside, c))
}
