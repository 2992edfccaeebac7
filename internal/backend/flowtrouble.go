package backend

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/authentik"
)

// A flow that is in trouble has a line in the log with the first bind that
// shows it, and again with binds after waits that double up to the longest.
const (
	firstRepeat = time.Minute
	lastRepeat  = time.Hour
)

// flowRemedies say what ends the trouble with a flow.
var flowRemedies = []struct {
	cause  error
	remedy string
}{
	{authentik.ErrNoPassword, "give it a password stage that no policy skips, or choose that stage in its identification stage"},
	{authentik.ErrNoLogin, "give it a user login stage with no redirect stage before it; if it has one, see that the proxy before authentik passes cookies on"},
	{authentik.ErrFlowDenied, "see the policies that are bound to the flow itself, and its required authentication"},
}

// FlowRemedy says what ends that by which a flow failed, and which of
// flowRemedies that is; nil if it is none of them.
func FlowRemedy(err error) (remedy string, cause error) {
	for _, r := range flowRemedies {
		if errors.Is(err, r.cause) {
			return r.remedy, r.cause
		}
	}
	return "", nil
}

// flowTroubles knows the flows by which binds cannot be determined, whoever
// binds, until an administrator mends them.
type flowTroubles struct {
	now func() time.Time
	log *zap.Logger

	mu     sync.Mutex
	bySlug map[string]*flowTrouble // of bind flows, so there are few
}

type flowTrouble struct {
	cause  error // one of flowRemedies
	remedy string
	since  time.Time
	binds  int           // that showed it
	repeat time.Time     // when to have a line in the log again
	wait   time.Duration // from that line to the next
}

func newFlowTroubles(now func() time.Time, log *zap.Logger) *flowTroubles {
	return &flowTroubles{now: now, log: log, bySlug: make(map[string]*flowTrouble)}
}

// observe takes notice of a flow that was run.
func (t *flowTroubles) observe(f authentik.Flow) {
	remedy, cause := FlowRemedy(f.Err)
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	trouble := t.bySlug[f.Slug]
	if cause == nil {
		if trouble != nil && trouble.over(f) {
			delete(t.bySlug, f.Slug)
			t.log.Info("binds by this flow can be determined again", zap.String("flow", f.Slug))
		}
		return
	}
	if trouble == nil || trouble.cause != cause {
		trouble = &flowTrouble{cause: cause, remedy: remedy, since: now, repeat: now, wait: firstRepeat}
		t.bySlug[f.Slug] = trouble
	}
	trouble.binds++
	if !now.Before(trouble.repeat) {
		trouble.repeat, trouble.wait = now.Add(trouble.wait), min(2*trouble.wait, lastRepeat)
		t.log.Error("binds by this flow cannot be determined", zap.String("flow", f.Slug), zap.NamedError("cause", cause),
			zap.String("remedy", remedy), zap.Int("binds", trouble.binds), zap.Time("since", trouble.since))
	}
}

// over reports that a flow shows the trouble to be at an end: it came as far as
// it did not come before.
func (t *flowTrouble) over(f authentik.Flow) bool {
	var refused *authentik.Refusal
	switch {
	case f.Err == nil:
		return true
	case !errors.As(f.Err, &refused):
		return false
	case refused.Reason == auth.NoAccess: // somebody was logged in
		return true
	}
	switch t.cause {
	case authentik.ErrNoPassword:
		return refused.Password != auth.Unjudged
	case authentik.ErrFlowDenied:
		return refused.Stage != ""
	}
	return false
}

// warnings tells of the flows that providers have, for people.
func (t *flowTroubles) warnings(providers map[string]authentik.Provider) []string {
	inUse := make(map[string]bool)
	for _, p := range providers {
		inUse[p.BindFlow] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []string
	for _, slug := range slices.Sorted(maps.Keys(t.bySlug)) {
		if trouble := t.bySlug[slug]; inUse[slug] {
			list = append(list, fmt.Sprintf("authentik: binds by the flow %q cannot be determined since %s: %v; %s",
				slug, trouble.since.UTC().Format(time.RFC3339), trouble.cause, trouble.remedy))
		}
	}
	return list
}
