package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long Open waits for another process to let go of the
// file, as at a restart.
const lockTimeout = 3 * time.Second

// ErrLocked means that another process holds the file.
var ErrLocked = errors.New("held by another process; is another ldapd running with the same state_dir?")

// Bolt keeps its content in one file. What was answered survives the death of
// the process and of the machine.
type Bolt struct {
	db   *bbolt.DB
	now  Clock
	turn chan struct{} // one at a time; a channel, because waiting for it has an end

	broken error // set once the file turned out to be damaged; by who has the turn

	closing sync.Once
	closed  chan struct{}
}

// The buckets of the file. Numbers are big-endian. What ends has an index by
// its end (Unix seconds, rounded up): the end, then its key.
const (
	bucketUsed      = "used_codes"        // user, 0, counter -> end
	bucketUsedEnds  = "used_codes_expiry" //
	bucketValues    = "values"            // key -> value
	bucketRevoked   = "revoked"           // key -> epoch, end
	bucketGraves    = "revoked_expiry"    //
	bucketTallies   = "tallies"           // key -> see encodeTally
	bucketTallyEnds = "tallies_expiry"    //
	bucketGuesses   = "guesses"           // key -> see encodeGuesses
	bucketGuessEnds = "guesses_expiry"    //
	bucketMeta      = "meta"              // see below
)

// The keys of bucketMeta.
const (
	metaCounter = "epoch"     // the last epoch given out
	metaAll     = "epoch_all" // of all keys
	metaCheck   = "key_check" // of CheckKey
)

// Open opens or makes the store in the file at path, readable by nobody else.
// It fails with ErrLocked if another process holds it for longer than a few
// seconds. now may be nil.
func Open(path string, now Clock) (*Bolt, error) {
	b := &Bolt{now: now.orSystem(), turn: make(chan struct{}, 1), closed: make(chan struct{})}
	if err := b.open(path); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

func (b *Bolt) open(path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer survive(&err)
	switch st, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return unwrapPath(err)
	case !st.Mode().IsRegular():
		return errors.New("not a regular file")
	default:
		if err := os.Chmod(path, 0o600); err != nil {
			return unwrapPath(err)
		}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterr.ErrTimeout):
		return ErrLocked
	case errors.Is(err, bolterr.ErrInvalid), errors.Is(err, bolterr.ErrChecksum), errors.Is(err, bolterr.ErrVersionMismatch):
		return damaged(err)
	case err != nil:
		return unwrapPath(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{
			bucketUsed, bucketUsedEnds, bucketValues, bucketRevoked, bucketGraves, bucketTallies, bucketTallyEnds,
			bucketGuesses, bucketGuessEnds, bucketMeta,
		} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	b.db = db
	return nil
}

// take waits for the turn, which the caller gives back.
func (b *Bolt) take(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the store: %w", ctx.Err())
	}
	if b.broken != nil {
		<-b.turn
		return nil, b.broken
	}
	return func() { <-b.turn }, nil
}

// read runs f in a transaction that only reads; the caller has the turn.
func (b *Bolt) read(f func(*bbolt.Tx) error) error { return b.run(b.db.View, f) }

// write runs f in a transaction, which is on disk when it returns; the caller
// has the turn.
func (b *Bolt) write(f func(*bbolt.Tx) error) error { return b.run(b.db.Update, f) }

func (b *Bolt) run(transact func(func(*bbolt.Tx) error) error, f func(*bbolt.Tx) error) error {
	err := shielded(transact, f)
	switch {
	case errors.Is(err, bolterr.ErrDatabaseNotOpen):
		return ErrClosed
	case errors.Is(err, errDamaged):
		// bbolt's locks may be held still.
		b.broken = err
	}
	return err
}

func shielded(transact func(func(*bbolt.Tx) error) error, f func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer survive(&err)
	return transact(f)
}

// do takes the turn for one transaction.
func (b *Bolt) do(ctx context.Context, run func(func(*bbolt.Tx) error) error, f func(*bbolt.Tx) error) error {
	release, err := b.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	return run(f)
}

// bucket returns a bucket that Open made.
func bucket(tx *bbolt.Tx, name string) (*bbolt.Bucket, error) {
	if b := tx.Bucket([]byte(name)); b != nil {
		return b, nil
	}
	return nil, damaged(fmt.Errorf("bucket %s missing", name))
}

// pair returns the bucket of what ends, and its index.
func pair(tx *bbolt.Tx, name, index string) (b, ends *bbolt.Bucket, err error) {
	if b, err = bucket(tx, name); err != nil {
		return nil, nil, err
	}
	ends, err = bucket(tx, index)
	return b, ends, err
}

// addEnd puts a key on an index.
func addEnd(ends *bbolt.Bucket, until uint64, key []byte) error {
	return ends.Put(append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(key)), until), key...), nil)
}

// passed takes the oldest keys that have ended by now from an index.
func passed(ends *bbolt.Bucket, now uint64) (keys [][]byte, err error) {
	// A key is good until the next write, and deleting under a cursor skips.
	c := ends.Cursor()
	for k, _ := c.First(); k != nil && len(keys) < purgeMost; k, _ = c.Next() {
		if len(k) < 8 {
			return nil, damaged(errors.New("short key"))
		}
		if binary.BigEndian.Uint64(k) > now {
			break
		}
		keys = append(keys, append([]byte(nil), k...))
	}
	for i, k := range keys {
		if err := ends.Delete(k); err != nil {
			return nil, err
		}
		keys[i] = k[8:]
	}
	return keys, nil
}

// Shared implements Store: the file is locked.
func (b *Bolt) Shared() bool { return false }

// Watch waits for ctx to end: nobody else changes the store.
func (b *Bolt) Watch(ctx context.Context, _ func(key string)) error {
	return waitClosed(ctx, b.closed)
}

// Len returns how many claims, counters, keys with guesses and epochs of
// single keys are held.
func (b *Bolt) Len(ctx context.Context) (n int, err error) {
	err = b.do(ctx, b.read, func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketUsed, bucketTallies, bucketGuesses, bucketRevoked} {
			b, err := bucket(tx, name)
			if err != nil {
				return err
			}
			n += b.Stats().KeyN
		}
		return nil
	})
	return n, err
}

// Close lets go of the file, when what is under way is done.
func (b *Bolt) Close() error {
	b.closing.Do(func() { close(b.closed) })
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.broken != nil {
		return b.broken
	}
	return b.db.Close()
}

func seconds(t time.Time) uint64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return uint64(max(s, 0))
}

// errDamaged marks what only a new file cures.
var errDamaged = errors.New("damaged; stop ldapd, move the file away and start again: " +
	"it holds the verified binds, so users with a second factor must then bring it again, and the codes used in the last minutes")

func damaged(cause error) error { return fmt.Errorf("%w (%w)", errDamaged, cause) }

// survive turns a panic into an error: bbolt trusts the pages that it reads,
// and it reads them through a mapping, where a truncated file is a fault.
func survive(err *error) {
	if r := recover(); r != nil {
		*err = damaged(fmt.Errorf("%v", r))
	}
}

// unwrapPath drops the path from an error of package os; ours has it already.
func unwrapPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
