package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"ldapd/internal/unlock"
)

// How long an answer may take.
const (
	answerTimeout = 30 * time.Second
	unlockTimeout = writeTimeout
)

// maxAnswer bounds an answer, in bytes: a list of some hundred thousand binds.
const maxAnswer = 512 << 20

// Client asks the running server.
type Client struct {
	http http.Client
}

var _ Service = (*Client)(nil)

// Dial returns a client of the server that runs with a state directory. It
// fails with ErrNotRunning if there is none. The client keeps no connection,
// so there is nothing to close.
func Dial(stateDir string) (*Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	switch conn, err := dial(ctx, stateDir); {
	case errors.Is(err, ErrNotRunning):
		return nil, fmt.Errorf("%w (no control socket in %s)", ErrNotRunning, stateDir)
	case err != nil:
		return nil, fmt.Errorf("control socket in %s: %w", stateDir, cause(err))
	default:
		if err := conn.Close(); err != nil {
			return nil, err
		}
	}
	return &Client{http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, stateDir)
		},
	}}}, nil
}

// List implements Service.
func (c *Client) List(ctx context.Context) (binds []Bind, err error) {
	err = c.do(ctx, answerTimeout, http.MethodGet, "/binds", nil, &binds)
	return binds, err
}

// Revoke implements Service.
func (c *Client) Revoke(ctx context.Context, user string) (n int, err error) {
	var res count
	err = c.do(ctx, answerTimeout, http.MethodPost, "/revoke", whom{user}, &res)
	return res.N, err
}

// RevokeAll implements Service.
func (c *Client) RevokeAll(ctx context.Context) (n int, err error) {
	var res count
	err = c.do(ctx, answerTimeout, http.MethodPost, "/revoke-all", nil, &res)
	return res.N, err
}

// Forgive implements Service.
func (c *Client) Forgive(ctx context.Context, user string) (n int, err error) {
	var res count
	err = c.do(ctx, answerTimeout, http.MethodPost, "/forgive", whom{user}, &res)
	return res.N, err
}

// Unlock implements Service.
func (c *Client) Unlock(ctx context.Context, r unlock.Request) (win unlock.Window, err error) {
	err = c.do(ctx, unlockTimeout, http.MethodPost, "/unlock", attempt{
		User: r.User, Password: []byte(r.Password), Code: []byte(r.Code), Clients: r.Clients, Client: r.Client,
	}, &win)
	return win, err
}

// Status implements Service.
func (c *Client) Status(ctx context.Context) (st Status, err error) {
	err = c.do(ctx, answerTimeout, http.MethodGet, "/status", nil, &st)
	return st, err
}

func (c *Client) do(ctx context.Context, timeout time.Duration, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://ldapd"+path, body)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	defer res.Body.Close()
	answer := json.NewDecoder(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode == http.StatusOK {
		if err := answer.Decode(out); err != nil {
			return fmt.Errorf("control socket: the answer of %s: %w", path, err)
		}
		return nil
	}
	var f failure
	if err := answer.Decode(&f); err != nil || f.Error == "" {
		return fmt.Errorf("control socket: %s answered %d", path, res.StatusCode)
	}
	switch res.StatusCode {
	case http.StatusForbidden:
		return unlock.ErrRefused
	case http.StatusTooManyRequests:
		return unlock.ErrBusy
	}
	return errors.New(f.Error)
}
