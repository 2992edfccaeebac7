package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ldapd/test/slapdtest"
)

// cell is what was measured of one operation with one server.
type cell struct {
	ops, entries int
	cpu          time.Duration // of the server
	took         []time.Duration
}

func (c *cell) add(other cell) {
	c.ops += other.ops
	c.entries += other.entries
	c.cpu += other.cpu
	c.took = append(c.took, other.took...)
}

func (c cell) entriesEach() float64 { return float64(c.entries) / float64(max(c.ops, 1)) }

// cpuEach returns microseconds.
func (c cell) cpuEach() float64 { return float64(c.cpu.Microseconds()) / float64(max(c.ops, 1)) }

// waited returns how long so many of a hundred operations took at most, in
// microseconds.
func (c cell) waited(percent int) float64 {
	if len(c.took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(c.took))
	return float64(sorted[(len(sorted)-1)*percent/100].Microseconds())
}

// fewConns is how many connections do long operations.
const fewConns = 2

// measure has clients do an operation for some time, each at least once.
func measure(ctx context.Context, t *target, op operation, conns int, during time.Duration) (cell, error) {
	if op.few {
		conns = min(conns, fewConns)
	}
	sessions := make([]*session, conns)
	for i := range sessions {
		s, err := newSession(t, op, uint64(i))
		if err != nil {
			return cell{}, err
		}
		defer s.conn.hangUp()
		sessions[i] = s
	}
	before, err := slapdtest.CPU(t.pid)
	if err != nil {
		return cell{}, err
	}
	var mu sync.Mutex
	var sum cell
	g, ctx := errgroup.WithContext(ctx)
	end := time.Now().Add(during)
	for _, s := range sessions {
		g.Go(func() error {
			var c cell
			for began := time.Now(); c.ops == 0 || began.Before(end); {
				n, err := op.do(s)
				if err != nil {
					return err
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				c.ops++
				c.entries += n
				now := time.Now()
				c.took = append(c.took, now.Sub(began))
				began = now
			}
			mu.Lock()
			defer mu.Unlock()
			sum.add(c)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return cell{}, err
	}
	after, err := slapdtest.CPU(t.pid)
	if err != nil {
		return cell{}, err
	}
	sum.cpu = after - before
	return sum, nil
}

// newSession returns a session whose requests are drawn by a seed.
func newSession(t *target, op operation, seed uint64) (*session, error) {
	s := &session{Rand: rand.New(rand.NewPCG(3, seed)), number: int(seed), addr: t.addr}
	if !op.kept {
		return s, nil
	}
	var err error
	if s.conn, err = dial(t.addr); err != nil {
		return nil, err
	}
	if _, _, err := s.conn.exchange(bindRequest(userDN(service))); err != nil {
		s.conn.hangUp()
		return nil, err
	}
	return s, nil
}

// probes is how many requests all servers must answer with the same number of
// entries before they are measured.
const probes = 5

// probe does an operation a few times, the same with every server.
func probe(t *target, op operation) (entries int, err error) {
	s, err := newSession(t, op, 1<<32)
	if err != nil {
		return 0, err
	}
	defer s.conn.hangUp()
	for range probes {
		n, err := op.do(s)
		if err != nil {
			return 0, err
		}
		if entries += n; op.few {
			break
		}
	}
	return entries, nil
}

// warm binds everybody who will, so that their passwords are in the memory of
// a server that has one.
func warm(t *target, requests [][]byte) error {
	c, err := dial(t.addr)
	if err != nil {
		return err
	}
	for _, req := range requests {
		if _, _, err := c.exchange(req); err != nil {
			return errors.Join(fmt.Errorf("%s: bind: %w", t.name, err), c.close())
		}
	}
	return c.close()
}
