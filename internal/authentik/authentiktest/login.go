package authentiktest

import (
	"encoding/json"
	"strings"
	"time"
)

func (Login) component() string { return "ak-stage-user-login" }

func (st Login) challenge(x *execution) map[string]any { return x.userInfo() }

func (st Login) show(x *execution) {
	if st.RememberOffset > 0 {
		x.show(st)
		return
	}
	st.login(x, st.Duration)
}

func (st Login) answer(x *execution, data fields) {
	if st.RememberOffset == 0 {
		st.login(x, st.Duration)
		return
	}
	var remember bool
	raw, ok := data["remember_me"]
	switch {
	case !ok:
		x.refuse(st, "remember_me", "This field is required.", "required")
	case json.Unmarshal(raw, &remember) != nil:
		x.refuse(st, "remember_me", "Must be a valid boolean.", "invalid")
	case remember:
		st.login(x, st.Duration+st.RememberOffset)
	default:
		st.login(x, st.Duration)
	}
}

// login gives the session a new id and its user.
func (st Login) login(x *execution, lasts time.Duration) {
	s, u := x.s, x.plan.user
	if u == nil || s.users.byPK[u.PK] != u || u.Inactive {
		x.deny("Unknown error")
		return
	}
	delete(s.sessions, x.sess.sid)
	next := s.newSession(u)
	next.plan, next.csrf = x.plan, randomHex(16)
	if lasts > 0 {
		next.expires = s.now().Add(lasts).Truncate(time.Second)
	}
	x.sess = next
	u.LastLogin = x.timestamp()
	for order := range s.users.orders.by {
		if strings.Contains(order, "last_login") {
			delete(s.users.orders.by, order)
		}
	}
	s.setCookie(x.c, CookieCSRF, next.csrf, time.Time{}, false)
	s.setCookie(x.c, CookieDevice, s.sign(map[string]any{"iss": "authentik", "sub": s.uid(u)}), s.now().Add(30*24*time.Hour), true)
	s.event(Event{Action: "login", Username: u.Username, IP: x.ip, Outpost: x.outpost})
	s.score(u.Username, x.ip, 1)
	x.pass()
}

func (Logout) show(x *execution) {
	s := x.s
	if u := x.sess.user; u != nil {
		s.event(Event{Action: "logout", Username: u.Username, IP: x.ip, Outpost: x.outpost})
	}
	s.endSession(x.sess)
	x.sess = s.newSession(nil)
	x.sess.plan = x.plan
	x.pass()
}

func (st Logout) answer(x *execution, _ fields) { st.show(x) }

func (SessionEndStage) component() string { return "ak-stage-session-end" }

func (SessionEndStage) challenge(x *execution) map[string]any {
	v := x.userInfo()
	v["brand_name"] = "authentik"
	return v
}

func (st SessionEndStage) show(x *execution) { x.show(st) }

func (st SessionEndStage) answer(x *execution, _ fields) { x.show(st) }
