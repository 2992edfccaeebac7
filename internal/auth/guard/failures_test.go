package guard_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/cache"
)

var failuresKey = guard.DeriveKey([]byte("key"))

func addr(text string) (a netip.Addr) {
	if text != "" {
		a = netip.MustParseAddr(text)
	}
	return a
}

// from says where the binds of a user count.
func from(user, client, peer string) guard.From {
	return guard.NewFrom(failuresKey, user, addr(client), addr(peer))
}

func secret(i int) guard.Digest { return failuresKey.Digest("secret", fmt.Sprint(i)) }

// reason is that of a limit, "" for none.
func reason(l *auth.Limited) auth.Reason {
	if l == nil {
		return ""
	}
	return l.Reason
}

// fail counts n different secrets.
func fail(t *testing.T, f *guard.Failures, at guard.From, n int) {
	t.Helper()
	for i := range n {
		if l := f.Add(t.Context(), at, secret(i)); l != nil {
			t.Fatalf("failure %d: %s", i, l.Reason)
		}
	}
}

func TestFailures(t *testing.T) {
	const alice, bob = "alice", "bob"
	type fails struct {
		user, client, peer string
		n                  int
	}
	limits := guard.Limits{FailuresPerUser: 3, FailuresPerAddress: 5}
	few := func(n int) (all []fails) { // of n users each
		for i := range n {
			all = append(all, fails{fmt.Sprint("user", i), fmt.Sprint("192.0.2.", i), "10.0.0.1", 2})
		}
		return all
	}
	for _, tt := range []struct {
		name               string
		limits             guard.Limits
		before             []fails
		user, client, peer string
		want               auth.Reason
	}{
		{"nothing", limits, nil, alice, "192.0.2.1", "", ""},
		{"less than the limit", limits, []fails{{alice, "192.0.2.1", "", 2}}, alice, "192.0.2.1", "", ""},
		{"the user at the address", limits, []fails{{alice, "192.0.2.1", "", 3}}, alice, "192.0.2.1", "", auth.LimitUser},
		{"the user elsewhere", limits, []fails{{alice, "192.0.2.1", "", 3}}, alice, "192.0.2.2", "", ""},
		{"another user", limits, []fails{{alice, "192.0.2.1", "", 3}}, bob, "192.0.2.1", "", ""},
		{"the address", limits, []fails{{alice, "192.0.2.1", "", 3}, {bob, "192.0.2.1", "", 2}}, "carol", "192.0.2.1", "", auth.LimitAddress},
		{"another address", limits, []fails{{alice, "192.0.2.1", "", 3}, {bob, "192.0.2.1", "", 2}}, "carol", "192.0.2.2", "", ""},
		{"the same network", limits, []fails{{alice, "2001:db8::1", "", 3}}, alice, "2001:db8::ffff:2", "", auth.LimitUser},
		{"another network", limits, []fails{{alice, "2001:db8::1", "", 3}}, alice, "2001:db8:0:1::1", "", ""},
		{"a zone", limits, []fails{{alice, "fe80::1%eth0", "", 3}}, alice, "fe80::2%eth1", "", auth.LimitUser},
		{"IPv4 in IPv6", limits, []fails{{alice, "::ffff:192.0.2.1", "", 3}}, alice, "192.0.2.1", "", auth.LimitUser},
		{"no address", limits, []fails{{alice, "", "", 3}}, alice, "", "", auth.LimitUser},
		{"ten times as many of the peer", limits, few(25), alice, "192.0.2.99", "10.0.0.1", auth.LimitAddress},
		{"not quite", limits, few(24), alice, "192.0.2.99", "10.0.0.1", ""},
		{"of another peer", limits, few(25), alice, "192.0.2.99", "10.0.0.2", ""},
		{"of no peer", limits, few(25), alice, "192.0.2.99", "", ""},
		{"the peer is the address", limits, []fails{{alice, "192.0.2.1", "192.0.2.1", 3}, {bob, "192.0.2.1", "192.0.2.1", 1}}, "carol", "192.0.2.1", "192.0.2.1", ""},
		{"no limit of users", guard.Limits{FailuresPerAddress: 5}, []fails{{alice, "192.0.2.1", "", 4}}, alice, "192.0.2.1", "", ""},
		{"no limit of users, the address", guard.Limits{FailuresPerAddress: 5}, []fails{{alice, "192.0.2.1", "", 5}}, alice, "192.0.2.1", "", auth.LimitAddress},
		{"no limit of addresses", guard.Limits{FailuresPerUser: 3}, few(100), alice, "192.0.2.1", "10.0.0.1", ""},
		{"no limit of addresses, the user", guard.Limits{FailuresPerUser: 3}, []fails{{alice, "192.0.2.1", "", 3}}, alice, "192.0.2.1", "", auth.LimitUser},
		{"no limits", guard.Limits{}, []fails{{alice, "192.0.2.1", "10.0.0.1", 1000}}, alice, "192.0.2.1", "10.0.0.1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clock := newClock()
			f := guard.NewFailures(tt.limits, nil, clock.Now)
			for _, b := range tt.before {
				fail(t, f, from(b.user, b.client, b.peer), b.n)
			}
			at := from(tt.user, tt.client, tt.peer)
			if got := reason(f.Over(at)); got != tt.want {
				t.Errorf("over: %q, want %q", got, tt.want)
			}
			if got := reason(f.OverAnywhere(t.Context(), at)); got != tt.want {
				t.Errorf("over anywhere: %q, want %q", got, tt.want)
			}
			if got := reason(f.Add(t.Context(), at, secret(1_000_000))); got != tt.want {
				t.Errorf("one more: %q, want %q", got, tt.want)
			}
			clock.Advance(59 * time.Second)
			if got := reason(f.Over(at)); got != tt.want && tt.want != "" {
				t.Errorf("over after 59 s: %q, want %q", got, tt.want)
			}
			clock.Advance(time.Second)
			if got := reason(f.Over(at)); got != "" {
				t.Errorf("over after a minute: %q", got)
			}
		})
	}
}

// TestSameFailureCountsOnce: Nextcloud sends each wrong password twice, with
// those of others in between.
func TestSameFailureCountsOnce(t *testing.T) {
	clock := newClock()
	f := guard.NewFailures(guard.Limits{FailuresPerUser: 3, FailuresPerAddress: 4}, nil, clock.Now)
	at, other := from("alice", "192.0.2.1", ""), from("bob", "192.0.2.1", "")
	for range 100 {
		f.Add(t.Context(), at, secret(1))
		f.Add(t.Context(), other, secret(1))
		f.Add(t.Context(), at, secret(2))
	}
	if l := f.Over(at); l != nil {
		t.Errorf("three different secrets: %s", l.Reason)
	}
	fail(t, f, other, 2)
	if got := reason(f.Over(at)); got != auth.LimitAddress {
		t.Errorf("four different secrets: %q", got)
	}
	if l := f.Add(t.Context(), at, secret(2)); l != nil {
		t.Errorf("one that counted: %s", l.Reason)
	}
}

// TestParallelFailures: beyond the limit the answer is busy, whoever else is
// about to be denied.
func TestParallelFailures(t *testing.T) {
	f := guard.NewFailures(guard.Limits{FailuresPerUser: 10}, nil, newClock().Now)
	var denied atomic.Int64
	var done sync.WaitGroup
	for i := range 1000 {
		done.Go(func() {
			if f.Add(t.Context(), from("alice", "192.0.2.1", ""), secret(i)) == nil {
				denied.Add(1)
			}
		})
	}
	done.Wait()
	if n := denied.Load(); n != 10 {
		t.Errorf("%d were denied, want 10", n)
	}
}

// TestFailuresClockSetBack: it opens what was closed, rather than keep it so.
func TestFailuresClockSetBack(t *testing.T) {
	clock := newClock()
	f := guard.NewFailures(guard.Limits{FailuresPerUser: 3}, nil, clock.Now)
	at := from("alice", "192.0.2.1", "")
	fail(t, f, at, 3)
	clock.Advance(-time.Hour)
	if l := f.Over(at); l != nil {
		t.Errorf("an hour back: %s", l.Reason)
	}
	fail(t, f, at, 3)
	if got := reason(f.Over(at)); got != auth.LimitUser {
		t.Errorf("three more: %q", got)
	}
}

// TestFailuresOfReplicas: they count together.
func TestFailuresOfReplicas(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits guard.Limits
		want   auth.Reason
	}{
		{"user", guard.Limits{FailuresPerUser: 4, FailuresPerAddress: 100}, auth.LimitUser},
		{"address", guard.Limits{FailuresPerAddress: 4}, auth.LimitAddress},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clock := newClock()
			store := cache.NewMemory(clock.Now)
			defer store.Close()
			one, two := guard.NewFailures(tt.limits, store, clock.Now), guard.NewFailures(tt.limits, store, clock.Now)
			at := from("alice", "192.0.2.1", "")
			for i := range 4 {
				f := []*guard.Failures{one, two}[i%2]
				if l := f.OverAnywhere(t.Context(), at); l != nil {
					t.Fatalf("failure %d: %s", i, l.Reason)
				}
				if l := f.Add(t.Context(), at, secret(i)); l != nil {
					t.Fatalf("failure %d: %s", i, l.Reason)
				}
			}
			for i, f := range []*guard.Failures{one, two} {
				if got := reason(f.OverAnywhere(t.Context(), at)); got != tt.want {
					t.Errorf("replica %d: %q, want %q", i, got, tt.want)
				}
				if l := f.Over(at); l != nil {
					t.Errorf("replica %d knows of %s without asking", i, l.Reason)
				}
				if got := reason(f.Add(t.Context(), at, secret(100+i))); got != tt.want {
					t.Errorf("replica %d, one more: %q, want %q", i, got, tt.want)
				}
			}
			clock.Advance(time.Minute)
			if l := one.OverAnywhere(t.Context(), at); l != nil {
				t.Errorf("a minute later: %s", l.Reason)
			}
			store.Close()
			fail(t, one, at, 4) // each for itself
			if got := reason(one.OverAnywhere(t.Context(), at)); got != tt.want {
				t.Errorf("without the store: %q, want %q", got, tt.want)
			}
			if l := two.OverAnywhere(t.Context(), at); l != nil {
				t.Errorf("without the store, the other one: %s", l.Reason)
			}
		})
	}
}

// stuck is guard.Tallies that answer when nobody waits.
type stuck struct{}

func (stuck) Tally(ctx context.Context, _, _ [16]byte, _ time.Duration) (int, error) {
	<-ctx.Done()
	return 1000, ctx.Err()
}

func (stuck) Tallied(ctx context.Context, _ [16]byte, _ time.Duration) (int, error) {
	<-ctx.Done()
	return 1000, ctx.Err()
}

func TestFailuresDoNotWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := guard.NewFailures(guard.Limits{FailuresPerUser: 4, FailuresPerAddress: 4}, stuck{}, time.Now)
		at, begin := from("alice", "192.0.2.1", ""), time.Now()
		if l := f.OverAnywhere(t.Context(), at); l != nil {
			t.Error(l.Reason)
		}
		if l := f.Add(t.Context(), at, secret(1)); l != nil {
			t.Error(l.Reason)
		}
		if d := time.Since(begin); d > time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestFailuresAreBounded(t *testing.T) {
	f := guard.NewFailures(guard.Limits{FailuresPerUser: 3, FailuresPerAddress: 3}, nil, newClock().Now)
	grown := heap(func() {
		for i := range 100_000 {
			at := guard.From{User: secret(3 * i), Address: secret(3*i + 1), Peer: secret(3*i + 2)}
			f.Add(context.Background(), at, secret(i))
		}
	})
	if grown > 32<<20 {
		t.Errorf("%d MiB", grown>>20)
	}
	runtime.KeepAlive(f)
}

func TestDigestsKeepApart(t *testing.T) {
	k := guard.NewKey()
	other := guard.NewKey()
	if k.Digest("ab", "c") == k.Digest("a", "bc") || k.Digest("a") == k.Digest("a", "") || k.Digest("a") == other.Digest("a") {
		t.Error("two are the same")
	}
	one, same, two := guard.DeriveKey([]byte("a")), guard.DeriveKey([]byte("a")), guard.DeriveKey([]byte("b"))
	if one.Digest("x") != same.Digest("x") || one.Digest("x") == two.Digest("x") {
		t.Error("a derived key does not depend on the secret alone")
	}
}

// A proxy is somebody else than the client.
func TestFromPeer(t *testing.T) {
	for _, tt := range []struct {
		client, peer string
		want         bool
	}{
		{"192.0.2.1", "198.51.100.7", true},
		{"192.0.2.1", "", false},
		{"192.0.2.1", "192.0.2.1", false},
		{"2001:db8::1", "2001:db8::2", false}, // of one network
		{"2001:db8::1", "2001:db8:1::1", true},
	} {
		f := from("alice", tt.client, tt.peer)
		if got := f.Peer != (guard.Digest{}); got != tt.want || f.Peer == f.Address {
			t.Errorf("%s by %q: counts for a proxy: %v, want %v", tt.client, tt.peer, got, tt.want)
		}
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8::1": "2001:db8::/64", "2001:db8:0:0:ffff::": "2001:db8::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := guard.Network(addr(in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
