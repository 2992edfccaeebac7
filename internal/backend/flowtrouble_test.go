package backend

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/auth"
	"ldapd/internal/authentik"
)

func TestFlowTroubles(t *testing.T) {
	const slug = "bind"
	failed := func(cause error) authentik.Flow {
		return authentik.Flow{Slug: slug, Err: &authentik.FlowError{Err: fmt.Errorf("wrapped: %w", cause)}}
	}
	refused := func(r authentik.Refusal) authentik.Flow { return authentik.Flow{Slug: slug, Err: &r} }
	granted := authentik.Flow{Slug: slug, Session: &authentik.Session{}}
	wrong := refused(authentik.Refusal{Stage: "ak-stage-password", Reason: auth.WrongPassword, Password: auth.Wrong})
	unjudged := refused(authentik.Refusal{Stage: "ak-stage-identification", Reason: auth.Policy})
	notSent := refused(authentik.Refusal{Reason: auth.WrongPassword})
	noAccess := refused(authentik.Refusal{Stage: authentik.StepAccess, Reason: auth.NoAccess, Password: auth.Right})
	providers := map[string]authentik.Provider{"dc=x": {BindFlow: slug}}

	for _, tt := range []struct {
		name  string
		flows []authentik.Flow
		want  error // that is told of at the end
	}{
		{"nothing", nil, nil},
		{"granted", []authentik.Flow{granted, wrong, unjudged}, nil},
		{"any failure", []authentik.Flow{failed(errors.New("no such host"))}, nil},
		{"no password", []authentik.Flow{granted, failed(authentik.ErrNoPassword)}, authentik.ErrNoPassword},
		{"no password, then a failure", []authentik.Flow{failed(authentik.ErrNoPassword), failed(errors.New("x"))}, authentik.ErrNoPassword},
		{"no password, then none asked for", []authentik.Flow{failed(authentik.ErrNoPassword), unjudged}, authentik.ErrNoPassword},
		{"no password, then a wrong one", []authentik.Flow{failed(authentik.ErrNoPassword), wrong}, nil},
		{"no password, then granted", []authentik.Flow{failed(authentik.ErrNoPassword), granted}, nil},
		{"no password of another flow", []authentik.Flow{{Slug: "old", Err: &authentik.FlowError{Err: authentik.ErrNoPassword}}}, nil},
		{"no login", []authentik.Flow{failed(authentik.ErrNoLogin)}, authentik.ErrNoLogin},
		{"no login, then a wrong password", []authentik.Flow{failed(authentik.ErrNoLogin), wrong}, authentik.ErrNoLogin},
		{"no login, then no access", []authentik.Flow{failed(authentik.ErrNoLogin), noAccess}, nil},
		{"no password, then no login", []authentik.Flow{failed(authentik.ErrNoPassword), failed(authentik.ErrNoLogin)}, authentik.ErrNoLogin},
		{"denied", []authentik.Flow{failed(authentik.ErrFlowDenied), notSent}, authentik.ErrFlowDenied},
		{"denied, then somebody", []authentik.Flow{failed(authentik.ErrFlowDenied), unjudged}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFlowTroubles(time.Now, zap.NewNop())
			for _, flow := range tt.flows {
				f.observe(flow)
			}
			got := f.warnings(providers)
			if tt.want == nil && len(got) != 0 || tt.want != nil && (len(got) != 1 || !strings.Contains(got[0], tt.want.Error()) || !strings.Contains(got[0], `"bind"`)) {
				t.Errorf("%q, want %v", got, tt.want)
			}
		})
	}
}

// TestFlowTroublesInLog has the log repeat itself less and less, and say when
// it is over.
func TestFlowTroublesInLog(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	core, logs := observer.New(zap.InfoLevel)
	f := newFlowTroubles(func() time.Time { return now }, zap.New(core))
	var at []int // minutes
	for minute := range 24 * 60 {
		before := logs.Len()
		for range 10 {
			f.observe(authentik.Flow{Slug: "bind", Err: &authentik.FlowError{Err: authentik.ErrNoPassword}})
		}
		if logs.Len() > before {
			at = append(at, minute)
		}
		now = now.Add(time.Minute)
	}
	if got := fmt.Sprint(at[:8]); got != "[0 1 3 7 15 31 63 123]" || len(at) != logs.Len() || len(at) != 29 {
		t.Errorf("lines at minutes %v", at)
	}
	f.observe(authentik.Flow{Slug: "bind", Session: &authentik.Session{}})
	f.observe(authentik.Flow{Slug: "bind", Session: &authentik.Session{}})
	if last := logs.All()[len(at):]; len(last) != 1 || last[0].Level != zap.InfoLevel {
		t.Errorf("at the end: %v", last)
	}
}
