package authentik

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"ldapd/internal/auth"
)

// Limits of one execution of a flow.
const (
	stageTimeout = 30 * time.Second // of one request; passwords are hashed in it
	duoTimeout   = 90 * time.Second // authentik answers when the user did, within a minute
	maxRedirects = 10               // behind one request
	maxChallenge = 1 << 20          // octets
)

// flowQuery is the query of each request to a flow. authentik goes on with a
// redirect only if its own encoding of the query is the same, octet by octet:
// the pair goauthentik.io/outpost/ldap=true, encoded twice.
const flowQuery = "query=goauthentik.io%252Foutpost%252Fldap%3Dtrue"

// Execution is one run of a provider's authentication flow.
type Execution struct {
	Flow     string // slug
	AppSlug  string // of the application whose access is checked
	Provider int

	Username string
	Password auth.Secret
	Code     auth.Secret // empty: none

	// PasswordAsCode answers a stage that wants a code with the password, if
	// no stage before wanted that. A stage that takes it has checked it, so a
	// flow that asks for nothing but a code may grant, as with authentik's own
	// outpost, and Session.Once is set.
	PasswordAsCode bool

	// Quiet refuses with CodeMissing where a second factor is asked for,
	// and sends nothing to that stage: neither a code nor a push.
	Quiet bool

	ClientIP  netip.Addr  // of the LDAP client; the zero value is this host
	MFACookie auth.Secret // Session.MFACookie of an earlier execution; empty: none
}

// Session is a login that was proved.
type Session struct {
	Trace
	UserPK   int
	Username string
	UID      string // 64 hex digits
	Search   bool   // may read the whole directory
	Factor   auth.Factor
	Once     bool // the password was taken as the code, and is good no more

	Cookies []Cookie // of the session, for Logout
	// MFACookie makes authentik skip the second factor for a while, the
	// threshold of the stage. It is the one that was sent, unless authentik
	// asked for the factor all the same. Empty: there is none.
	MFACookie auth.Secret
	Expires   time.Time // zero: authentik sets no end
	Hash      string    // by which authentik says that the session ended; may be empty
}

// Refusal is the error of a flow that said no.
type Refusal struct {
	Trace
	Stage  string // component that said so, or one of the steps behind the flow
	Reason auth.Reason
	Detail string // what an administrator should know; may be empty

	Password auth.Judgement // what the flow made of the password until then
}

func (r *Refusal) Error() string {
	s := "refused: " + string(r.Reason)
	if r.Stage != "" {
		s = "refused by " + r.Stage + ": " + string(r.Reason)
	}
	if r.Detail != "" {
		s += " (" + r.Detail + ")"
	}
	return s
}

// FlowError is the error of a flow that came to no end, which says nothing of
// the credential.
type FlowError struct {
	Trace
	Stage string // component at hand; empty: none yet
	Err   error
}

func (e *FlowError) Error() string {
	if e.Stage == "" {
		return "flow: " + e.Err.Error()
	}
	return "flow at " + e.Stage + ": " + e.Err.Error()
}

func (e *FlowError) Unwrap() error { return e.Err }

// What may be wrong with a flow, whoever binds; a FlowError wraps it, and an
// administrator has to mend it.
var (
	ErrNoPassword = errors.New("the flow asked for no password, so nothing is known of the one that was sent")
	ErrNoLogin    = errors.New("the flow ended, and nobody is logged in")
	ErrFlowDenied = errors.New("the flow was denied before it knew who it is")
)

// Execute runs a flow. It returns a *Refusal if the flow said no to somebody,
// and a *FlowError for everything else: that says nothing of the credential.
// It grants only what a stage checked: a flow that asks for no password comes
// to no end here.
//
// A Session.Factor of none means that authentik asked for none. If no
// MFACookie was sent, this user needs none. If one was sent, authentik took it
// for the factor, or the user needs none any more: it does not say which, and
// only an execution without the cookie can tell.
func (c *Client) Execute(ctx context.Context, e Execution) (*Session, error) {
	if !utf8.ValidString(e.Username + string(e.Password+e.Code)) {
		// JSON cannot carry it, and no credential of authentik's is such.
		return nil, &Refusal{Reason: auth.WrongPassword, Detail: "not UTF-8"}
	}
	x, err := c.newExecution(e)
	if err != nil {
		return nil, &FlowError{Err: err}
	}
	s, err := x.run(ctx)
	if err == nil {
		s.Trace = x.trace
		return s, nil
	}
	var r *Refusal
	refused := errors.As(err, &r)
	// A flow or an application may be open to outposts only, so a token that
	// is no longer good has everybody refused.
	if errors.Is(err, ErrFlowDenied) || refused && (r.Reason == auth.Policy || r.Reason == auth.NoAccess) {
		if e := x.checkToken(ctx); e != nil {
			err, refused = e, false
		}
	}
	if refused {
		r.Trace = x.trace
		return nil, r
	}
	return nil, &FlowError{Trace: x.trace, Stage: x.stage, Err: err}
}

// execution is a flow under way.
type execution struct {
	Execution
	c      *Client
	path   string
	token  string
	header http.Header
	jar    jar
	trace  Trace

	stage    string          // at hand
	answered map[string]bool // components
	sid      string          // of the session that the last answer was given in

	passwordSent   bool           // to a stage that checks it
	passwordAsCode bool           // it was sent as the code
	identified     bool           // a stage took the name
	judged         auth.Judgement // what became of the password
	factor         auth.Factor    // that was asked for and sent
}

func (c *Client) newExecution(e Execution) (*execution, error) {
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	ip := e.ClientIP.Unmap().WithZone("")
	if !ip.IsValid() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	x := &execution{
		Execution: e, c: c,
		path:     executorPath(e.Flow),
		token:    token,
		answered: make(map[string]bool),
		factor:   auth.FactorNone,
		// No Authorization: it would be about the service account then.
		header: http.Header{
			"X-Authentik-Remote-Ip":     {ip.String()},
			"X-Authentik-Outpost-Token": {token},
		},
	}
	if e.MFACookie != "" {
		x.jar.set(mfaCookie, string(e.MFACookie))
	}
	return x, nil
}

func executorPath(flow string) string { return "flows/executor/" + url.PathEscape(flow) + "/" }

// run goes through the flow and the steps behind it. That ends, for no
// component is answered twice.
func (x *execution) run(ctx context.Context) (*Session, error) {
	ch, err := x.show(ctx)
	if err != nil {
		return nil, err
	}
	for {
		if err := x.judge(ch); err != nil {
			return nil, err
		}
		if ch.Component == componentRedirect {
			return x.prove(ctx)
		}
		answer, err := x.answer(ch)
		if err != nil {
			return nil, err
		}
		if ch, err = x.solve(ctx, ch, answer); err != nil {
			return nil, err
		}
	}
}

// show asks for the challenge at hand.
func (x *execution) show(ctx context.Context) (challenge, error) {
	start := time.Now()
	ch, err := x.follow(ctx)
	if err == nil {
		x.trace.Stages = append(x.trace.Stages, StageTiming{Component: word(ch.Component), Get: time.Since(start)})
	}
	return ch, err
}

// solve sends the answer to a challenge, and returns the next one.
func (x *execution) solve(ctx context.Context, ch challenge, answer any) (challenge, error) {
	timeout := stageTimeout
	if _, slow := answer.(duoAnswer); slow {
		timeout = duoTimeout
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return challenge{}, errors.New("the answer cannot be encoded")
	}
	x.answered[ch.Component] = true
	x.sid = x.jar.sid()
	start := time.Now()
	next, again, err := x.send(ctx, http.MethodPost, body, timeout)
	x.trace.Stages[len(x.trace.Stages)-1].Post = time.Since(start)
	if err != nil {
		return challenge{}, err
	}
	if again {
		if next, err = x.show(ctx); err != nil {
			return challenge{}, err
		}
		next.moved = true
	} else if next.Component != ch.Component {
		x.trace.Stages = append(x.trace.Stages, StageTiming{Component: word(next.Component)})
	}
	return next, nil
}

// follow reads until there is a challenge.
func (x *execution) follow(ctx context.Context) (challenge, error) {
	for range maxRedirects {
		ch, again, err := x.send(ctx, http.MethodGet, nil, stageTimeout)
		if err != nil || !again {
			return ch, err
		}
	}
	return challenge{}, fmt.Errorf("more than %d redirects", maxRedirects)
}

// send sends one request to the flow. The answer is a challenge, or that the
// flow goes on with a read.
func (x *execution) send(ctx context.Context, method string, body []byte, timeout time.Duration) (ch challenge, again bool, err error) {
	err = x.c.do(ctx, request{
		method: method, path: x.path, query: flowQuery, body: body, header: x.headers(), tries: flowAttempts,
		timeout: timeout, limit: maxChallenge,
		accept: func(resp *http.Response) error {
			x.trace.RequestID = requestID(resp)
			ch, again = challenge{}, false
			if 300 <= resp.StatusCode && resp.StatusCode < 400 {
				to, err := resp.Location()
				if err != nil {
					return fmt.Errorf("status %d without a location", resp.StatusCode)
				}
				if !x.leadsBack(to) || to.Scheme != x.c.base.Scheme || to.Host != x.c.base.Host {
					return expectOK(resp)
				}
				again = true
			} else if err := decode(resp, &ch); err != nil {
				return err
			}
			x.jar.store(resp, x.c.now())
			if ch.Component != componentRedirect {
				return nil
			}
			// What cannot be encoded like our query is redirected so.
			to, err := url.Parse(ch.To)
			if err != nil || !strings.Contains(to.Path, "/"+apiPath+"flows/executor/") {
				return nil
			}
			if !x.leadsBack(to) {
				return fmt.Errorf("the flow goes on in another one, at %s", place(to))
			}
			again = true
			return nil
		},
	})
	var api *APIError
	if body != nil && errors.As(err, &api) {
		api.Detail = "" // it may repeat what was sent
	}
	return ch, again, err
}

// leadsBack reports that an address is that of the flow.
func (x *execution) leadsBack(to *url.URL) bool {
	return strings.HasSuffix(to.EscapedPath(), "/"+apiPath+x.path)
}

func (x *execution) headers() http.Header {
	h := x.header.Clone()
	if cookies := x.jar.String(); cookies != "" {
		h["Cookie"] = []string{cookies}
	}
	return h
}
