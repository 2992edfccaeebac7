package authentik

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const plantedToken = "planted-token-0123456789"

func newClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	if cfg.Token == nil {
		cfg.Token = StaticToken(plantedToken)
	}
	cfg.Version = "1.2.3"
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve answers each request by the function.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

const emptyPage = `{"pagination":{"next":0,"count":0},"results":[]}`

func TestHostForms(t *testing.T) {
	tests := []struct {
		host, base, socket, query string
	}{
		{"https://auth.example.org", "https://auth.example.org/", "", ""},
		{"https://auth.example.org/", "https://auth.example.org/", "", ""},
		{" http://auth:9000/ ", "http://auth:9000/", "", ""},
		{"https://example.org/sso/", "https://example.org/sso/", "", ""},
		{"https://example.org/sso", "https://example.org/sso/", "", ""},
		{"https://example.org/?k=v", "https://example.org/", "", "k=v"},
		{"http://[2001:db8::1]:9000/", "http://[2001:db8::1]:9000/", "", ""},
		{"unix:///run/authentik/http.sock", "http://localhost/", "/run/authentik/http.sock", ""},
	}
	for _, tt := range tests {
		u, socket, err := parseHost(tt.host)
		if err != nil {
			t.Errorf("%s: %v", tt.host, err)
			continue
		}
		query := u.RawQuery
		u.RawQuery = ""
		if u.String() != tt.base || socket != tt.socket || query != tt.query {
			t.Errorf("%s: %s, socket %q, query %q", tt.host, u, socket, query)
		}
	}
	for _, host := range []string{"", "auth.example.org", "auth.example.org:9000", "ftp://x/", "unix://", "unix://host/x", "https://", "https://me:planted@auth/", "://", "http://x:planted"} {
		if _, err := New(Config{Host: host, Token: StaticToken("t")}); err == nil {
			t.Errorf("%q: no error", host)
		} else if strings.Contains(err.Error(), "planted") {
			t.Errorf("%q: the error repeats it: %v", host, err)
		}
	}
}

func TestRequestHeaders(t *testing.T) {
	var got *http.Request
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		io.WriteString(w, emptyPage)
	})
	c := newClient(t, Config{Host: s.URL + "/sub/path"})
	if _, err := c.Providers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "/sub/path/api/v3/outposts/ldap/"; got.URL.Path != want {
		t.Errorf("path %s, want %s", got.URL.Path, want)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + plantedToken,
		"User-Agent":    "goauthentik.io/outpost/1.2.3",
		"Accept":        "application/json",
		"Content-Type":  "",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"cache_timeout_flows":300}`)
	})}}
	s.Start()
	defer s.Close()
	r, err := newClient(t, Config{Host: "unix://" + path}).RootConfig(t.Context())
	if err != nil || r.CacheTimeoutFlows != 300 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("protocol %s", r.Proto)
		}
		io.WriteString(w, `{}`)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		ok   bool
	}{
		{"unknown CA", Config{}, false},
		{"CA file", Config{CAFile: ca}, true},
		{"insecure", Config{Insecure: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Host = s.URL
			_, err := newClient(t, tt.cfg).RootConfig(t.Context())
			if (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := New(Config{Host: s.URL, Token: StaticToken("t"), CAFile: os.DevNull}); err == nil {
		t.Error("an empty CA file is taken")
	}
}

func TestRetries(t *testing.T) {
	tests := []struct {
		name  string
		first func(http.ResponseWriter)
		calls int32
		ok    bool
	}{
		{"502", func(w http.ResponseWriter) { w.WriteHeader(502) }, 2, true},
		{"503", func(w http.ResponseWriter) { w.WriteHeader(503) }, 2, true},
		{"504", func(w http.ResponseWriter) { w.WriteHeader(504) }, 2, true},
		{"connection cut", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 2, true},
		{"body cut", func(w http.ResponseWriter) {
			io.WriteString(w, emptyPage[:10])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 2, true},
		{"500", func(w http.ResponseWriter) { w.WriteHeader(500) }, 1, false},
		{"403", func(w http.ResponseWriter) { w.WriteHeader(403) }, 1, false},
		{"404", func(w http.ResponseWriter) { w.WriteHeader(404) }, 1, false},
		{"429", func(w http.ResponseWriter) { w.WriteHeader(429) }, 1, false},
		{"redirect", func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://elsewhere.example/login?next=planted")
			w.WriteHeader(302)
		}, 1, false},
		{"HTML", func(w http.ResponseWriter) { io.WriteString(w, "<html>") }, 1, false},
		{"no page", func(w http.ResponseWriter) { io.WriteString(w, "{}") }, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 1 {
					tt.first(w)
					return
				}
				io.WriteString(w, emptyPage)
			})
			_, err := newClient(t, Config{Host: s.URL}).Providers(t.Context())
			if (err == nil) != tt.ok || calls.Load() != tt.calls {
				t.Errorf("error %v after %d calls, want %d", err, calls.Load(), tt.calls)
			}
			if err != nil && strings.Contains(err.Error(), "planted") {
				t.Errorf("planted secret in %v", err)
			}
		})
	}
}

func TestRetriesEnd(t *testing.T) {
	var calls atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("X-authentik-id", "0123456789abcdef0123456789abcdef")
		w.WriteHeader(502)
		io.WriteString(w, "<html>bad gateway</html>")
	})
	_, err := newClient(t, Config{Host: s.URL}).RootConfig(t.Context())
	var api *APIError
	if !errors.As(err, &api) || *api != (APIError{Status: 502, RequestID: "0123456789abcdef0123456789abcdef", Method: "GET", Path: "/api/v3/root/config/"}) {
		t.Errorf("error %#v", err)
	}
	if calls.Load() != attempts {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestContextEndsRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := newClient(t, Config{Host: s.URL}).RootConfig(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAPIErrors(t *testing.T) {
	tests := []struct {
		status                       int
		body, detail                 string
		refused, forbidden, notFound bool
	}{
		{403, `{"detail":"Token invalid/expired"}`, "Token invalid/expired", true, false, false},
		{403, `{"detail":"Authentication credentials were not provided.","code":"x"}`, "Authentication credentials were not provided.", true, false, false},
		{403, `{"detail":"You do not have permission to perform this action."}`, "You do not have permission to perform this action.", false, true, false},
		{403, `<html>blocked</html>`, "", false, false, false},
		{404, `{"detail":"Not found."}`, "Not found.", false, false, true},
		{400, `{"b":["two"],"a":["one","more"],"code":"x"}`, "a: one more; b: two", false, false, false},
		{429, `{"detail":"Request was throttled."}`, "Request was throttled.", false, false, false},
		{500, `{"detail":"` + strings.Repeat("ö", 1000) + `"}`, strings.Repeat("ö", maxDetail/2), false, false, false},
	}
	for _, tt := range tests {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		})
		_, err := newClient(t, Config{Host: s.URL}).RootConfig(t.Context())
		var api *APIError
		if !errors.As(err, &api) || api.Status != tt.status || api.Detail != tt.detail {
			t.Errorf("%d %.60s: %v", tt.status, tt.body, err)
		}
		if TokenRefused(err) != tt.refused || Forbidden(err) != tt.forbidden || NotFound(err) != tt.notFound {
			t.Errorf("%d %.60s: refused %v, forbidden %v, not found %v", tt.status, tt.body, TokenRefused(err), Forbidden(err), NotFound(err))
		}
	}
}

func TestBodyBounded(t *testing.T) {
	var calls atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Write([]byte(`{"x":"`))
		chunk := []byte(strings.Repeat("x", 1<<16))
		for range 2 * maxBody / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		w.Write([]byte(`"}`))
	})
	if _, err := newClient(t, Config{Host: s.URL}).RootConfig(t.Context()); !errors.Is(err, errTooLong) || calls.Load() != 1 {
		t.Errorf("error %v after %d calls", err, calls.Load())
	}
}

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	var got string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		io.WriteString(w, `{}`)
	})
	c := newClient(t, Config{Host: s.URL, Token: FileToken(path)})
	for _, tt := range []struct {
		content string
		ok      bool
	}{
		{"first\n", true}, {"second", true}, {" \n", false}, {"two\nlines", false}, {"third", true},
	} {
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := c.RootConfig(t.Context())
		if (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.content, err)
		}
		if tt.ok && got != "Bearer "+strings.TrimSpace(tt.content) {
			t.Errorf("%q: sent %q", tt.content, got)
		}
		if err != nil && strings.Contains(err.Error(), "lines") {
			t.Errorf("the error holds the token: %v", err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RootConfig(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestListFollowsNext(t *testing.T) {
	tests := []struct {
		name  string
		pages map[string]string
		want  []string
		err   bool
	}{
		{"three pages", map[string]string{
			"1": `{"pagination":{"next":2.0,"count":3},"results":[{"name":"a"}],"autocomplete":{"x":[1,{}]}}`,
			"2": `{"autocomplete":{},"results":[{"name":"b"}],"pagination":{"next":3,"count":3}}`,
			"3": `{"results":[{"name":"c"}],"pagination":{"next":0,"count":3}}`,
		}, []string{"a", "b", "c"}, false},
		{"back to the first", map[string]string{"1": `{"pagination":{"next":1},"results":[]}`}, nil, true},
		{"result of another type", map[string]string{"1": `{"pagination":{"next":0},"results":[1]}`}, nil, true},
		{"results null", map[string]string{"1": `{"pagination":{"next":0},"results":null}`}, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, tt.pages[r.FormValue("page")])
			})
			providers, err := newClient(t, Config{Host: s.URL}).Providers(t.Context())
			if (err != nil) != tt.err {
				t.Fatal(err)
			}
			var names []string
			for _, p := range providers {
				names = append(names, p.Name)
			}
			if err == nil && fmt.Sprint(names) != fmt.Sprint(tt.want) {
				t.Errorf("%v, want %v", names, tt.want)
			}
		})
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\r\n\tc": "a b c", "": "", "\x00": "", "zo\xffë": "zoë", strings.Repeat("x", 1000): strings.Repeat("x", maxDetail),
	} {
		if got := oneLine(in); got != want {
			t.Errorf("%.20q: %q", in, got)
		}
	}
}
