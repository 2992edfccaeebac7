package fair

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		l := NewLines(zap.New(core), 2)
		admit := func(network int, kind string, times, want int) {
			t.Helper()
			n := 0
			for range times {
				if l.Admit(numbered(network), kind) {
					n++
				}
			}
			if n != want {
				t.Errorf("%d of %d lines of %s, want %d", n, times, kind, want)
			}
		}
		admit(1, "bind", 5, 2)
		admit(1, "search", 12, 2)
		admit(1, "compare", 2, 2)
		admit(2, "bind", 2, 2)
		time.Sleep(period + time.Second)
		synctest.Wait()
		summed := logs.TakeAll()
		if len(summed) != 1 {
			t.Fatalf("%d lines: %v", len(summed), summed)
		}
		fields := summed[0].ContextMap()
		if len(fields) != 4 || fields["client"] != "10.0.0.1" || fields["count"] != int64(13) ||
			fields["bind"] != int64(3) || fields["search"] != int64(10) {
			t.Errorf("summed up as %v", fields)
		}
		admit(1, "bind", 3, 2)
		l.Sum() // the rest, at the end
		if n := logs.Len(); n != 1 {
			t.Errorf("%d lines at the end", n)
		}
		time.Sleep(2 * period)
		if n := logs.Len(); n != 1 {
			t.Errorf("%d lines after the end", n)
		}
	})
}

// However many networks there are, those that are counted are not.
func TestLinesOfManyNetworks(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	l := NewLines(zap.New(core), 2)
	n := 0
	for i := range 3 * maxNetworks {
		if l.Admit(numbered(i), "bind") {
			n++
		}
	}
	if n != maxNetworks+2 || len(l.counts) != maxNetworks+1 {
		t.Errorf("%d lines, %d networks", n, len(l.counts))
	}
	l.Sum()
	if all := logs.All(); len(all) != 1 || all[0].ContextMap()["client"] != "others" || all[0].ContextMap()["count"] != int64(2*maxNetworks-2) {
		t.Errorf("summed up as %v", all)
	}
}
