package authentik

import (
	"strings"
	"time"
)

// Trace tells what an execution did.
type Trace struct {
	Stages    []StageTiming
	RequestID string // of the last answer, in authentik's log
}

// Times lists the stages and their times, for the log.
func (t Trace) Times() string {
	var b strings.Builder
	for i, s := range t.Stages {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.Component + " " + s.Took().Round(100*time.Microsecond).String())
	}
	return b.String()
}

// StageTiming is the time that one stage took: until its challenge was there,
// and until the answer to it was judged. A time is 0 if there was no such
// request.
type StageTiming struct {
	Component string // or one of the steps behind the flow
	Get, Post time.Duration
}

// Took returns the time of the stage as a whole.
func (s StageTiming) Took() time.Duration { return s.Get + s.Post }

// The steps behind a flow, named like stages.
const (
	StepUser   = "users/me"
	StepAccess = "check_access"
)
