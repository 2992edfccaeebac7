package authentiktest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	ak "ldapd/internal/authentik/authentiktest"
)

func TestStatusOfTheNthRequest(t *testing.T) {
	s := ak.New(t, ak.Options{PageSize: 2})
	addUsers(s, 6)
	c := newClient(t, s)
	f := s.Inject(ak.Fault{Endpoint: ak.Users, Skip: 1, Times: 1, Status: 502})
	var have []int
	for _, path := range []string{"core/users/?page=1", "core/groups/", "core/users/?page=2", "core/users/?page=2"} {
		have = append(have, c.get(path).status)
	}
	want(t, "statuses", have, []int{200, 200, 502, 200})
	want(t, "hits", f.Hits(), 1)

	for status, body := range map[int]string{
		400: "", 403: `{"detail":"Token invalid/expired"}`, 404: `{"detail":"Not found."}`, 429: `{"detail":"Request was throttled. Expected available in 1 second."}`,
		405: `{"detail":"Method \"GET\" not allowed."}`,
	} {
		f := s.Inject(ak.Fault{Status: status})
		a := c.get("core/users/")
		want(t, fmt.Sprint(status), []any{a.status, string(a.body)}, []any{status, body})
		want(t, "retry-after", a.header.Get("Retry-After") != "", status == 429)
		f.Remove()
	}
	s.Inject(ak.Fault{Endpoint: ak.RootConfig, Status: 503, Body: `{"detail":"x"}`, Header: http.Header{"Retry-After": {"7"}}})
	a := c.get("root/config/")
	want(t, "own", []any{a.status, a.m["detail"], a.header.Get("Retry-After")}, []any{503, "x", "7"})
	s.ClearFaults()
	want(t, "cleared", c.get("root/config/").status, 200)
}

func TestFlowErrorFault(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	c.start()
	s.Inject(ak.Fault{Endpoint: ak.Executor, Method: "POST", Times: 1, FlowError: true})
	want(t, "fault", c.identify("alice", "").component(), "ak-stage-flow-error")
	want(t, "after", c.identify("alice", "").component(), "ak-stage-password")
	s.Inject(ak.Fault{Match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/me/") }, Status: 500})
	want(t, "me", c.me().status, 500)
	want(t, "others", c.password("secret").component(), "xak-flow-redirect")
}

func TestLatencyAndHolding(t *testing.T) {
	s := ak.New(t, ak.Options{})
	c := newClient(t, s)
	s.Inject(ak.Fault{Endpoint: ak.Users, Times: 1, Latency: time.Millisecond})
	want(t, "late", c.get("core/users/").status, 200)
	gate := make(chan struct{})
	s.Inject(ak.Fault{Endpoint: ak.Users, Until: gate})
	r := c.request("GET", "/api/v3/core/users/", "")
	r.Header.Set("Authorization", "Bearer "+s.Token)
	done := make(chan tried, 1)
	go func() {
		a, err := c.try(r)
		done <- tried{a, err}
	}()
	if err := s.Wait(within(t), func() bool { return s.Counters().Requests[ak.Users] == 2 }); err != nil {
		t.Fatal(err)
	}
	want(t, "others", c.get("core/groups/").status, 200)
	close(gate)
	if got := <-done; got.err != nil || got.status != 200 {
		t.Errorf("held: %d, %v", got.status, got.err)
	}
}

func TestHangAndDrop(t *testing.T) {
	s := ak.New(t, ak.Options{})
	c := newClient(t, s)
	s.Inject(ak.Fault{Endpoint: ak.Groups, Drop: true})
	s.Inject(ak.Fault{Endpoint: ak.Users, Hang: true})
	if _, err := c.try(c.request("GET", "/api/v3/core/groups/", "")); err == nil {
		t.Error("dropped, but answered")
	}
	ctx, cancel := withCancel(t)
	done := make(chan error, 1)
	r := c.request("GET", "/api/v3/core/users/", "").WithContext(ctx)
	go func() {
		_, err := c.try(r)
		done <- err
	}()
	if err := s.Wait(within(t), func() bool { return s.Counters().Requests[ak.Users] > 0 }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("hung up: %v", err)
	}
}

func TestStopAndStart(t *testing.T) {
	ctx := within(t)
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	c.login("alice", "secret")
	ws, _ := dial(t, ctx, s, ak.DefaultOutpost, s.Token)
	s.Inject(ak.Fault{Endpoint: ak.Groups, Hang: true})
	hung := make(chan error, 1)
	r := c.request("GET", "/api/v3/core/groups/", "")
	go func() {
		_, err := c.try(r)
		hung <- err
	}()
	if err := s.Wait(ctx, func() bool { return s.Counters().Requests[ak.Groups] > 0 }); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Stop()
	if err := <-hung; err == nil {
		t.Error("the hanging request was answered")
	}
	if _, _, err := ws.Read(ctx); err == nil {
		t.Error("the websocket lives")
	}
	want(t, "websockets", s.Websockets(), 0)
	if _, err := c.try(c.request("GET", "/api/v3/root/config/", "")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("while stopped: %v", err)
	}
	s.Start()
	s.Start()
	want(t, "the session is still there", c.me().status, 200)
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "authentik.sock")
	s := ak.New(t, ak.Options{Socket: path})
	want(t, "URL", s.URL, "unix://"+path)
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer tr.CloseIdleConnections()
	for range 2 {
		resp, err := (&http.Client{Transport: tr}).Get("http://authentik/api/v3/root/config/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		want(t, "status", resp.StatusCode, 200)
		s.Stop()
		s.Start()
	}
}

func TestTLS(t *testing.T) {
	s := ak.New(t, ak.Options{TLS: true, CookieDomain: "example.org"})
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CertPEM) {
		t.Fatal("no certificate")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	s.Inject(ak.Fault{Endpoint: ak.Users, Drop: true})
	resp, err := (&http.Client{Transport: tr}).Get(s.URL + "/api/v3/flows/executor/" + ak.DefaultFlow + "/" + outpostQuery)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want(t, "protocol", resp.Proto, "HTTP/2.0")
	k := resp.Cookies()[0]
	want(t, "cookie", []any{k.Secure, k.SameSite == http.SameSiteNoneMode, k.Domain, k.HttpOnly}, []any{true, true, "example.org", true})
	if _, err := (&http.Client{Transport: tr}).Get(s.URL + "/api/v3/core/users/"); err == nil {
		t.Error("dropped, but answered")
	}
}

func TestRequestsAreRecorded(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	c.start()
	c.identify("alice", "planted")
	q := s.Requests()[1]
	want(t, "request", []any{q.Endpoint, q.Method, q.Path, q.RawQuery}, []any{ak.Executor, "POST", "/api/v3/flows/executor/" + ak.DefaultFlow + "/", outpostQuery[1:]})
	want(t, "header", q.Header.Get("X-authentik-remote-ip"), c.ip)
	if !strings.Contains(string(q.Body), "planted") {
		t.Errorf("body %q", q.Body)
	}
	s.ResetCounters()
	want(t, "reset", []any{len(s.Requests()), s.Counters().FlowsStarted[ak.DefaultFlow]}, []any{0, 0})
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.Populate(200, 20, 3)
	var wg sync.WaitGroup
	for i := range 4 {
		c := newClient(t, s)
		requests := []*http.Request{
			c.request("GET", "/api/v3/core/users/?page_size=100", ""),
			c.request("GET", "/api/v3/core/groups/?include_children=true", ""),
			c.userRequest("GET", "/api/v3/flows/executor/"+ak.DefaultFlow+"/"+outpostQuery, ""),
		}
		requests[0].Header.Set("Authorization", "Bearer "+s.Token)
		requests[1].Header.Set("Authorization", "Bearer "+s.Token)
		wg.Go(func() {
			for range 10 {
				for _, r := range requests {
					if a, err := c.try(r.Clone(r.Context())); err != nil || a.status != 200 {
						t.Errorf("%s: %d, %v", r.URL.Path, a.status, err)
					}
				}
			}
		})
		wg.Go(func() {
			for n := range 20 {
				name := fmt.Sprintf("user%06d", i*20+n)
				s.EditUser(name, func(u *ak.User) { u.Email = "x@" + name })
				s.RemoveMember("group00000", name)
				s.AddMember("group00000", name)
				s.TriggerUpdate()
			}
		})
	}
	wg.Wait()
	want(t, "members", newClient(t, s).get("core/users/?groups_by_name=group00000").pagination("count") >= 80, true)
}
