package authentiktest

func (Password) component() string { return "ak-stage-password" }

func (st Password) challenge(x *execution) map[string]any {
	v := x.userInfo()
	v["allow_show_password"] = false
	return v
}

func (st Password) show(x *execution) {
	if x.plan.authed {
		x.pass()
		return
	}
	if !x.plan.shown {
		x.plan.shown, x.plan.score = true, x.s.userScore(x.pending())
	}
	x.show(st)
}

func (st Password) answer(x *execution, data fields) {
	if x.plan.authed {
		x.pass()
		return
	}
	password, set := data.text("password")
	switch {
	case !set:
		x.refuse(st, "password", "This field is required.", "required")
	case password == "":
		x.refuse(st, "password", "This field may not be blank.", "blank")
	case !x.plan.user.accepts(password):
		x.failed(st.component(), "", -1)
		x.refuse(st, "password", "Invalid password", "invalid")
	default:
		x.plan.authed = true
		x.pass()
	}
}

// outOfTries counts wrong passwords: in the session before 2026.5, since then
// by what the user's reputation lost since the stage was shown.
func (x *execution) outOfTries(st Password) bool {
	limit := st.MaxTries
	if limit == 0 {
		limit = 5
	}
	if x.s.is2026() {
		return x.plan.shown && x.plan.score-x.s.userScore(x.pending()) >= limit
	}
	x.sess.tries++
	if x.sess.tries < limit {
		return false
	}
	x.sess.tries = 0
	return true
}
