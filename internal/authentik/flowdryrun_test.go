package authentik

import (
	"strings"
	"testing"

	"ldapd/internal/authentik/authentiktest"
)

func TestDryRun(t *testing.T) {
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		f := newFlows(t, o)
		outpost, err := f.c.Outpost(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const yes, no, unknown = "asks for the password", "no bind can pass", "unknown"
		tests := []struct {
			stages   []st
			seen     string
			want     string
			requests int
		}{
			{[]st{identify{PasswordFields: true}}, "identification", yes, 1},
			{[]st{identify{}, password{}}, "identification password", yes, 3},
			{[]st{identify{}, validate{}, password{}}, "identification password", yes, 4},
			{[]st{identify{}, validate{NotConfigured: "deny"}, password{}}, "identification access-denied", unknown, 3},
			{[]st{identify{}, authentiktest.Consent{}}, "identification consent", unknown, 3},
			{[]st{identify{}, login{}}, "identification flow-redirect", no, 3},
			{[]st{identify{}, login{RememberOffset: 1}}, "identification user-login", no, 3},
			{[]st{identify{}}, "identification flow-redirect", no, 2},
			{[]st{identify{}, authentiktest.Crash{}}, "identification flow-error", no, 3},
			{[]st{identify{}, authentiktest.Component{Name: "ak-stage-captcha"}}, "identification captcha", no, 3},
			{[]st{identify{Captcha: true}}, "identification", no, 1},
			{[]st{identify{UserFields: []string{"email"}}}, "identification", no, 1},
			{[]st{password{}}, "password", no, 1},
			{[]st{authentiktest.Deny{}}, "access-denied", no, 1},
			{[]st{authentiktest.Crash{}}, "flow-error", no, 1},
			{[]st{authentiktest.Component{Name: "ak-stage-captcha"}}, "captcha", no, 1},
			{nil, "flow-redirect", no, 1},
		}
		for _, tt := range tests {
			f.stages(tt.stages...)
			f.ResetCounters()
			run, err := f.c.DryRun(t.Context(), authentiktest.DefaultFlow, outpost.Account())
			got := unknown
			switch {
			case err != nil:
				got = no
			case run.Password:
				got = yes
			}
			seen := strings.NewReplacer("ak-stage-", "", "xak-", "").Replace(strings.Join(run.Stages, " "))
			if seen != tt.seen || got != tt.want {
				t.Errorf("%v: %s, %s: %v", tt.stages, seen, got, err)
			}
			c := f.Counters()
			if n := c.Requests[authentiktest.Executor]; n != tt.requests {
				t.Errorf("%v: %d requests, want %d", tt.stages, n, tt.requests)
			}
			if c.LoginsFailed != 0 || f.Reputation(outpost.Account(), "127.0.0.1") < 0 {
				t.Errorf("%v: failures are counted", tt.stages)
			}
		}
		f.stages(identify{NoPretend: true}, password{})
		if run, err := f.c.DryRun(t.Context(), authentiktest.DefaultFlow, "nobody"); err != nil || run.Password || len(run.Stages) != 1 {
			t.Errorf("nobody: %+v, %v", run, err)
		}
		if _, err := f.c.DryRun(t.Context(), "gone", outpost.Account()); !NotFound(err) {
			t.Errorf("error %v", err)
		}
	})
}
