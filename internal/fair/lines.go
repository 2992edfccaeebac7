package fair

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	period      = time.Minute // for which lines are counted
	maxNetworks = 1 << 10     // counted apart; those beyond are one
)

// Lines bounds the lines that the log has of what anybody can cause: so many of
// a kind for a network in a minute. Further ones are counted, and summed up in
// one line for each network when the minute is over.
type Lines struct {
	log  *zap.Logger
	each int

	mu     sync.Mutex
	counts map[netip.Prefix]map[string]int // by kind
	over   *time.Timer                     // the minute, while there are counts
}

// NewLines returns Lines that let a network have so many lines of a kind, and
// sum up in log.
func NewLines(log *zap.Logger, each int) *Lines {
	return &Lines{log: log, each: each, counts: make(map[netip.Prefix]map[string]int)}
}

// Admit says whether a line may be written, and counts it. Kinds are few and
// chosen by the program.
func (l *Lines) Admit(network netip.Prefix, kind string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	kinds := l.counts[network]
	if kinds == nil && len(l.counts) >= maxNetworks {
		network = netip.Prefix{}
		kinds = l.counts[network]
	}
	if kinds == nil {
		kinds = make(map[string]int)
		l.counts[network] = kinds
	}
	if l.over == nil {
		l.over = time.AfterFunc(period, l.Sum)
	}
	kinds[kind]++
	return kinds[kind] <= l.each
}

// Sum writes what has not been written, and counts from the start.
func (l *Lines) Sum() {
	l.mu.Lock()
	counts := l.counts
	l.counts = make(map[netip.Prefix]map[string]int)
	if l.over != nil {
		l.over.Stop()
		l.over = nil
	}
	l.mu.Unlock()
	for network, kinds := range counts {
		total := 0
		fields := []zap.Field{zap.String("client", name(network)), zap.Int("count", 0)}
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			if n := kinds[kind] - l.each; n > 0 {
				total += n
				fields = append(fields, zap.Int(kind, n))
			}
		}
		if fields[1] = zap.Int("count", total); total > 0 {
			l.log.Info("further lines of this client are summed up", fields...)
		}
	}
}

// name is how the log names a network: by the address if it is a single one.
func name(network netip.Prefix) string {
	switch {
	case !network.IsValid():
		return "others"
	case network.IsSingleIP():
		return network.Addr().String()
	}
	return network.String()
}
