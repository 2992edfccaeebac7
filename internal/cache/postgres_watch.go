package cache

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
)

// Limits of Watch. watchQuiet is how long a server may be silent before it is
// asked, and how long its answer may take: after twice as long a connection is
// known to be dead, although nobody said so.
const (
	watchQuiet      = 5 * time.Second
	watchRetryFirst = 50 * time.Millisecond
	watchRetryMost  = 2 * time.Second
)

// payload tells of a change of a key, "" for all of them. Keys are encoded,
// because a notification may hold neither NUL nor what the database's encoding
// does not know.
func (p *Postgres) payload(key string) string {
	return p.id + " " + base64.RawStdEncoding.EncodeToString([]byte(key))
}

// Watch calls changed for each key that another process changed or revoked,
// and with "" when any may have: whenever it has connected, and after
// RevokeAll. It connects by itself, again and again, until ctx ends, and
// returns nil then.
func (p *Postgres) Watch(ctx context.Context, changed func(key string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	retry, lost := watchRetryFirst, false
	for {
		lasted, err := p.listen(ctx, func(key string) {
			if lost {
				lost = false
				p.log.Info("PostgreSQL tells of changes again")
			}
			changed(key)
		})
		if lasted {
			retry = watchRetryFirst
		}
		if p.life.Err() != nil {
			return fmt.Errorf("watch: %w", ErrClosed)
		}
		if ctx.Err() != nil {
			return nil
		}
		if !lost {
			lost = true
			p.log.Warn("PostgreSQL does not tell of changes", zap.Error(err))
			p.pool.Reset() // those connections are hardly any better
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
		}
		retry = min(2*retry, watchRetryMost)
	}
}

// listen tells of changes until its connection is lost. lasted says that the
// connection was good for something.
func (p *Postgres) listen(ctx context.Context, changed func(key string)) (lasted bool, err error) {
	c, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.quiet)
		defer cancel()
		c.Close(ctx)
	}()
	if err := p.ask(ctx, func(ctx context.Context) error {
		_, err := c.Exec(ctx, `LISTEN ldapd`)
		return err
	}); err != nil {
		return false, err
	}
	changed("")
	for ; ; lasted = true {
		n, err := p.next(ctx, c)
		if err != nil {
			return lasted, err
		}
		id, encoded, ok := strings.Cut(n, " ")
		if id == p.id || n == "" {
			continue
		}
		key, err := base64.RawStdEncoding.DecodeString(encoded)
		if err != nil || !ok {
			key = nil // of another version: anything may have changed
		}
		changed(string(key))
	}
}

// next waits for a notification, and returns "" if none came for a while
// although the server is there.
func (p *Postgres) next(ctx context.Context, c *pgx.Conn) (payload string, err error) {
	quiet, cancel := context.WithTimeout(ctx, p.quiet)
	defer cancel()
	n, err := c.WaitForNotification(quiet)
	switch {
	case err == nil:
		return n.Payload, nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case quiet.Err() == nil:
		return "", err
	}
	return "", p.ask(ctx, c.Ping)
}

// ask waits for an answer, but not long.
func (p *Postgres) ask(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.quiet)
	defer cancel()
	return f(ctx)
}
