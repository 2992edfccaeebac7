package bind_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/bind"
	"ldapd/internal/cache"
)

// TestForgive: after a day's wrong codes the owner is out at her home, until an
// administrator forgives them, in the store too.
func TestForgive(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	h := newHouse(t, func(o *bind.Options) {
		o.Log = zap.New(core)
		o.Guesses, o.Key = cache.NewMemory(o.Now), []byte("key")
	})
	h.want("she", h.login("alice;111111", "secret"), byCode)
	for day := range 2 {
		before := logs.Len()
		for i := range 20 {
			h.login(fmt.Sprint("alice;", 500000+100*day+i), "secret")
		}
		h.want("she, beyond the limit", h.login("alice;111111", "secret"), codeLimit)
		if all := h.Guessed(); len(all) != 1 || all[0].Name != "alice" || all[0].Codes != 10 || !all[0].Closed ||
			len(all[0].Homes) != 1 || all[0].Homes[0] != "search uuid of service" {
			t.Errorf("guessed: %+v", all)
		}
		lines := logs.All()[before:]
		if len(lines) != 2 || lines[0].ContextMap()["user"] != "alice" || lines[1].ContextMap()["user"] != "alice" {
			t.Errorf("day %d: %d lines in the log, want one at half and one at the end: %v", day, len(lines), lines)
		}
		h.Advance(25 * time.Hour)
	}
	for i := range 20 {
		h.login(fmt.Sprint("alice;", 600000+i), "secret")
	}
	h.restart()
	h.want("she, after a restart, where she never was", h.plain(elsewhere, "alice;222222", "secret"), codeLimit)
	account, _ := h.AccountByName("alice")
	if n, err := h.Forgive(t.Context(), account); n < 10 || err != nil {
		t.Errorf("forgiven: %d, %v", n, err)
	}
	h.want("she, forgiven", h.plain(elsewhere, "alice;222222", "secret"), byCode)
	if all := h.Guessed(); len(all) != 0 {
		t.Errorf("afterwards: %+v", all)
	}
	if n, err := h.Forgive(t.Context(), account); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

// TestForgivenAtAnotherReplica: a replica knows within a minute, though nobody
// binds there.
func TestForgivenAtAnotherReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := cache.NewMemory(time.Now)
		replica := func() *server {
			return newServer(t, nil, func(o *bind.Options) {
				remembering(t)(o)
				o.Guesses, o.Key = shared, []byte("key")
			})
		}
		one, two := replica(), replica()
		defer one.Close()
		defer two.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); one.Run(ctx) }()
		defer func() { cancel(); <-done }()

		for i := range 10 {
			one.expect(t, here, fmt.Sprint("bob;", 700000+i), "secret", "denied wrong_code 49")
		}
		one.expect(t, here, "bob;700010", "secret", limitCode)
		dir, _ := two.Directory(nil)
		account, _ := dir.AccountByName("bob")
		if n, err := two.Forgive(t.Context(), account); n != 10 || err != nil {
			t.Fatal(n, err)
		}
		one.expect(t, here, "bob;700010", "secret", limitCode)
		time.Sleep(time.Minute)
		synctest.Wait()
		one.expect(t, here, "bob;700010", "secret", "denied wrong_code 49")
		if all := one.Guessed(); len(all) != 0 {
			t.Errorf("%+v", all)
		}
	})
}

// TestAwayIsUpToDate: of a client that is known to have moved the last bind
// counts, however many others there are, and those are bounded.
func TestAwayIsUpToDate(t *testing.T) {
	h := newHouse(t, nil)
	h.want("she", h.login("alice;111111", "secret"), byCode)
	h.plain(elsewhere, "alice;500000", "secret")
	h.Advance(time.Hour)
	for i := range 300 {
		h.plain(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), "alice;500000", "secret")
	}
	h.plain(elsewhere, "alice;500000", "secret")
	away := h.metrics.Away()
	if at := away[elsewhere.String()]; !at.Equal(h.flows.Now()) || len(away) != 256 {
		t.Errorf("%d are away, %s since %s", len(away), elsewhere, at)
	}
}
