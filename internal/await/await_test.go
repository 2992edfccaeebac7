package await

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a test that notes its failure.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure returns with what a test fails, "" if it does not.
func failure(test func(testing.TB)) string {
	f := &failing{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(f)
	}()
	<-done
	return f.text
}

func TestThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if text := failure(func(t testing.TB) { That(t, "it is late", func() bool { return time.Since(start) > 50*time.Second }) }); text != "" {
			t.Error(text)
		}
		if took := time.Since(start); took > 51*time.Second {
			t.Errorf("noticed after %v", took)
		}
		if text := failure(func(t testing.TB) { That(t, "pigs fly", func() bool { return false }) }); text != "not within 1m0s: pigs fly" {
			t.Errorf("%q", text)
		}
	})
}

func TestReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := make(chan int, 1)
		ch <- 7
		text := failure(func(t testing.TB) {
			if n := Receive(t, "a number", ch); n != 7 {
				t.Fatalf("%d", n)
			}
		})
		if text != "" {
			t.Error(text)
		}
		if text := failure(func(t testing.TB) { Receive(t, "a number", ch) }); text != "not within 1m0s: a number" {
			t.Errorf("%q", text)
		}
	})
}
