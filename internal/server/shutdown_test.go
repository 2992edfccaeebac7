package server_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"ldapd/internal/await"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

const shuttingDown = "30 38 02 01 00 78 33 0a 01 34 04 00 04 14 'server shutting down' 8a 16 '1.3.6.1.4.1.1466.20036'"

// shutdown begins one.
func (f *fixture) shutdown(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f.srv.Shutdown(ctx) }()
	return done
}

func TestShutdown(t *testing.T) {
	h := newHeld()
	binding := make(chan struct{})
	f := start(t, server.Config{TLSConfig: serverTLS(), Handler: &handler{
		search: h.search,
		bind: func(ctx context.Context, _ *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
			if string(req.Name) == "cn=bob" {
				close(binding)
				<-h.release
			}
			return user(req.Name), ctx.Err()
		},
	}})
	idle := f.dial()
	idle.exchange(whoAmI, whoAmINobody)
	bound := f.dialBound()
	secure := f.dial()
	secure.exchange(startTLSRequest, startTLSAnswer)
	secure.upgrade()
	secure.expectWho("")
	searching := f.dialBound()
	searching.exchange(searchO, searchEntry)
	await.Receive(t, "search", h.began)
	bindingClient := f.dial()
	bindingClient.send("30 18 02 01 01 60 13 02 01 03 04 06 'cn=bob' 80 06 'secret'")
	await.Receive(t, "bind", binding)
	partial := f.dial()
	partial.send(whoAmI, "30 0c 02")
	partial.expect(whoAmINobody)

	done := f.shutdown(context.Background())
	for _, c := range []*client{idle, bound, secure} {
		c.expect(shuttingDown)
		c.expectEnd()
	}
	if c, err := net.Dial("tcp", f.addr); err == nil {
		c.Close()
		t.Error("still accepting")
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned %v while operations run", err)
	default:
	}
	close(h.release)
	searching.expect(searchEntry, searchDone, shuttingDown)
	searching.expectEnd()
	bindingClient.expect(okBind, shuttingDown)
	bindingClient.expectEnd()
	partial.expect(shuttingDown)
	partial.expectEnd()
	if err := await.Receive(t, "Shutdown", done); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}

	ln := listen(t)
	if err := f.srv.Serve(ln); err != server.ErrServerClosed {
		t.Errorf("Serve returned %v after Shutdown", err)
	}
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve left the listener open")
	}
	if err := f.srv.Shutdown(context.Background()); err != nil {
		t.Errorf("second Shutdown: %v", err)
	}
}

// A handshake that is under way does not delay, and gets no notice in the
// clear.
func TestShutdownDuringHandshake(t *testing.T) {
	secure := startTLS(t, server.Config{})
	c := secure.dial()
	c.send("16 03 01 00 c8 01")
	await.That(t, "the connection is counted", func() bool { return secure.metric("ldapd_connections") == 1 })
	if err := await.Receive(t, "Shutdown", secure.shutdown(context.Background())); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
	expectAlert(t, c)

	plain := start(t, server.Config{TLSConfig: serverTLS()})
	c = plain.dial()
	c.exchange(startTLSRequest, startTLSAnswer)
	if err := await.Receive(t, "Shutdown", plain.shutdown(context.Background())); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
	expectAlert(t, c)
}

// When the time is over, what is left is cut, and told.
func TestShutdownTimeout(t *testing.T) {
	h := newHeld()
	told := make(chan error, 1)
	f := start(t, server.Config{Handler: &handler{
		search: h.search,
		bind: func(ctx context.Context, _ *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
			if string(req.Name) == "cn=alice" {
				return user(req.Name), nil
			}
			h.began <- "bind"
			<-ctx.Done()
			told <- ctx.Err()
			return nil, ctx.Err()
		},
	}})
	searching, binding := f.dialBound(), f.dial()
	searching.exchange(searchO, searchEntry)
	binding.send("30 18 02 01 01 60 13 02 01 03 04 06 'cn=bob' 80 06 'secret'")
	await.Receive(t, "search", h.began)
	await.Receive(t, "bind", h.began)
	ctx, cancel := context.WithCancel(context.Background())
	done := f.shutdown(ctx)
	cancel()
	searching.expectEnd()
	binding.expectEnd()
	if err := await.Receive(t, "the end of the bind", told); err != context.Canceled {
		t.Errorf("the bind sees %v", err)
	}
	// The search does not look; Shutdown does not wait for ever.
	if err := await.Receive(t, "Shutdown", done); err != context.Canceled {
		t.Errorf("Shutdown returned %v", err)
	}
	close(h.release)
	if err := await.Receive(t, "the end of the search", h.ended); err != server.ErrStopped {
		t.Errorf("the search sees %v", err)
	}
}

// Accept errors pass: the server waits longer and longer, and goes on.
func TestAcceptErrors(t *testing.T) {
	ln := newPipeListener()
	f := startOn(t, server.Config{}, ln, (*server.Server).Serve)
	accept := func() {
		theirs, ours := net.Pipe()
		ln.conns <- theirs
		c := &client{t: t, Conn: ours}
		c.exchange(bindAlice, okBind)
		c.Close()
	}
	for range 3 {
		ln.errs <- errors.New("too many open files")
	}
	accept()
	ln.errs <- errors.New("too many open files")
	accept()
	var waits []time.Duration
	for _, e := range f.logs.FilterMessage("accept failed").All() {
		waits = append(waits, e.ContextMap()["retry_in"].(time.Duration))
	}
	want := []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 5 * time.Millisecond}
	if len(waits) != len(want) {
		t.Fatalf("waited %v, want %v", waits, want)
	}
	for i := range want {
		if waits[i] <= want[i]/2 || waits[i] > want[i] {
			t.Fatalf("waited %v, want more than half of %v, and no more", waits, want)
		}
	}
}

// A listener that someone else closes ends Serve with its error.
func TestListenerClosed(t *testing.T) {
	ln := listen(t)
	ln.Close()
	if err := server.New(server.Config{Handler: &handler{}}).Serve(ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
}
