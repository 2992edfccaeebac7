package authentiktest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	ak "ldapd/internal/authentik/authentiktest"
)

const outpostQuery = "?query=goauthentik.io%252Foutpost%252Fldap%3Dtrue"

// client does what an outpost does, with cookies kept by hand.
type client struct {
	t       *testing.T
	s       *ak.Server
	http    *http.Client
	token   string
	cookies map[string]*http.Cookie
	ip      string
	query   string
	header  http.Header // added to user calls
	check   *checker
}

// newClient makes a client whose every exchange is checked against the API's
// description.
func newClient(t *testing.T, s *ak.Server) *client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	check := newChecker(t, tr, s.Version())
	return &client{
		t:     t,
		s:     s,
		check: check,
		http: &http.Client{
			Transport:     check,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		token:   s.Token,
		cookies: make(map[string]*http.Cookie),
		ip:      "192.0.2.7",
		query:   outpostQuery,
		header:  make(http.Header),
	}
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   []byte
	m      map[string]any // the body, if it is a JSON object
}

func (c *client) do(r *http.Request) answer {
	c.t.Helper()
	a, err := c.try(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return a
}

func (c *client) try(r *http.Request) (answer, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: body}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		json.Unmarshal(body, &a.m)
	}
	return a, nil
}

func (c *client) request(method, path, body string) *http.Request {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, strings.TrimSuffix(c.s.URL, "/")+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// get is a call of the outpost itself.
func (c *client) get(path string) answer {
	c.t.Helper()
	r := c.request("GET", "/api/v3/"+path, "")
	r.Header.Set("Authorization", "Bearer "+c.token)
	return c.do(r)
}

func (c *client) userRequest(method, path, body string) *http.Request {
	c.t.Helper()
	r := c.request(method, path, body)
	r.Header.Set("X-authentik-remote-ip", c.ip)
	r.Header.Set("X-authentik-outpost-token", c.token)
	for k, v := range c.header {
		r.Header[k] = v
	}
	for _, k := range c.cookies {
		r.AddCookie(&http.Cookie{Name: k.Name, Value: k.Value})
	}
	return r
}

// asUser is a call with the cookies of a flow.
func (c *client) asUser(method, path, body string) answer {
	c.t.Helper()
	a := c.do(c.userRequest(method, path, body))
	c.keep(a)
	return a
}

func (c *client) keep(a answer) {
	for _, k := range (&http.Response{Header: a.header}).Cookies() {
		c.cookies[k.Name] = k
	}
}

// flow sends one request to the executor and follows real redirects.
func (c *client) flow(method, slug, body string) answer {
	c.t.Helper()
	path := "/api/v3/flows/executor/" + slug + "/" + c.query
	a := c.asUser(method, path, body)
	for range 10 {
		if a.status != http.StatusFound {
			return a
		}
		if to := a.header.Get("Location"); to != path || len(a.body) != 0 {
			c.t.Fatalf("redirected to %q with %q", to, a.body)
		}
		a = c.asUser("GET", path, "")
	}
	c.t.Fatalf("no end to redirects")
	return answer{}
}

func (c *client) start() answer { c.t.Helper(); return c.flow("GET", ak.DefaultFlow, "") }

// answer posts an answer to the bind flow.
func (c *client) answer(component string, with map[string]any) answer {
	c.t.Helper()
	m := map[string]any{"component": component}
	for k, v := range with {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.flow("POST", ak.DefaultFlow, string(b))
}

func (c *client) identify(name, password string) answer {
	c.t.Helper()
	return c.answer("ak-stage-identification", map[string]any{"uid_field": name, "password": password})
}

func (c *client) password(text string) answer {
	c.t.Helper()
	return c.answer("ak-stage-password", map[string]any{"password": text})
}

func (c *client) code(text string) answer {
	c.t.Helper()
	return c.answer("ak-stage-authenticator-validate", map[string]any{"code": text})
}

// login runs the default flow of a user without devices.
func (c *client) login(name, password string) answer {
	c.t.Helper()
	c.start()
	c.identify(name, password)
	return c.password(password)
}

func (c *client) me() answer { c.t.Helper(); return c.asUser("GET", "/api/v3/core/users/me/", "") }

func (a answer) component() string { v, _ := a.m["component"].(string); return v }

// refusal returns the one field and code of response_errors.
func (a answer) refusal() (field, code string) {
	errs, _ := a.m["response_errors"].(map[string]any)
	for f, list := range errs {
		for _, e := range list.([]any) {
			return f, e.(map[string]any)["code"].(string)
		}
	}
	return "", ""
}

func (a answer) results() []any { v, _ := a.m["results"].([]any); return v }

func (a answer) pagination(name string) int {
	v, _ := a.m["pagination"].(map[string]any)
	n, _ := v[name].(float64)
	return int(n)
}

// column collects a member of each result.
func (a answer) column(name string) []any {
	var out []any
	for _, row := range a.results() {
		out = append(out, row.(map[string]any)[name])
	}
	return out
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// began is what clocks of tests show at first.
var began = time.Date(2026, 2, 3, 4, 5, 6, 789000, time.UTC)

func want(t *testing.T, what string, have, want any) {
	t.Helper()
	h, _ := json.Marshal(have)
	w, _ := json.Marshal(want)
	if string(h) != string(w) {
		t.Errorf("%s: %s, want %s", what, h, w)
	}
}

func withCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}
