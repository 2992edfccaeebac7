package authentik

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"ldapd/internal/auth"
	"ldapd/internal/authentik/authentiktest"
)

// judged puts the outcome of an execution with what became of the password.
func judged(s *Session, err error) string {
	var r *Refusal
	var e *FlowError
	switch {
	case err == nil && s.Once:
		return "granted once " + string(s.Factor)
	case err == nil:
		return "granted " + string(s.Factor)
	case errors.As(err, &r):
		return string(r.Reason) + map[auth.Judgement]string{auth.Unjudged: ", unjudged", auth.Wrong: ", wrong", auth.Right: ", right"}[r.Password]
	case errors.Is(err, ErrNoPassword):
		return "no password"
	case errors.Is(err, ErrNoLogin):
		return "no login"
	case errors.Is(err, ErrFlowDenied):
		return "flow denied"
	case errors.As(err, &e):
		return "unknown"
	}
	return err.Error()
}

// TestFlowJudges has what becomes of a credential in each order of stages: what
// is said of the password is what a stage said, and without that nobody is let
// in, or told that he is not.
func TestFlowJudges(t *testing.T) {
	const right, wrong = plantedPassword, "wrong"
	poor := func(s authentiktest.Subject) bool { return s.Reputation < 0 } // that of one wrong password
	embedded := []st{identify{PasswordFields: true}, password{}, validate{}, login{}}
	separate := []st{identify{}, password{}, validate{}, login{}}
	factorFirst := []st{identify{}, validate{}, password{}, login{}}
	codesOnly := []st{identify{}, validate{}, login{}}
	none := []st{identify{}, login{}}
	skipped := []st{identify{}, authentiktest.Bound{Stage: password{}, Policy: func(authentiktest.Subject) bool { return false }}, login{}}
	reputation := []st{identify{}, authentiktest.Bound{Stage: authentiktest.Deny{}, Policy: poor}, password{}, login{}}
	reputationAfter := []st{identify{}, password{}, authentiktest.Bound{Stage: authentiktest.Deny{}, Policy: poor}, login{}}

	code := func(e *Execution) { e.Code = plantedStatic }
	badCode := func(e *Execution) { e.Code = "00000000" }
	quiet := func(e *Execution) { e.Quiet = true }
	quietCode := func(e *Execution) { e.Quiet, e.Code = true, plantedStatic }
	asCode := func(e *Execution) { e.PasswordAsCode = true }
	stranger := func(f *flows) { // a wrong password of somebody else
		f.SetFlow(authentiktest.Flow{Slug: "other", Stages: []st{identify{}, password{}}})
		f.run(t, f.execution(func(e *Execution) { e.Flow, e.Password = "other", wrong }))
	}
	pushes := func(answer authentiktest.DuoAnswer) func(*flows) {
		return func(f *flows) {
			f.EditUser("alice", func(u *authentiktest.User) { u.Devices = []authentiktest.Device{duo(answer)} })
		}
	}
	user := func(name string) func(*Execution) { return func(e *Execution) { e.Username = name } }

	tests := []struct {
		name     string
		stages   []st
		factor   bool
		before   func(*flows)
		password auth.Secret
		try      func(*Execution)
		want     string
	}{
		{"embedded", embedded, false, nil, right, nil, "granted none"},
		{"embedded", embedded, false, nil, wrong, nil, "wrong_password, wrong"},
		{"embedded, code", embedded, true, nil, right, code, "granted static"},
		{"embedded, code that is wrong", embedded, true, nil, right, badCode, "wrong_code, right"},
		{"embedded, no code", embedded, true, nil, right, nil, "code_missing, right"},
		{"embedded, quiet", embedded, true, nil, right, quietCode, "code_missing, right"},
		{"embedded, code for nothing", embedded, false, nil, right, code, "granted none"},
		{"embedded, unknown", embedded, false, nil, right, user("nobody"), "wrong_password, wrong"},
		{"separate", separate, false, nil, right, nil, "granted none"},
		{"separate", separate, false, nil, wrong, nil, "wrong_password, wrong"},
		{"separate, code", separate, true, nil, right, code, "granted static"},
		{"separate, code and wrong password", separate, true, nil, wrong, code, "wrong_password, wrong"},
		{"separate, code that is wrong", separate, true, nil, right, badCode, "wrong_code, right"},
		{"separate, no code", separate, true, nil, right, nil, "code_missing, right"},
		{"separate, quiet", separate, true, nil, right, quiet, "code_missing, right"},
		{"separate, quiet and wrong", separate, true, nil, wrong, quiet, "wrong_password, wrong"},
		{"separate, code for nothing", separate, false, nil, right, code, "granted none"},
		{"separate, unknown", separate, false, nil, right, user("nobody"), "wrong_password, wrong"},
		{"separate, unknown and not pretended", []st{identify{NoPretend: true}, password{}, login{}}, false, nil, right, user("nobody"), "unknown_user, unjudged"},
		{"out of tries", []st{identify{}, password{MaxTries: 1}, login{}}, false, nil, wrong, nil, "wrong_password, wrong"},
		{"out of tries, right", []st{identify{}, password{MaxTries: 1}, login{}}, false, nil, right, nil, "granted none"},

		// The stage of the factor comes first: until it is passed nothing is
		// known of the password.
		{"factor first", factorFirst, true, nil, right, code, "granted static"},
		{"factor first", factorFirst, true, nil, wrong, code, "wrong_password, wrong"},
		{"factor first, wrong code", factorFirst, true, nil, right, badCode, "wrong_code, unjudged"},
		{"factor first, wrong code and password", factorFirst, true, nil, wrong, badCode, "wrong_code, unjudged"},
		{"factor first, no code", factorFirst, true, nil, wrong, nil, "code_missing, unjudged"},
		{"factor first, quiet", factorFirst, true, nil, right, quiet, "code_missing, unjudged"},
		{"factor first, quiet and wrong", factorFirst, true, nil, wrong, quietCode, "code_missing, unjudged"},
		{"factor first, push denied", factorFirst, false, pushes(authentiktest.DuoDeny), wrong, nil, "factor_denied, unjudged"},
		{"factor first, push confirmed", factorFirst, false, pushes(authentiktest.DuoAllow), wrong, nil, "wrong_password, wrong"},
		{"factor first, push and quiet", factorFirst, false, pushes(authentiktest.DuoAllow), wrong, quiet, "code_missing, unjudged"},
		{"a push, but no password", codesOnly, false, pushes(authentiktest.DuoAllow), wrong, asCode, "no password"},
		{"push denied behind the password", separate, false, pushes(authentiktest.DuoDeny), right, nil, "factor_denied, right"},
		{"code for a push", separate, false, pushes(authentiktest.DuoAllow), right, code, "code_unexpected, right"},
		{"factor that cannot be asked for", separate, false, func(f *flows) {
			f.EditUser("alice", func(u *authentiktest.User) {
				u.Devices = []authentiktest.Device{{Class: authentiktest.ClassWebAuthn}}
			})
		}, right, nil, "factor_unusable, right"},
		{"factor first, no factor", factorFirst, false, nil, wrong, nil, "wrong_password, wrong"},
		{"factor first, none configured", []st{identify{}, validate{NotConfigured: "deny"}, password{}, login{}}, false, nil, right, nil, "policy, unjudged"},

		// Nobody asks for the password.
		{"no password", none, false, nil, right, nil, "no password"},
		{"no password", none, false, nil, wrong, nil, "no password"},
		{"no password, unknown", none, false, nil, wrong, user("nobody"), "policy, unjudged"},
		{"no password, nor login", []st{identify{}}, false, nil, wrong, nil, "no password"},
		{"password skipped", skipped, false, nil, wrong, nil, "no password"},
		{"nothing", nil, false, nil, right, nil, "no password"},
		{"a code, but no password", codesOnly, true, nil, wrong, code, "no password"},
		{"a code that is wrong, and no password", codesOnly, true, nil, wrong, badCode, "wrong_code, unjudged"},
		{"a code for nothing, and no password", codesOnly, false, nil, wrong, code, "no password"},
		{"password as code", codesOnly, true, nil, plantedStatic, asCode, "granted once static"},
		{"password as code", codesOnly, true, nil, wrong, asCode, "wrong_password, wrong"},
		{"password as code, quiet", codesOnly, true, nil, wrong, func(e *Execution) { asCode(e); quiet(e) }, "code_missing, unjudged"},
		{"password as code, code on the name", codesOnly, true, nil, wrong, func(e *Execution) { asCode(e); code(e) }, "no password"},
		{"password as code, no factor", codesOnly, false, nil, wrong, asCode, "no password"},

		// Denials.
		{"flow denied", separate, false, func(f *flows) {
			f.SetFlow(authentiktest.Flow{Slug: authentiktest.DefaultFlow, Stages: separate, Denied: true})
		}, wrong, nil, "flow denied"},
		{"deny stage first", []st{authentiktest.Deny{}, identify{}, password{}, login{}}, false, nil, wrong, nil, "flow denied"},
		{"deny stage before the password", []st{identify{}, authentiktest.Deny{}, password{}, login{}}, false, nil, wrong, nil, "policy, unjudged"},
		{"deny stage behind the password", []st{identify{}, password{}, authentiktest.Deny{}, login{}}, false, nil, right, nil, "policy, right"},
		{"deny stage behind the password in the identification", []st{identify{PasswordFields: true}, authentiktest.Deny{}, login{}}, false, nil, right, nil, "policy, right"},
		{"deny stage behind the login", []st{identify{}, password{}, login{}, authentiktest.Deny{}}, false, nil, right, nil, "policy, right"},
		{"reputation before the password", reputation, false, stranger, right, nil, "policy, unjudged"},
		{"reputation before the password, good", reputation, false, nil, right, nil, "granted none"},
		{"reputation behind the password", reputationAfter, false, stranger, right, nil, "policy, right"},
		{"reputation behind the password", reputationAfter, false, stranger, wrong, nil, "wrong_password, wrong"},
		{"no access", separate, false, func(f *flows) { f.DenyAccess(authentiktest.DefaultApplication, "alice") }, right, nil, "no_access, right"},

		// Nobody is logged in.
		{"no login stage", []st{identify{}, password{}}, false, nil, right, nil, "no login"},
		{"no login stage", []st{identify{}, password{}}, false, nil, wrong, nil, "wrong_password, wrong"},
		{"redirect before the login", []st{identify{}, password{}, authentiktest.Redirect{To: "https://elsewhere.example/"}, login{}}, false, nil, right, nil, "no login"},
		{"users/me 403", separate, false, func(f *flows) {
			f.Inject(authentiktest.Fault{Endpoint: authentiktest.Me, Status: http.StatusForbidden, Body: `{"detail":"Authentication credentials were not provided."}`})
		}, right, nil, "no login"},
		{"users/me 403 of a proxy", separate, false, func(f *flows) {
			f.Inject(authentiktest.Fault{Endpoint: authentiktest.Me, Status: http.StatusForbidden, Body: "<h1>Forbidden</h1>"})
		}, right, nil, "unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name+", "+strings.TrimPrefix(string(tt.password), "planted;"), func(t *testing.T) {
			eachVersion(t, func(t *testing.T, o authentiktest.Options) {
				f := newFlows(t, o)
				u := authentiktest.User{Username: "alice", Password: right}
				if tt.factor {
					u.Devices = []authentiktest.Device{static}
				}
				f.AddUser(u)
				e := f.execution(func(e *Execution) { e.Password = tt.password })
				if tt.try != nil {
					tt.try(&e)
				}
				f.stages(tt.stages...)
				if tt.before != nil {
					tt.before(f)
				}
				if got := judged(f.c.Execute(t.Context(), e)); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestFlowSessionLostBetween loses the session with one answer: what authentik
// then says is about that answer in another session, and of no credential.
func TestFlowSessionLostBetween(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stages []st
		denied bool
		lost   int // the answer with which it is lost, from 1
		want   string
	}{
		{"password", []st{identify{}, password{}, validate{}, login{}}, false, 2, "unknown"},
		{"code", []st{identify{}, password{}, validate{}, login{}}, false, 3, "unknown"},
		{"code, embedded password", []st{identify{PasswordFields: true}, validate{}, login{}}, false, 2, "unknown"},
		{"password, flow denied by now", []st{identify{}, password{}, validate{}, login{}}, true, 2, "unknown"},
		{"code, flow denied by now", []st{identify{}, password{}, validate{}, login{}}, true, 3, "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, o authentiktest.Options) {
				// It complains, as it gets the answer to another stage.
				f := &flows{Server: authentiktest.New(t, o)}
				f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Devices: []authentiktest.Device{static}})
				f.stages(tt.stages...)
				answers := 0
				proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						if answers++; answers == tt.lost {
							r.Header.Del("Cookie")
							f.SetFlow(authentiktest.Flow{Slug: authentiktest.DefaultFlow, Stages: tt.stages, Denied: tt.denied})
						}
					}
					relay(t, f.URL, w, r)
				})
				f.c = newClient(t, Config{Host: proxy.URL, Token: StaticToken(f.Token)})
				if got := judged(f.c.Execute(t.Context(), f.execution(func(e *Execution) { e.Code = plantedStatic }))); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			})
		})
	}
}
