package authentik

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"ldapd/internal/backoff"
)

// Times of the websocket. authentik shows an outpost as offline 15 s after its
// last hello.
const (
	helloEvery   = 10 * time.Second
	helloTimeout = 10 * time.Second
	// silentHellos is how many hellos in a row may stay without an answer: a
	// connection that died without notice accepts writes for many minutes.
	silentHellos  = 3
	dialWebsocket = 10 * time.Second
	reconnectMin  = time.Second
	reconnectMax  = 5 * time.Minute
	maxFrame      = 64 << 10
)

// Instructions of websocket messages.
const (
	wsHello         = 1
	wsTriggerUpdate = 2
	wsSessionEnd    = 4
)

// socket is the websocket of the outpost: it shows authentik that we live, and
// hears of changed settings and ended sessions.
type socket struct {
	client   *Client
	outpost  string // id
	instance string // UUID of this process
	version  string // of ldapd
	after    func(time.Duration) <-chan time.Time
	rand     func() float64 // see backoff.Backoff
	log      *zap.Logger

	// These are called by one goroutine and must not block.
	update     func()            // settings changed
	sessionEnd func(hash string) // lower-case hex SHA-256 of the session's sid
	connected  func(bool)
}

var errSilent = fmt.Errorf("no answer to %d hellos", silentHellos)

// run keeps the connection until ctx ends.
func (s *socket) run(ctx context.Context) {
	defer s.connected(false)
	retry := backoff.Backoff{First: reconnectMin, Last: reconnectMax, Rand: s.rand}
	for attempt := 0; ; attempt++ {
		answered, err := s.serve(ctx, attempt)
		s.connected(false)
		if ctx.Err() != nil {
			return
		}
		if answered {
			retry.Reset()
		}
		wait := retry.Next()
		s.log.Warn("websocket to authentik lost", zap.Error(err), zap.Duration("retry_in", wait))
		select {
		case <-ctx.Done():
			return
		case <-s.after(wait):
		}
	}
}

// serve connects and serves the connection until it breaks; answered tells
// whether authentik said anything on it.
func (s *socket) serve(ctx context.Context, attempt int) (answered bool, err error) {
	conn, err := s.dial(ctx, attempt)
	if err != nil {
		return false, err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxFrame)
	s.connected(true)
	s.log.Info("websocket to authentik connected", zap.Int("attempt", attempt))

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var heard atomic.Bool
	silent := make(chan int)
	done := make(chan struct{})
	go func() {
		defer close(done)
		cancel(s.hello(ctx, conn, silent))
	}()
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			cancel(err)
			<-done
			return heard.Load(), err
		}
		heard.Store(true)
		select {
		case silent <- 0:
		case <-done:
		}
		s.message(data)
	}
}

func (s *socket) dial(ctx context.Context, attempt int) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWebsocket)
	defer cancel()
	token, err := s.client.token()
	if err != nil {
		return nil, err
	}
	conn, resp, err := websocket.Dial(ctx, s.url(attempt), &websocket.DialOptions{
		HTTPClient: &http.Client{
			Transport:     s.client.transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		HTTPHeader: http.Header{
			"Authorization": {"Bearer " + token},
			"User-Agent":    {s.client.userAgent},
		},
	})
	switch {
	case err == nil:
		return conn, nil
	case resp != nil && resp.StatusCode >= 300:
		// The library's error repeats the URL; the status says it all.
		return nil, fmt.Errorf("websocket refused: status %d", resp.StatusCode)
	}
	return nil, err
}

// url returns the address, with the query that the host carries.
func (s *socket) url(attempt int) string {
	u := *s.client.base
	u.Path += "ws/outpost/" + url.PathEscape(s.outpost) + "/"
	u.RawQuery = url.Values{
		"instance_uuid": {s.instance},
		"attempt":       {strconv.Itoa(attempt)},
	}.Encode()
	if s.client.query != "" {
		u.RawQuery = s.client.query + "&" + u.RawQuery
	}
	return u.String()
}

// hello says hello at once and every ten seconds until it cannot or nobody
// answers. A value from silent sets the number of unanswered ones.
func (s *socket) hello(ctx context.Context, conn *websocket.Conn, silent <-chan int) error {
	message, err := s.greeting()
	if err != nil {
		return err
	}
	for unanswered := 0; ; {
		if unanswered == silentHellos {
			return errSilent
		}
		if err := write(ctx, conn, message); err != nil {
			return err
		}
		unanswered++
		for next := s.after(helloEvery); next != nil; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case unanswered = <-silent:
			case <-next:
				next = nil
			}
		}
	}
}

func write(ctx context.Context, conn *websocket.Conn, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, message); err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	return nil
}

func (s *socket) greeting() ([]byte, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "ldapd"
	}
	return json.Marshal(map[string]any{
		"instruction": wsHello,
		"args": map[string]any{
			"version":        publicVersion(s.version),
			"buildHash":      buildHash,
			"uuid":           s.instance,
			"hostname":       host,
			"golangVersion":  runtime.Version(),
			"opensslEnabled": false,
			"opensslVersion": "",
			"fipsEnabled":    false,
		},
	})
}

// buildHash is nobody's: authentik compares versions, and shows an outpost as
// outdated, only if the hash is its own, which is empty in a release.
const buildHash = "ldapd"

// pep440 is what authentik can parse as a version; its page of the outpost
// fails on any other.
var pep440 = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?$`)

func publicVersion(v string) string {
	if !pep440.MatchString(v) {
		return "0"
	}
	return v
}

// message acts on what authentik says; what is not known is ignored.
func (s *socket) message(data []byte) {
	var m struct {
		Instruction int             `json:"instruction"`
		Args        json.RawMessage `json:"args"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		s.log.Debug("websocket message that cannot be read", zap.Error(err))
		return
	}
	switch m.Instruction {
	case wsTriggerUpdate:
		s.update()
	case wsSessionEnd:
		hash, err := sessionHash(m.Args)
		if err != nil {
			s.log.Warn("websocket message about a session that cannot be read", zap.Error(err))
			return
		}
		s.sessionEnd(hash)
	}
}

func sessionHash(args json.RawMessage) (string, error) {
	var a struct {
		ID string `json:"session_id"`
	}
	if err := json.Unmarshal(args, &a); err != nil {
		return "", err
	}
	if !hexDigest.MatchString(a.ID) {
		return "", errors.New("session_id is no digest")
	}
	return a.ID, nil
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
