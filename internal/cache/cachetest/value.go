package cachetest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"ldapd/internal/cache"
)

// become is a change to a value.
func become(value string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return []byte(value), nil }
}

// load wants a value, "" for none, and returns it with the epoch.
func load(t *testing.T, s Store, key, want string) (value []byte, epoch uint64) {
	t.Helper()
	value, epoch, err := s.Load(t.Context(), key)
	if err != nil || string(value) != want || (value == nil) != (want == "") {
		t.Fatalf("load of %q: %q, %v; want %q", key, value, err, want)
	}
	return value, epoch
}

func put(t *testing.T, s Store, key, value string) {
	t.Helper()
	_, epoch, err := s.Load(t.Context(), key)
	if err == nil {
		err = s.Update(t.Context(), key, epoch, become(value))
	}
	if err != nil {
		t.Fatalf("put of %q: %v", key, err)
	}
}

func remove(t *testing.T, s Store, key string) {
	t.Helper()
	_, epoch, err := s.Load(t.Context(), key)
	if err == nil {
		err = s.Update(t.Context(), key, epoch, func([]byte) ([]byte, error) { return nil, nil })
	}
	if err != nil {
		t.Fatalf("remove of %q: %v", key, err)
	}
}

func update(t *testing.T, b Backend) {
	s, _ := start(t, b)
	ctx := t.Context()
	load(t, s, "key", "")
	remove(t, s, "key") // nothing there: no error
	var saw []byte
	for i, want := range []string{"", "a", "ab"} {
		err := s.Update(ctx, "key", 0, func(old []byte) ([]byte, error) {
			if (old == nil) != (i == 0) {
				t.Errorf("old is %q", old)
			}
			saw = bytes.Clone(old)
			return append(old, "abc"[i]), nil
		})
		if err != nil || string(saw) != want {
			t.Fatalf("update %d: old %q, want %q; %v", i, saw, want, err)
		}
	}
	v, _ := load(t, s, "key", "abc")
	v[0] = 'x' // ours
	load(t, s, "key", "abc")
	load(t, s, "ke", "")
	load(t, s, "key\x00", "")
	put(t, s, "key", "abc") // no change
	load(t, s, "key", "abc")
	remove(t, s, "key")
	load(t, s, "key", "")
	put(t, s, "key", "again")
	load(t, s, "key", "again")

	// Empty is not none.
	if err := s.Update(ctx, "empty", 0, func([]byte) ([]byte, error) { return []byte{}, nil }); err != nil {
		t.Fatal(err)
	}
	if v, _, err := s.Load(ctx, "empty"); err != nil || v == nil || len(v) != 0 {
		t.Errorf("empty value: %v, %v", v, err)
	}
	// The value that was written is not kept.
	mine := []byte("mine")
	if err := s.Update(ctx, "mine", 0, func([]byte) ([]byte, error) { return mine, nil }); err != nil {
		t.Fatal(err)
	}
	mine[0] = 'x'
	load(t, s, "mine", "mine")
}

func updateAtOnce(t *testing.T, b Backend) {
	s, _ := start(t, b)
	const workers, each = 8, 10
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				err := s.Update(t.Context(), "key", 0, func(old []byte) ([]byte, error) {
					n := 0
					if old != nil {
						var err error
						if n, err = strconv.Atoi(string(old)); err != nil {
							return nil, err
						}
					}
					return strconv.AppendInt(nil, int64(n+1), 10), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	load(t, s, "key", strconv.Itoa(workers*each))
}

func updateFails(t *testing.T, b Backend) {
	s, _ := start(t, b)
	put(t, s, "key", "value")
	mine := errors.New("mine")
	for _, key := range []string{"key", "other"} {
		if err := s.Update(t.Context(), key, 0, func([]byte) ([]byte, error) { return []byte("x"), mine }); !errors.Is(err, mine) {
			t.Errorf("%s: error %v, want %v", key, err, mine)
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of change is gone")
			}
		}()
		s.Update(t.Context(), "key", 0, func([]byte) ([]byte, error) { panic("mine") })
	}()
	load(t, s, "key", "value")
	load(t, s, "other", "")
	put(t, s, "key", "still works")
}

func bounds(t *testing.T, b Backend) {
	s, _ := start(t, b)
	ctx := t.Context()
	for _, key := range []string{"", strings.Repeat("x", 1025), "\xff", "a\xc3"} {
		if _, _, err := s.Load(ctx, key); err == nil {
			t.Errorf("load of a key of %d bytes: no error", len(key))
		}
		if err := s.Update(ctx, key, 0, become("x")); err == nil {
			t.Errorf("update of a key of %d bytes: no error", len(key))
		}
		if err := s.Revoke(ctx, key); err == nil {
			t.Errorf("revoke of a key of %d bytes: no error", len(key))
		}
	}
	long := strings.Repeat("\x00é", 341) + "x" // 1024 bytes
	big := bytes.Repeat([]byte("\x00'\\"), (1<<20)/3+1)[:1<<20]
	put(t, s, long, string(big))
	load(t, s, long, string(big))
	if err := s.Update(ctx, long, 0, become(string(big)+"x")); err == nil {
		t.Error("a value of more than 1 MiB: no error")
	}
	load(t, s, long, string(big))
	if err := s.Revoke(ctx, long); err != nil {
		t.Error(err)
	}
	load(t, s, long, "")
}

func all(t *testing.T, s Store) map[string]string {
	t.Helper()
	got, last := map[string]string{}, ""
	err := s.Each(t.Context(), func(key string, value []byte, epoch uint64) error {
		if key <= last {
			t.Errorf("%q after %q", key, last)
		}
		last = key
		if _, now := load(t, s, key, string(value)); now != epoch {
			t.Errorf("%q: epoch %d, want %d", key, epoch, now)
		}
		got[key] = string(value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func each(t *testing.T, b Backend) {
	s, _ := start(t, b)
	if got := all(t, s); len(got) != 0 {
		t.Errorf("%d values at first", len(got))
	}
	const n = 150 // more than a page
	for i := range n {
		put(t, s, fmt.Sprintf("key %03d", i), fmt.Sprint("value ", i))
	}
	remove(t, s, "key 007")
	for _, i := range []int{0, 64, 65, n - 1} {
		if err := s.Revoke(t.Context(), fmt.Sprintf("key %03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "key 064", "new")
	got := all(t, s)
	if len(got) != n-4 || got["key 064"] != "new" || got["key 066"] != "value 66" {
		t.Errorf("%d values, want %d; %q, %q", len(got), n-4, got["key 064"], got["key 066"])
	}
	mine, calls := errors.New("mine"), 0
	err := s.Each(t.Context(), func(string, []byte, uint64) error { calls++; return mine })
	if !errors.Is(err, mine) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}

// eachChanging uses the store from within Each.
func eachChanging(t *testing.T, b Backend) {
	s, _ := start(t, b)
	for i := range 100 {
		put(t, s, fmt.Sprintf("key %03d", i), "value")
	}
	calls := 0
	err := s.Each(t.Context(), func(key string, _ []byte, epoch uint64) error {
		calls++
		if calls%2 == 0 {
			return s.Revoke(t.Context(), key)
		}
		return s.Update(t.Context(), key, epoch, become("changed"))
	})
	if err != nil || calls != 100 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	for key, value := range all(t, s) {
		calls--
		if value != "changed" {
			t.Errorf("%s: %q", key, value)
		}
	}
	if calls != 50 {
		t.Errorf("%d values are left, want 50", 100-calls)
	}
	if err := s.Update(t.Context(), "key 001", 0, become("x")); !errors.Is(err, cache.ErrRevoked) {
		t.Error(err)
	}
}
