package authentik

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ldapd/internal/backoff"
)

const apiPath = "api/v3/"

// Limits of one request.
const (
	requestTimeout = 20 * time.Second
	maxBody        = 4 << 20
	maxDrained     = 64 << 10 // read to the end to keep the connection
	maxRefusal     = 16 << 10 // read of an error's body
)

// A read is tried this often, with a pause that grows fourfold in between. A
// bind has somebody waiting, so its reads are tried again once.
const (
	attempts     = 3
	flowAttempts = 2
	firstPause   = 150 * time.Millisecond
	pauseGrowth  = 4
	lastPause    = pauseGrowth * firstPause
)

// request is one call of the API.
type request struct {
	method  string
	path    string // below apiPath, encoded
	query   string // encoded
	body    []byte // JSON
	header  http.Header
	tries   int           // attempts, if it is a read
	timeout time.Duration // of each attempt
	limit   int64         // octets of the answer

	// accept gets an answer with a status below 400, within the timeout.
	accept func(resp *http.Response) error
}

// get reads a resource as the outpost.
func (c *Client) get(ctx context.Context, path string, query url.Values, v any) error {
	return c.outpost(ctx, request{
		path: path, query: query.Encode(), timeout: requestTimeout, limit: maxBody,
		accept: func(resp *http.Response) error { return decode(resp, v) },
	})
}

// outpost sends a request with the token of the outpost.
func (c *Client) outpost(ctx context.Context, r request) error {
	token, err := c.token()
	if err != nil {
		return err
	}
	r.method, r.tries = http.MethodGet, attempts
	r.header = http.Header{"Authorization": {"Bearer " + token}}
	return c.do(ctx, r)
}

// do sends a request; reads are tried again if the trouble may be over by then.
func (c *Client) do(ctx context.Context, r request) error {
	retry := backoff.Backoff{First: firstPause, Last: lastPause, Factor: pauseGrowth}
	for n := 1; ; n++ {
		err := c.try(ctx, r)
		if err == nil || n >= r.tries || r.method != http.MethodGet || !passing(err) || ctx.Err() != nil || !retry.Wait(ctx) {
			return err
		}
	}
}

// try sends a request once.
func (c *Client) try(ctx context.Context, r request) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, c.url(r.path, r.query), bytes.NewReader(r.body))
	if err != nil {
		return fmt.Errorf("%s %s: malformed URL", r.method, r.path)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	// Not an http.Client: nothing is to be redirected, and no cookie kept.
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return &connError{r.method, req.URL.Path, timedOut(ctx, r.timeout, err)}
	}
	body := &bounded{r: resp.Body, left: r.limit}
	resp.Body = body
	defer body.finish()
	if resp.StatusCode >= 400 {
		return refusal(resp, req)
	}
	if err := r.accept(resp); err != nil {
		if body.err != nil {
			err = timedOut(ctx, r.timeout, body.err)
			return &connError{r.method, req.URL.Path, err}
		}
		return answerError(resp, req, err)
	}
	return nil
}

// url returns the address of a resource of the API; path and query are
// encoded.
func (c *Client) url(path, query string) string {
	s := c.base.String() + apiPath + path
	if query != "" {
		s += "?" + query
	}
	return s
}

// timedOut names the timeout if that is what ended a request.
func timedOut(ctx context.Context, limit time.Duration, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", limit, context.DeadlineExceeded)
	}
	return err
}

// decode reads an answer of status 200.
func decode(resp *http.Response, v any) error {
	if err := expectOK(resp); err != nil {
		return err
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

func expectOK(resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	if to, err := resp.Location(); err == nil {
		return fmt.Errorf("redirected to %s, which host should name", place(to))
	}
	return fmt.Errorf("unexpected status %s", resp.Status)
}

// place is as much of a URL as may be logged.
func place(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// passing reports that a read may well succeed in a moment.
func passing(err error) bool {
	var api *APIError
	if errors.As(err, &api) {
		switch api.Status {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var conn *connError
	var cert *tls.CertificateVerificationError
	return errors.As(err, &conn) && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.As(err, &cert) && !errors.Is(err, errTooLong)
}

// connError is an exchange that came to no end.
type connError struct {
	method, path string
	err          error
}

func (e *connError) Error() string { return e.method + " " + e.path + ": " + e.err.Error() }
func (e *connError) Unwrap() error { return e.err }

var errTooLong = errors.New("the answer is too long")

// bounded is a body that ends with an error when it gets too long, and
// remembers what ended it too early.
type bounded struct {
	r    io.ReadCloser
	left int64
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		err = errTooLong
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

func (b *bounded) Close() error { return b.r.Close() }

// finish reads the rest, if it is short, since only then the connection can
// be used again.
func (b *bounded) finish() {
	if b.err == nil {
		io.CopyN(io.Discard, b.r, maxDrained)
	}
	b.r.Close()
}

// refusal makes an error of an answer with a status from 400.
func refusal(resp *http.Response, req *http.Request) error {
	e := &APIError{
		Status: resp.StatusCode, RequestID: requestID(resp),
		Method: req.Method, Path: req.URL.Path,
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	e.Detail = detail(body)
	return e
}

// answerError is an answer that cannot be understood.
func answerError(resp *http.Response, req *http.Request, err error) error {
	if id := requestID(resp); id != "" {
		return fmt.Errorf("%s %s: %w (request %s)", req.Method, req.URL.Path, err, id)
	}
	return fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, err)
}

// requestID returns what authentik logs beside a request, if it looks so.
func requestID(resp *http.Response) string {
	id := resp.Header.Get("X-authentik-id")
	if len(id) > 64 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return ""
	}
	return id
}
