package unlock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ldapd/internal/await"
	"ldapd/internal/certs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// fake is a service that has one user, and keeps what it was asked.
type fake struct {
	mu    sync.Mutex
	asked []Request
	err   error         // the answer, if not nil
	block chan struct{} // waited for, if not nil
}

func (f *fake) ask(ctx context.Context, r Request) error {
	f.mu.Lock()
	f.asked = append(f.asked, r)
	err, block := f.err, f.block
	f.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch {
	case err != nil:
		return err
	case r.User != "alice" || r.Password != "right" || r.Code != "" && r.Code != "123456":
		return ErrRefused
	}
	return nil
}

func (f *fake) Unlock(ctx context.Context, r Request) (Window, error) {
	if err := f.ask(ctx, r); err != nil {
		return Window{}, err
	}
	return Window{Username: "Alice", Clients: r.Clients, Until: start.Add(30 * 24 * time.Hour)}, nil
}

func (f *fake) Lock(ctx context.Context, r Request) (int, error) {
	if err := f.ask(ctx, r); err != nil {
		return 0, err
	}
	return 2, nil
}

func (f *fake) last(t *testing.T) Request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		t.Fatal("the service was not asked")
	}
	return f.asked[len(f.asked)-1]
}

func (f *fake) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// site is a server and a browser.
type site struct {
	t       *testing.T
	url     string
	service *fake
	server  *Server
	client  *http.Client
	log     *lines
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t *testing.T, o Options) *site {
	t.Helper()
	store, err := certs.Open(certs.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log, service := &lines{}, &fake{}
	o.Service, o.TLS = service, store.TLSConfig()
	o.Log = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(log), zap.DebugLevel))
	if o.Now == nil {
		o.Now = func() time.Time { return start }
	}
	s := New(o)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	roots := x509.NewCertPool()
	hello, err := o.TLS.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(hello.Leaf)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &site{t, "https://" + ln.Addr().String(), service, s, &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, log}
}

// do sends a request and returns the status, headers and body.
func (s *site) do(method, path, body string, header ...string) (int, http.Header, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if method == "POST" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

func (s *site) post(form url.Values, header ...string) (int, string) {
	s.t.Helper()
	status, _, body := s.do("POST", "/unlock", form.Encode(), header...)
	return status, body
}

// form fills the form in: pairs of names and values.
func form(fields ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		v.Add(fields[i], fields[i+1])
	}
	return v
}

func right() url.Values {
	return form("action", "unlock", "user", "alice", "password", "right", "code", "123456", "client", "nextcloud")
}

func with(v url.Values, fields ...string) url.Values {
	for i := 0; i < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return v
}

func TestMethods(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}})
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 303}, {"HEAD", "/", 303}, {"POST", "/", 405},
		{"GET", "/unlock", 200}, {"HEAD", "/unlock", 200}, {"PUT", "/unlock", 405}, {"DELETE", "/unlock", 405}, {"OPTIONS", "/unlock", 405},
		{"GET", "/unlock/", 404}, {"GET", "/favicon.ico", 404}, {"GET", "/metrics", 404}, {"POST", "/metrics", 404},
	} {
		status, h, _ := s.do(tt.method, tt.path, "", "Sec-Fetch-Site", "same-origin")
		if status != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, status, tt.status)
		}
		if tt.status == 303 && h.Get("Location") != "/unlock" {
			t.Errorf("%s %s: to %q", tt.method, tt.path, h.Get("Location"))
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000",
		} {
			if h.Get(name) != want {
				t.Errorf("%s %s: %s: %q", tt.method, tt.path, name, h.Get(name))
			}
		}
		if p := h.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || !strings.Contains(p, "frame-ancestors 'none'") || strings.Contains(p, "unsafe") {
			t.Errorf("%s %s: policy %q", tt.method, tt.path, p)
		}
	}
}

// The policy allows the style that the page has, and there is no script.
func TestPolicyFitsThePage(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}})
	_, h, body := s.do("GET", "/unlock", "")
	m := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(body)
	if m == nil {
		t.Fatal(body)
	}
	sum := sha256.Sum256([]byte(m[1]))
	if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(h.Get("Content-Security-Policy"), want) {
		t.Errorf("%q lacks %q", h.Get("Content-Security-Policy"), want)
	}
	for _, bad := range []string{"<script", "style=", "onclick", "http:", "https:"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if got := h.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Error(got)
	}
}

func TestForm(t *testing.T) {
	for _, tt := range []struct {
		clients []string
		has     []string
		lacks   []string
	}{
		{nil, []string{"an administrator has to name clients"}, []string{"<form", "<input"}},
		{[]string{"nextcloud"}, []string{
			`<input type="checkbox" name="client" value="nextcloud" checked>`, `autocomplete="username"`, `autocomplete="current-password"`,
			`autocomplete="one-time-code"`, "Leave empty to confirm on your phone (Duo).", `<label for="user">`, `<label for="password">`, `<label for="code">`,
		}, []string{"administrator", `role="alert"`}},
		{[]string{"nextcloud", `<b>"cloud"</b>`}, []string{`value="nextcloud">`, "&lt;b&gt;"}, []string{"checked", "<b>"}},
	} {
		status, _, body := open(t, Options{Clients: tt.clients}).do("GET", "/unlock", "")
		if status != 200 {
			t.Errorf("%q: %d", tt.clients, status)
		}
		for _, want := range tt.has {
			if !strings.Contains(body, want) {
				t.Errorf("%q: %q is not in\n%s", tt.clients, want, body)
			}
		}
		for _, not := range tt.lacks {
			if strings.Contains(body, not) {
				t.Errorf("%q: %q is in\n%s", tt.clients, not, body)
			}
		}
	}
}

func TestUnlock(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud", "wiki", "mail"}})
	f := with(right(), "user", " alice ", "code", "123 456")
	f.Add("client", "wiki")
	f.Add("client", "elsewhere") // is not in the configuration
	status, body := s.post(f)
	if status != 200 {
		t.Fatalf("%d\n%s", status, body)
	}
	r := s.service.last(t)
	if r.User != "alice" || r.Password != "right" || r.Code != "123456" || !slices.Equal(r.Clients, []string{"nextcloud", "wiki"}) || r.Client != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("asked for %+v", r)
	}
	for _, want := range []string{
		"<title>Unlocked</title>", `<time datetime="2026-07-31T12:00:00Z">Friday, 31 July 2026, 12:00 UTC</time>`, "(for 30 days)",
		"<li>nextcloud</li>", "<li>wiki</li>", `<b class="name">Alice</b>`, "without a code",
		`<input type="hidden" name="action" value="end">`, `value="alice" readonly`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in\n%s", want, body)
		}
	}
	if strings.Contains(body, "mail</li>") || strings.Contains(body, "123456") {
		t.Error(body)
	}
	if log := s.log.String(); !strings.Contains(log, `"user":"Alice"`) || !strings.Contains(log, "unlocked") {
		t.Error(log)
	}

	if status, _ := s.post(with(right(), "code", "")); status != 200 || s.service.last(t).Code != "" {
		t.Errorf("by push: %d", status)
	}
	status, body = s.post(form("action", "end", "user", "alice", "password", "right", "code", "123 456"))
	if r := s.service.last(t); status != 200 || r.User != "alice" || r.Password != "right" || r.Code != "123456" || !strings.Contains(body, "The 2 windows are ended") {
		t.Errorf("end: %d\n%s", status, body)
	}
}

// TestEndTakesACode: wherever windows can be ended there is a field for a code,
// and users read that it has to be a new one.
func TestEndTakesACode(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}})
	_, _, form := s.do("GET", "/unlock", "")
	_, opened := s.post(right())
	for what, page := range map[string]string{"the form": form, "the opened window": opened} {
		if n := strings.Count(page, `id="code" name="code"`); n != 1 {
			t.Errorf("%s has %d fields for a code\n%s", what, n, page)
		}
		if strings.Contains(page, "no code is needed") {
			t.Errorf("%s says that no code is needed", what)
		}
	}
	if !strings.Contains(form, "with a new code: each works only once") || !strings.Contains(opened, "the code that you unlocked with is used up") {
		t.Errorf("a new code is not asked for\n%s\n%s", form, opened)
	}
	if status, body := s.post(with(right(), "action", "end", "code", "987654")); status != 403 || !strings.Contains(body, refused) {
		t.Errorf("a wrong code: %d\n%s", status, body)
	}
	s.service.err = errors.New("planted reason")
	if _, body := s.post(with(right(), "action", "end")); !strings.Contains(body, "cannot be determined at the moment") || !strings.Contains(body, "with a new code") {
		t.Error(body)
	}
}

func TestProblems(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud", "wiki"}})
	long := strings.Repeat("x", maxName+1)
	for name, tt := range map[string]struct {
		form   url.Values
		err    error
		status int
		say    string
		asked  int
	}{
		"nothing":     {form(), nil, 400, broken, 0},
		"no action":   {with(right(), "action", ""), nil, 400, broken, 0},
		"no user":     {with(right(), "user", " "), nil, 400, missing, 0},
		"long user":   {with(right(), "user", long), nil, 400, missing, 0},
		"no password": {with(right(), "password", ""), nil, 400, missing, 0},
		"no client":   {with(right(), "client", "elsewhere"), nil, 400, noChoice, 0},
		"busy":        {right(), ErrBusy, 429, busy, 1},
		"trouble":     {right(), errors.New("planted reason"), 503, trouble, 1},
		"refused":     {right(), ErrRefused, 403, refused, 1},
		"end refused": {with(right(), "action", "end"), ErrRefused, 403, refused, 1},
		"end trouble": {with(right(), "action", "end"), errors.New("planted reason"), 503, stillOpen, 1},
	} {
		s.service.err = tt.err
		before := s.service.times()
		status, h, body := s.do("POST", "/unlock", tt.form.Encode())
		if status != tt.status || !strings.Contains(body, `role="alert">`+tt.say+"</p>") || s.service.times()-before != tt.asked {
			t.Errorf("%s: %d, asked %d times\n%s", name, status, s.service.times()-before, body)
		}
		if retry := h.Get("Retry-After"); (retry != "") != (status == 429 || status == 503) {
			t.Errorf("%s: Retry-After %q", name, retry)
		}
		if strings.Contains(body, "planted reason") || strings.Contains(body, long) {
			t.Errorf("%s: shown\n%s", name, body)
		}
	}
	if !strings.Contains(s.log.String(), "planted reason") {
		t.Error("the reason is not in the log")
	}
}

// Whoever tries learns nothing from how he was refused, and finds nothing of
// what he typed but the name.
func TestRefusalsAreEqual(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}})
	var first string
	for i, f := range []url.Values{
		with(right(), "password", "planted-password"),
		with(right(), "code", "987654"),
		with(right(), "user", "nobody"),
		with(right(), "user", "nobody", "password", "planted-password", "code", ""),
		with(right(), "password", "planted-password", "action", "end"),
		with(right(), "user", "nobody", "action", "end"),
	} {
		status, h, body := s.do("POST", "/unlock", f.Encode())
		h.Del("Date")
		h.Del("Content-Length")
		got := strings.Replace(body, `value="`+f.Get("user")+`"`, "", 1)
		for _, name := range slices.Sorted(maps.Keys(h)) {
			got += name + h.Get(name)
		}
		if i == 0 {
			first = got
		}
		if status != 403 || got != first {
			t.Errorf("%d: %d\n%s\nwant\n%s", i, status, got, first)
		}
		for _, secret := range []string{"planted-password", "987654", "123456"} {
			if strings.Contains(body, secret) {
				t.Errorf("%d: %q is shown", i, secret)
			}
		}
	}
	if log := s.log.String(); strings.Contains(log, "planted") || strings.Contains(log, "987654") || strings.Contains(log, "nobody") || strings.Contains(log, "alice") {
		t.Errorf("logged: %s", log)
	}
}

func TestEscapesTheName(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}})
	status, body := s.post(with(right(), "user", `"><script>alert(1)</script>`))
	if status != 403 || strings.Contains(body, "<script") || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("%d\n%s", status, body)
	}
}

func TestBodies(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}})
	largest := right().Encode() + "&pad="
	largest += strings.Repeat("x", formBytes-len(largest))
	for name, tt := range map[string]struct {
		body, kind string
		status     int
	}{
		"the largest":   {largest, "", 200},
		"too large":     {with(right(), "pad", strings.Repeat("x", formBytes)).Encode(), "", 413},
		"far too large": {strings.Repeat("user=x&", 1<<17), "", 413},
		"bad escape":    {"user=%zz", "", 400},
		"JSON":          {`{"user":"alice"}`, "application/json", 400},
		"no form":       {"user=alice", "text/plain", 400},
	} {
		header := []string{}
		if tt.kind != "" {
			header = []string{"Content-Type", tt.kind}
		}
		if status, _, body := s.do("POST", "/unlock", tt.body, header...); status != tt.status {
			t.Errorf("%s: %d\n%s", name, status, body)
		}
	}
	// What the URL says is in logs of proxies, so it is not taken.
	if status, _, _ := s.do("POST", "/unlock?"+right().Encode(), ""); status != 400 {
		t.Errorf("in the URL: %d", status)
	}
}

func TestOtherSites(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}})
	for _, tt := range []struct {
		site, origin string
		status       int
	}{
		{"same-origin", "", 200}, {"none", "", 200}, {"", s.url, 200}, {"", "", 200},
		{"cross-site", "", 403}, {"same-site", "", 403}, {"", "https://evil.example", 403}, {"", "null", 403},
		{"cross-site", s.url, 403},
	} {
		before := s.service.times()
		status, body := s.post(right(), "Sec-Fetch-Site", tt.site, "Origin", tt.origin)
		asked := s.service.times() - before
		if status != tt.status || asked != map[int]int{200: 1}[status] || status == 403 && !strings.Contains(body, foreign) {
			t.Errorf("%+v: %d, asked %d times\n%s", tt, status, asked, body)
		}
	}
}

func TestNoClients(t *testing.T) {
	s := open(t, Options{})
	status, body := s.post(right())
	if status != 404 || strings.Contains(body, "<form") || s.service.times() != 0 {
		t.Errorf("%d\n%s", status, body)
	}
}

func TestAttemptsAtTheSameTime(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	s.service.block = make(chan struct{})
	var wg sync.WaitGroup
	const most = attempts - 1
	for i := range most {
		wg.Go(func() {
			if status, body := s.post(right(), "X-Forwarded-For", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String()); status != 200 {
				t.Errorf("%d: %d\n%s", i, status, body)
			}
		})
	}
	await.That(t, "all turns are taken", func() bool { return s.service.times() >= most })
	if status, body := s.post(right(), "X-Forwarded-For", "192.0.2.1"); status != 503 || !strings.Contains(body, busy) {
		t.Errorf("one more: %d\n%s", status, body)
	}
	close(s.service.block)
	wg.Wait()
	if status, _ := s.post(right(), "X-Forwarded-For", "192.0.2.1"); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

func TestShutdownCutsOff(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}})
	s.service.block = make(chan struct{}) // until the browser is cut off
	answered := make(chan error, 1)
	go func() {
		res, err := s.client.PostForm(s.url+"/unlock", right())
		if err == nil {
			res.Body.Close()
		}
		answered <- err
	}()
	await.That(t, "the turn is taken", func() bool { return s.service.times() > 0 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("the answer was not cut off")
	}
}

func TestServeError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	s := New(Options{Log: zap.NewNop(), TLS: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}})
	if err := s.Serve(ln); err == nil {
		t.Error("a closed listener: no error")
	}
}

func TestSpell(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1 minute", 90 * time.Second: "2 minutes", 59 * time.Minute: "59 minutes", time.Hour: "1 hour",
		61 * time.Minute: "1 hour and 1 minute", 6*time.Hour + 5*time.Minute: "6 hours", 24 * time.Hour: "1 day",
		25 * time.Hour: "1 day and 1 hour", 49 * time.Hour: "2 days", 720*time.Hour - time.Second: "30 days",
	} {
		if got := spell(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
