package cache_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"ldapd/internal/cache"
)

// childEnv makes the test binary a process that works on the store in a file
// until it is killed; startEnv is the number of its first operation.
const (
	childEnv = "CACHE_TEST_WORK_IN"
	startEnv = "CACHE_TEST_START"
)

const (
	killRounds  = 40
	killWorkers = 3
	killKeys    = 5 // of each worker
)

// operation is what a worker does as its nth: it writes a value that tells n,
// or revokes, or claims a code.
type operation struct {
	key, value string // value "": revoke
	code       int64  // not 0: claim
	guess      bool   // code is one, tried under guessKey
}

func nth(worker, n int) operation {
	switch key := fmt.Sprint("worker ", worker, " key ", n%killKeys); n % 7 {
	case 2, 3:
		return operation{code: int64(n*killWorkers + worker), guess: n%7 == 2}
	case 5:
		return operation{key: key}
	default:
		// Some values need pages of their own.
		return operation{key: key, value: fmt.Sprint(n, " ", string(bytes.Repeat([]byte("x"), n%7*3000)))}
	}
}

// workForEver has several workers on the store, and says after each operation
// whose it was and which.
func workForEver(path string) {
	b, err := cache.Open(path, time.Now)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	start, err := strconv.Atoi(os.Getenv(startEnv))
	failed := make(chan error)
	for w := range killWorkers {
		go func() {
			err := err
			for n := start; err == nil; n++ {
				if err = work(b, nth(w, n)); err == nil {
					fmt.Println(w, n) // one write
				}
			}
			failed <- err
		}()
	}
	fmt.Fprintln(os.Stderr, <-failed)
	os.Exit(1)
}

func work(b *cache.Bolt, op operation) error {
	ctx := context.Background()
	switch {
	case op.guess:
		_, _, err := b.Guess(ctx, guessKey(op.code), secretOf(op.code), time.Hour)
		return err
	case op.code != 0:
		_, err := b.Claim(ctx, "alice", op.code, time.Now().Add(time.Hour))
		return err
	case op.value == "":
		return b.Revoke(ctx, op.key)
	}
	_, epoch, err := b.Load(ctx, op.key)
	if err != nil {
		return err
	}
	return b.Update(ctx, op.key, epoch, func([]byte) ([]byte, error) { return []byte(op.value), nil })
}

// guessKey spreads guesses over keys, so that none has too many.
func guessKey(code int64) (key [16]byte) {
	binary.BigEndian.PutUint64(key[:], uint64(code/16))
	return key
}

func secretOf(code int64) (secret [16]byte) {
	binary.BigEndian.PutUint64(secret[:], uint64(code))
	return secret
}

// killed is what must be in the store.
type killed struct {
	values  map[string]string
	revoked map[string]bool // whether the epoch has risen
	codes   map[int64]bool
	guesses map[int64]bool
	last    [killWorkers]int // operation that was answered last
}

func (k *killed) answered(worker, n int) {
	k.last[worker] = n
	switch op := nth(worker, n); {
	case op.guess:
		k.guesses[op.code] = true
	case op.code != 0:
		k.codes[op.code] = true
	case op.value == "":
		delete(k.values, op.key)
		k.revoked[op.key] = true
	default:
		k.values[op.key] = op.value
	}
}

// TestKill kills a process at random points: what was answered is there, what
// was revoked is not, and of each worker no more than the one operation under
// way may be there besides.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	want := &killed{values: map[string]string{}, revoked: map[string]bool{}, codes: map[int64]bool{}, guesses: map[int64]bool{}}
	for round := range killRounds {
		start := 1 + round*1_000_000
		for w := range want.last {
			want.last[w] = start - 1
		}
		want.runChild(t, path, start, rand.IntN(60), time.Duration(rand.IntN(3000))*time.Microsecond)
		b := open(t, path, time.Now)
		want.verify(t, b)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// runChild kills the child some time after it answered so many operations.
func (k *killed) runChild(t *testing.T, path string, start, after int, later time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path, startEnv+"="+strconv.Itoa(start))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var worker, op int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &worker, &op); err != nil {
			t.Fatal(err)
		}
		k.answered(worker, op)
		if n == after {
			time.AfterFunc(later, func() { cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

// verify compares the store with what was answered, and takes over what was
// under way if it was done.
func (k *killed) verify(t *testing.T, b *cache.Bolt) {
	t.Helper()
	ctx := t.Context()
	got := map[string]string{}
	err := b.Each(ctx, func(key string, value []byte, _ uint64) error {
		got[key] = string(value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for w := range killWorkers {
		// A value that stays away tells nothing of a revocation.
		op := nth(w, k.last[w]+1)
		if op.code == 0 && got[op.key] != k.values[op.key] && got[op.key] == op.value {
			k.answered(w, k.last[w]+1)
		}
	}
	for w := range killWorkers {
		for n := range killKeys {
			key := fmt.Sprint("worker ", w, " key ", n)
			if got[key] != k.values[key] {
				t.Errorf("%s is %.20q after the kill, want %.20q", key, got[key], k.values[key])
			}
			if !k.revoked[key] {
				continue
			}
			if err := b.Update(ctx, key, 0, func([]byte) ([]byte, error) { return []byte("back"), nil }); !errors.Is(err, cache.ErrRevoked) {
				t.Errorf("%s: update with the epoch of before its revocation: %v", key, err)
			}
		}
	}
	for code := range k.codes {
		if fresh, err := b.Claim(ctx, "alice", code, time.Now().Add(time.Hour)); err != nil || fresh {
			t.Errorf("code %d after the kill: fresh %v, %v", code, fresh, err)
		}
	}
	for code := range k.guesses {
		if _, seen, err := b.Guessed(ctx, guessKey(code), secretOf(code), time.Hour); err != nil || !seen {
			t.Errorf("guess %d after the kill: seen %v, %v", code, seen, err)
		}
	}
}
