package verified

import (
	"context"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/verified/keyring"
)

// opRevokeAll tells a hook of RevokeAll.
const opRevokeAll operation = "revoke all"

// hooked is a replica with something that happens before and after it is asked.
type hooked struct {
	*replica
	before func(o operation) error // not asked if that fails; nil: nothing
	after  func(o operation)       // nil: nothing
}

func (h *hooked) ask(o operation, do func() error) error {
	if h.before != nil {
		if err := h.before(o); err != nil {
			return err
		}
	}
	err := do()
	if h.after != nil {
		h.after(o)
	}
	return err
}

func (h *hooked) Load(ctx context.Context, key string) (value []byte, epoch uint64, err error) {
	err = h.ask(opLoad, func() error {
		value, epoch, err = h.replica.Load(ctx, key)
		return err
	})
	return value, epoch, err
}

func (h *hooked) Update(ctx context.Context, key string, epoch uint64, change func(old []byte) ([]byte, error)) error {
	return h.ask(opUpdate, func() error { return h.replica.Update(ctx, key, epoch, change) })
}

func (h *hooked) Revoke(ctx context.Context, key string) error {
	return h.ask(opRevoke, func() error { return h.replica.Revoke(ctx, key) })
}

func (h *hooked) RevokeAll(ctx context.Context) error {
	return h.ask(opRevokeAll, func() error { return h.replica.RevokeAll(ctx) })
}

// failing has operations fail.
func failing(what ...operation) func(operation) error {
	return func(o operation) error {
		for _, w := range what {
			if o == w {
				return errUnreachable
			}
		}
		return nil
	}
}

// revokeHere revokes alice in memory alone: nobody waits for the store.
func revokeHere(t testing.TB, b *Book) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.Revoke(ctx, alice)
}

// openSeen opens a book of which the metrics and the log are looked at.
func openSeen(t testing.TB, s Store, k keyring.Ring) (*Book, *Metrics, *observer.ObservedLogs) {
	t.Helper()
	logs, seen := observer.New(zap.InfoLevel)
	m := NewMetrics(nil)
	b, err := Open(t.Context(), Options{Store: s, Keys: k, Metrics: m, Log: zap.New(logs)})
	if err != nil {
		t.Fatal(err)
	}
	return b, m, seen
}
