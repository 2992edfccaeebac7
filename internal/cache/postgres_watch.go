package cache

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Watch tests whether it hears: it has the server notify everybody of nothing,
// and waits for that to come back. A connection that is dead or deaf is so
// known watchTest and watchPatience later, although nobody said so.
const (
	watchTest     = 10 * time.Second // from one test to the next
	watchPatience = 5 * time.Second  // for each answer
)

// errDeaf is why Watch ends if all but the notifications come through.
var errDeaf = errors.New("a notification of our own did not come back; if a pooler such as PgBouncer is between ldapd and PostgreSQL, " +
	"it must be in session mode, as LISTEN does not work in transaction mode")

// payload tells of a change of a key, "" for all of them. Keys are encoded,
// because a notification may hold neither NUL nor what the database's encoding
// does not know.
func (p *Postgres) payload(key string) string {
	return p.id + " " + base64.RawStdEncoding.EncodeToString([]byte(key))
}

// testPrefix is what a test has in place of a key; no key is not UTF-8.
const testPrefix = "\xff"

// Watch implements Store. It calls changed with "" once it is sure that it
// hears, and after RevokeAll. It fails when it hears no longer, or never did,
// in [watchPatience] after a test at most; whoever calls it again has missed
// what was changed in between.
func (p *Postgres) Watch(ctx context.Context, changed func(key string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	heard, err := p.listen(ctx, changed)
	switch {
	case p.life.Err() != nil:
		return fmt.Errorf("watch: %w", ErrClosed)
	case ctx.Err() != nil:
		return nil
	}
	if heard && !errors.Is(err, errDeaf) {
		p.pool.Reset() // those connections are hardly any better
	}
	return fmt.Errorf("watch: %w", err)
}

// listen tells of changes until it hears no longer. heard says that it did.
func (p *Postgres) listen(ctx context.Context, changed func(key string)) (heard bool, err error) {
	c, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.patience)
		defer cancel()
		c.Close(ctx)
	}()
	if err := p.soon(ctx, func(ctx context.Context) error {
		_, err := c.Exec(ctx, `LISTEN ldapd`)
		return err
	}); err != nil {
		return false, err
	}
	// What comes before it is sure is part of what may have changed.
	if err := p.test(ctx, c, func(string) {}); err != nil {
		return false, err
	}
	changed("")
	for {
		if err := p.hear(ctx, c, p.quiet, "", changed); err != nil {
			return true, err
		}
		if err := p.test(ctx, c, changed); err != nil {
			return true, err
		}
	}
}

// test has the server notify, by another connection, and waits to hear of it.
// By the same one it would hear even behind a pooler.
func (p *Postgres) test(ctx context.Context, c *pgx.Conn, changed func(key string)) error {
	nonce := testPrefix + rand.Text()
	if err := p.soon(ctx, func(ctx context.Context) error {
		_, err := p.pool.Exec(ctx, sqlNotify, p.payload(nonce))
		return err
	}); err != nil {
		return err
	}
	return p.hear(ctx, c, p.patience, nonce, changed)
}

// hear tells of changes for some time. If there is a nonce, it does so until
// that was heard, and fails with errDeaf if it was not.
func (p *Postgres) hear(ctx context.Context, c *pgx.Conn, d time.Duration, nonce string, changed func(key string)) error {
	some, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		n, err := c.WaitForNotification(some)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case some.Err() == nil:
			return err
		case nonce != "":
			return errDeaf
		default:
			return nil
		}
		key, own := p.read(n.Payload)
		switch {
		case own && nonce != "" && key == nonce:
			return nil
		case !own && !strings.HasPrefix(key, testPrefix):
			changed(key)
		}
	}
}

// read returns the key that a notification is about; own says that it is of
// this store.
func (p *Postgres) read(payload string) (key string, own bool) {
	id, encoded, ok := strings.Cut(payload, " ")
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil || !ok {
		raw = nil // of another version: anything may have changed
	}
	return string(raw), id == p.id
}

// soon does what must not take long.
func (p *Postgres) soon(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	return f(ctx)
}
