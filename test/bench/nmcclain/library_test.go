package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/nmcclain/ldap"
)

// The tests in this file hold what docs/decisions.md says of the library. They
// fail if a newer version does better.

const base = "dc=example,dc=org"

// fixed answers binds with the password "right", and every search alike.
type fixed struct {
	result ldap.ServerSearchResult
	err    error
	bound  chan string // takes who searched
}

func (f *fixed) Bind(_, password string, _ net.Conn) (ldap.LDAPResultCode, error) {
	if password != "right" {
		return ldap.LDAPResultInvalidCredentials, nil
	}
	return ldap.LDAPResultSuccess, nil
}

func (f *fixed) Search(bound string, _ ldap.SearchRequest, _ net.Conn) (ldap.ServerSearchResult, error) {
	if f.bound != nil {
		f.bound <- bound
	}
	r := f.result
	r.Entries = nil
	for _, e := range f.result.Entries {
		c := *e
		r.Entries = append(r.Entries, &c)
	}
	return r, f.err
}

// serve serves by the library until the test ends, and returns its address.
func serve(t *testing.T, f *fixed) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := ldap.NewServer()
	s.EnforceLDAP = true
	s.BindFunc("", f)
	s.SearchFunc("", f)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Quit <- true
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func dial(t *testing.T, addr string) *goldap.Conn {
	c, err := goldap.DialURL("ldap://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetTimeout(5 * time.Second)
	t.Cleanup(func() { c.Close() })
	return c
}

// closed reports whether an error is that of a closed connection, and not an
// answer.
func closed(err error) bool {
	var le *goldap.Error
	return err != nil && (!errors.As(err, &le) || le.ResultCode >= goldap.ErrorNetwork)
}

func search(filter string, size int) *goldap.SearchRequest {
	return goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, size, 0, false, filter, nil, nil)
}

func people(names ...string) []*ldap.Entry {
	var out []*ldap.Entry
	for _, n := range names {
		out = append(out, &ldap.Entry{DN: "cn=" + n + "," + base, Attributes: []*ldap.EntryAttribute{{Name: "cn", Values: []string{n}}}})
	}
	return out
}

func TestResultCodeOfSearchIsLost(t *testing.T) {
	c := dial(t, serve(t, &fixed{result: ldap.ServerSearchResult{ResultCode: ldap.LDAPResultNoSuchObject}}))
	if _, err := c.Search(search("(cn=*)", 0)); err != nil {
		t.Errorf("a search answered with noSuchObject: %v, want success", err)
	}
}

func TestErrorOfSearchClosesConnection(t *testing.T) {
	c := dial(t, serve(t, &fixed{
		result: ldap.ServerSearchResult{ResultCode: ldap.LDAPResultNoSuchObject},
		err:    errors.New("no entry " + base),
	}))
	_, err := c.Search(search("(cn=*)", 0))
	var le *goldap.Error
	if !errors.As(err, &le) || le.ResultCode != goldap.LDAPResultNoSuchObject {
		t.Fatalf("search: %v, want noSuchObject", err)
	}
	if le.MatchedDN != "" || le.Err.Error() != "" {
		t.Errorf("matched DN %q, message %q: want neither", le.MatchedDN, le.Err)
	}
	if _, err := c.Search(search("(cn=*)", 0)); !closed(err) {
		t.Errorf("the next search: %v, want a closed connection", err)
	}
}

func TestResponseControlsAreLost(t *testing.T) {
	c := dial(t, serve(t, &fixed{result: ldap.ServerSearchResult{
		Entries:  people("a", "b"),
		Controls: []ldap.Control{ldap.NewControlPaging(1)},
	}}))
	req := search("(cn=*)", 0)
	req.Controls = []goldap.Control{goldap.NewControlPaging(1)}
	res, err := c.Search(req)
	if err != nil || len(res.Controls) != 0 || len(res.Entries) != 2 {
		t.Errorf("a page of 1: %d entries, controls %v (%v); want all entries and no control", len(res.Entries), res.Controls, err)
	}
}

func TestSizeLimitIsSuccess(t *testing.T) {
	c := dial(t, serve(t, &fixed{result: ldap.ServerSearchResult{Entries: people("a", "b", "c")}}))
	res, err := c.Search(search("(cn=*)", 2))
	if err != nil || len(res.Entries) != 2 {
		t.Errorf("2 of 3 entries: %d (%v), want 2 and success", len(res.Entries), err)
	}
}

func TestSubstringsHaveOnePiece(t *testing.T) {
	c := dial(t, serve(t, &fixed{result: ldap.ServerSearchResult{Entries: people("alice", "albert")}}))
	res, err := c.Search(search("(cn=al*x*y)", 0))
	if err != nil || len(res.Entries) != 2 {
		t.Errorf("(cn=al*x*y): %d entries (%v), want both of al*", len(res.Entries), err)
	}
}

func TestOtherFiltersCloseConnection(t *testing.T) {
	addr := serve(t, &fixed{result: ldap.ServerSearchResult{Entries: people("alice")}})
	for _, filter := range []string{"(cn>=a)", "(cn<=a)", "(cn~=alice)", "(cn:caseExactMatch:=alice)"} {
		c := dial(t, addr)
		if _, err := c.Search(search(filter, 0)); err == nil {
			t.Errorf("%s: success, want an error", filter)
		}
		if _, err := c.Search(search("(cn=*)", 0)); !closed(err) {
			t.Errorf("%s: the next search: %v, want a closed connection", filter, err)
		}
	}
}

func TestFailedBindKeepsIdentity(t *testing.T) {
	f := &fixed{bound: make(chan string, 1)}
	c := dial(t, serve(t, f))
	dn := "cn=admin," + base
	if err := c.Bind(dn, "right"); err != nil {
		t.Fatal(err)
	}
	if err := c.Bind("cn=alice,"+base, "wrong"); !goldap.IsErrorWithCode(err, goldap.LDAPResultInvalidCredentials) {
		t.Fatalf("bind with a wrong password: %v", err)
	}
	if _, err := c.Search(search("(cn=*)", 0)); err != nil {
		t.Fatal(err)
	}
	if got := <-f.bound; got != dn {
		t.Errorf("after a failed bind %q searches, want %q", got, dn)
	}
}

func TestNoStartTLS(t *testing.T) {
	c := dial(t, serve(t, &fixed{}))
	if err := c.StartTLS(nil); !goldap.IsErrorWithCode(err, goldap.LDAPResultProtocolError) {
		t.Errorf("StartTLS: %v, want protocolError", err)
	}
}

func TestAbandonClosesConnection(t *testing.T) {
	nc, err := net.Dial("tcp", serve(t, &fixed{}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := nc.Write([]byte{0x30, 6, 2, 1, 2, 0x50, 1, 1}); err != nil {
		t.Fatal(err)
	}
	if n, err := nc.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after an abandon: %d octets, %v; want a closed connection", n, err)
	}
}

// TestControlEndsProcess sends a request with a control that is an empty
// sequence. The library panics on the connection's goroutine, where a handler
// has no way to recover.
func TestControlEndsProcess(t *testing.T) {
	if addr := os.Getenv(crashAddr); addr != "" {
		s := ldap.NewServer()
		t.Fatal(s.ListenAndServe(addr))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestControlEndsProcess$")
	cmd.Env = append(os.Environ(), crashAddr+"="+addr)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	deadline := time.After(20 * time.Second)
	for {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			// An unbind request, before anybody was bound.
			nc.Write([]byte{0x30, 9, 2, 1, 1, 0x42, 0, 0xa0, 2, 0x30, 0})
			nc.Close()
		}
		select {
		case err := <-exited:
			if err == nil || !strings.Contains(out.String(), "panic: runtime error: index out of range") {
				t.Errorf("the server ended with %v:\n%s", err, out.String())
			}
			return
		case <-deadline:
			cmd.Process.Kill()
			<-exited
			t.Fatal("the server survived a control without a type")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

const crashAddr = "NMCCLAIN_CRASH_ADDR"
