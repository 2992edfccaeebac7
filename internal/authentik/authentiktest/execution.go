package authentiktest

import (
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"time"
)

// The queries that an outpost sends to the executor.
const (
	innerQuery = "goauthentik.io%2Foutpost%2Fldap=true"
	warmQuery  = innerQuery + "&goauthentik.io%2Foutpost%2Fldap-warmup=true"
)

// execution is one request to a flow.
type execution struct {
	s       *Server
	c       *call
	flow    *Flow
	sess    *session
	plan    *plan
	ip      string
	outpost bool
	post    bool
}

func flowError(id string) map[string]any {
	return map[string]any{"component": "ak-stage-flow-error", "request_id": id}
}

func (s *Server) executor(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	flow := s.flows[c.arg]
	if flow == nil {
		c.html(http.StatusNotFound, "Not Found")
		return
	}
	s.inspect(c)
	if given, valid := s.bearer(c.r); given && !valid {
		c.json(http.StatusOK, flowError(c.id))
		return
	}
	x := &execution{s: s, c: c, flow: flow, post: c.r.Method == http.MethodPost}
	x.ip, x.outpost = s.client(c)
	x.sess = s.session(c.r)
	if x.sess == nil {
		x.sess = s.newSession(nil)
	}
	if x.sess.user != nil && x.sess.user.Inactive {
		s.endSession(x.sess)
		c.raw(http.StatusBadRequest, "", nil)
		return
	}
	x.run()
	s.save(x.sess)
	s.setSession(c, x.sess)
}

// inspect complains about what a careful client would do otherwise.
func (s *Server) inspect(c *call) {
	warm := c.r.URL.RawQuery == "query="+quotePlus(warmQuery)
	if !warm && c.r.URL.RawQuery != "query="+quotePlus(innerQuery) {
		s.complain("%s %s: query is %q", c.r.Method, c.r.URL.Path, c.r.URL.RawQuery)
	}
	if given, _ := s.bearer(c.r); given {
		s.complain("%s %s: Authorization on the executor", c.r.Method, c.r.URL.Path)
	}
	s.wantHeaders(c, !warm)
}

func (x *execution) run() {
	csrf := ""
	if k, err := x.c.r.Cookie(CookieCSRF); err == nil {
		csrf = k.Value
	}
	if x.post && x.sess.user != nil && (csrf == "" || csrf != x.sess.csrf || x.c.r.Header.Get("X-authentik-CSRF") != csrf) {
		x.c.json(http.StatusOK, flowError(x.c.id))
		return
	}
	if p := x.sess.plan; p != nil && p.flow.Slug == x.flow.Slug {
		x.plan, x.flow = p, p.flow
	} else if !x.start() {
		return
	}
	if x.plan.at >= len(x.flow.Stages) {
		x.done()
		return
	}
	stage, skip := x.stage()
	if skip {
		x.pass()
		return
	}
	if !x.post {
		stage.show(x)
		return
	}
	if media, _, err := mime.ParseMediaType(x.c.r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		x.s.complain("POST %s: Content-Type is %q", x.c.r.URL.Path, x.c.r.Header.Get("Content-Type"))
		x.c.json(http.StatusOK, flowError(x.c.id))
		return
	}
	var body any
	if err := json.Unmarshal(x.c.body, &body); err != nil {
		x.c.json(http.StatusOK, flowError(x.c.id))
		return
	}
	data := fields{}
	if err := json.Unmarshal(x.c.body, &data); err != nil || data == nil {
		x.refuse(stage, "non_field_errors", "Invalid data. Expected a dictionary.", "invalid")
		return
	}
	x.inspectComponent(stage, data)
	stage.answer(x, data)
}

// stage returns the current one, and whether a policy has it skipped.
func (x *execution) stage() (stage Stage, skip bool) {
	stage = x.flow.Stages[x.plan.at]
	b, ok := stage.(Bound)
	if !ok {
		return stage, false
	}
	return b.Stage, !b.Policy(Subject{x.pending(), x.s.userScore(x.pending())})
}

// inspectComponent complains about an answer to another component; authentik
// does not look at it.
func (x *execution) inspectComponent(stage Stage, data fields) {
	ch, ok := stage.(interface{ component() string })
	if !ok {
		return
	}
	if have, _ := data.text("component"); have != ch.component() {
		x.s.complain("POST %s: component %q answered with %q", x.c.r.URL.Path, ch.component(), have)
	}
}

// start makes a plan, unless a policy of the flow refuses.
func (x *execution) start() bool {
	if x.flow.Denied || x.flow.RequireOutpost && !x.outpost {
		x.sess.plan = nil
		msg := x.flow.DenyMessage
		if msg == "" {
			msg = "Flow does not apply to current user."
		}
		x.denied(msg)
		return false
	}
	x.plan = &plan{flow: x.flow}
	x.sess.plan = x.plan
	x.s.count(func(c *Counters) { c.FlowsStarted[x.flow.Slug]++ })
	return true
}

// send shows a challenge.
func (x *execution) send(component string, with map[string]any) {
	v := maps.Clone(with)
	if v == nil {
		v = make(map[string]any)
	}
	v["component"] = component
	info := map[string]any{
		"title":      x.flow.Title,
		"background": "/static/dist/assets/images/flow_background.jpg",
		"cancel_url": "/flows/-/cancel/",
		"layout":     "stacked",
	}
	if x.s.is2026() {
		info["background_themed_urls"] = nil
	}
	v["flow_info"] = info
	x.c.json(http.StatusOK, v)
}

// challenger is a stage that can show a challenge.
type challenger interface {
	Stage
	component() string
	challenge(x *execution) map[string]any
}

func (x *execution) show(stage challenger) {
	x.send(stage.component(), stage.challenge(x))
}

// refuse rejects an answer as the flow's bindings say.
func (x *execution) refuse(stage Stage, field, msg, code string) {
	if x.flow.OnInvalid != Retry {
		next := &plan{flow: x.flow}
		if x.flow.OnInvalid == RestartWithContext {
			next.user, next.typed = x.plan.user, x.plan.typed
		}
		x.plan, x.sess.plan = next, next
		x.redirect()
		return
	}
	if _, ok := stage.(Password); ok && field == "password" && code == "invalid" && x.outOfTries(stage.(Password)) {
		x.deny(msg)
		return
	}
	ch, ok := stage.(challenger)
	if !ok {
		stage.show(x)
		return
	}
	v := ch.challenge(x)
	v["response_errors"] = map[string]any{field: []map[string]string{{"string": msg, "code": code}}}
	x.send(ch.component(), v)
}

// pass ends the current stage.
func (x *execution) pass() {
	x.plan.at++
	if x.plan.at < len(x.flow.Stages) {
		x.redirect()
		return
	}
	x.done()
}

func (x *execution) done() {
	x.sess.plan = nil
	x.s.count(func(c *Counters) { c.FlowsFinished[x.flow.Slug]++ })
	to := x.flow.RedirectTo
	if to == "" {
		to = x.s.base
	}
	x.redirectChallenge(to)
}

// redirect sends the client to the next stage: by a 302 if the address comes
// out as the client wrote it, else by a challenge.
func (x *execution) redirect() {
	u := x.c.r.URL
	have, want := u.EscapedPath(), u.EscapedPath()
	if u.RawQuery != "" {
		have += "?" + u.RawQuery
	}
	if q := parseQuery(u.RawQuery); len(q) > 0 {
		want += "?" + urlencode(q)
	}
	if have != want || x.flow.ChallengeRedirects {
		x.redirectChallenge(want)
		return
	}
	x.c.w.Header().Set("Location", want)
	x.c.raw(http.StatusFound, "", nil)
}

func (x *execution) redirectChallenge(to string) {
	x.c.json(http.StatusOK, map[string]any{"component": "xak-flow-redirect", "to": to})
}

// deny ends the execution.
func (x *execution) deny(msg string) {
	x.sess.plan = nil
	x.denied(msg)
}

func (x *execution) denied(msg string) {
	v := x.userInfo()
	v["error_message"] = msg
	x.send("ak-stage-access-denied", v)
}

// crash is an exception in a stage.
func (x *execution) crash() {
	x.s.event(Event{Action: "system_exception", Username: x.pending(), IP: x.ip, Outpost: x.outpost})
	x.c.json(http.StatusOK, flowError(x.c.id))
}

// pending is the name of the pending user, typed or real.
func (x *execution) pending() string {
	if x.plan == nil {
		return ""
	}
	if x.plan.user != nil {
		return x.plan.user.Username
	}
	return x.plan.typed
}

func (x *execution) userInfo() map[string]any {
	v := map[string]any{"pending_user": x.pending(), "pending_user_avatar": "/static/dist/assets/images/user_default.png"}
	if x.plan != nil && x.plan.user != nil {
		v["pending_user_avatar"] = avatar(x.plan.user)
	}
	return v
}

// failed records a refused secret.
func (x *execution) failed(component, class string, by int) {
	x.s.event(Event{
		Action:      "login_failed",
		Username:    x.pending(),
		IP:          x.ip,
		Stage:       component,
		DeviceClass: class,
		Outpost:     x.outpost,
	})
	x.s.score(x.pending(), x.ip, by)
}

// timestamp is now as the database keeps it.
func (x *execution) timestamp() time.Time { return x.s.now().Truncate(time.Microsecond) }
