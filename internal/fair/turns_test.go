package fair

import (
	"context"
	"errors"
	"testing"
)

func TestTurns(t *testing.T) {
	turns := NewTurns(2)
	first, second, third := turns.Join(numbered(1)), turns.Join(numbered(1)), turns.Join(numbered(1))
	other := turns.Join(numbered(2))
	ctx := t.Context()
	for _, q := range []*Queue{first, second, other} {
		if err := q.Begin(ctx); err != nil {
			t.Fatal(err)
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if err := third.Begin(over); !errors.Is(err, context.Canceled) {
		t.Errorf("a third turn of a network: %v", err)
	}
	first.End()
	if err := third.Begin(ctx); err != nil {
		t.Error(err)
	}
	for _, q := range []*Queue{first, second, third, other} {
		q.Leave()
	}
	if len(turns.queues) != 0 {
		t.Errorf("%d queues are kept", len(turns.queues))
	}
}
