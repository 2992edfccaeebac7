package authentiktest

import (
	"cmp"
	"encoding/json"
	"time"
)

// Flow is a flow with its stages in order.
type Flow struct {
	Slug        string
	Title       string
	Designation string // authentication if empty
	Stages      []Stage
	// Denied makes the flow's policies refuse everybody, with DenyMessage or
	// authentik's own text.
	Denied      bool
	DenyMessage string
	// RequireOutpost refuses everybody who does not come from an outpost.
	RequireOutpost bool
	// OnInvalid is the bindings' invalid response action.
	OnInvalid InvalidAction
	// RedirectTo is where the end of the flow leads, "/" if empty.
	RedirectTo string
	// ChallengeRedirects sends redirects between stages as challenges even
	// to clients whose query is encoded as authentik would encode it.
	ChallengeRedirects bool
}

// InvalidAction is what a wrong answer leads to.
type InvalidAction int

const (
	Retry              InvalidAction = iota // the challenge again, with response_errors
	Restart                                 // the first challenge, without errors
	RestartWithContext                      // the same, with the user remembered
)

// Stage is a stage of a flow.
type Stage interface {
	// show is a GET while the stage is the current one.
	show(x *execution)
	// answer is a POST.
	answer(x *execution, data fields)
}

// Identification asks for the user.
type Identification struct {
	UserFields     []string // username and email if nil
	PasswordFields bool     // asks for the password as well
	NoPretend      bool     // does not pretend that unknown users exist
	Captcha        bool     // asks for a captcha as well, which cannot be solved
}

// Password asks for the password. Like the one of authentik's default flow it
// is skipped if the identification stage checked the password already.
type Password struct {
	MaxTries int // 5 if zero
}

// Validate asks for an MFA device.
type Validate struct {
	Classes       []string // allowed ones, all if nil
	NotConfigured string   // for users without device: skip (if empty), deny or configure
	// Configure are the components of the enrolment stages offered for
	// configure; with more than one the user has to choose.
	Configure []string
	Threshold time.Duration // last_auth_threshold
}

// Bound is a stage with a policy bound to it: whoever does not pass the policy
// skips the stage.
type Bound struct {
	Stage  Stage
	Policy func(Subject) bool
}

// Subject is whom a policy judges.
type Subject struct {
	Username   string // as typed, if there is no such user
	Reputation int    // of the name, from all addresses
}

// Login logs the user in. A flow without it ends without a login.
type Login struct {
	Duration time.Duration // zero is a browser session
	// RememberOffset asks whether to remember the user if not zero.
	RememberOffset time.Duration
}

// Logout ends the session; SessionEndStage shows the page behind it.
type (
	Logout          struct{}
	SessionEndStage struct{}
)

// Consent asks for consent.
type Consent struct{}

// Deny refuses everybody, with "Unknown error" if Message is empty.
type Deny struct{ Message string }

// Redirect sends the client elsewhere and so ends its flow.
type Redirect struct{ To string }

// Crash raises an exception.
type Crash struct{}

// Component is any other stage: its challenge is never satisfied. Fields are
// added to those that authentik sends for the component, if it is one of
// authentik's.
type Component struct {
	Name   string
	Fields map[string]any
}

// SetFlow adds a flow or replaces the one with its slug. Executions that are
// under way keep the old one.
func (s *Server) SetFlow(f Flow) {
	f.Designation = cmp.Or(f.Designation, "authentication")
	f.Title = cmp.Or(f.Title, "Welcome to authentik!")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows[f.Slug] = &f
}

// RemoveFlow deletes a flow; its executor then answers 404.
func (s *Server) RemoveFlow(slug string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flows, slug)
}

// plan is one execution of a flow, kept in the session.
type plan struct {
	flow    *Flow
	at      int
	user    *user  // pending, nil if none or pretended
	typed   string // what identified the pending user
	authed  bool   // the identification stage checked the password
	shown   bool   // the password stage was shown
	score   int    // the user's reputation then
	consent string // token
}

// fields are the members of a POSTed object.
type fields map[string]json.RawMessage

// text reads a string; set is false if it is missing or null.
func (f fields) text(name string) (value string, set bool) {
	raw, ok := f[name]
	if !ok || string(raw) == "null" || json.Unmarshal(raw, &value) != nil {
		return "", false
	}
	return value, true
}
