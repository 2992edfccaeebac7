package authentiktest

import (
	"slices"
	"strings"
)

func (Identification) component() string { return "ak-stage-identification" }

func (st Identification) fields() []string {
	if st.UserFields == nil {
		return []string{"username", "email"}
	}
	return st.UserFields
}

func (st Identification) challenge(x *execution) map[string]any {
	v := map[string]any{
		"user_fields":         st.fields(),
		"password_fields":     st.PasswordFields,
		"allow_show_password": false,
		"flow_designation":    x.flow.Designation,
		"captcha_stage":       nil,
		"primary_action":      "Log in",
		"sources":             []any{},
		"show_source_labels":  false,
		"enable_remember_me":  false,
	}
	if st.Captcha {
		v["captcha_stage"] = map[string]any{
			"component":           "ak-stage-captcha",
			"site_key":            "site-key",
			"js_url":              "https://captcha.invalid/api.js",
			"interactive":         true,
			"pending_user":        "",
			"pending_user_avatar": "",
		}
	}
	if x.s.is2026() {
		v["pending_user_identifier"] = nil
		if x.plan.typed != "" {
			v["pending_user_identifier"] = x.plan.typed
		}
		v["passkey_challenge"] = nil
	}
	return v
}

func (st Identification) show(x *execution) { x.show(st) }

func (st Identification) answer(x *execution, data fields) {
	uid, set := data.text("uid_field")
	uid = strings.TrimSpace(uid)
	switch {
	case !set && x.s.is2026():
		x.refuse(st, "non_field_errors", "No identification data provided.", "invalid")
		return
	case !set:
		x.refuse(st, "uid_field", "This field is required.", "required")
		return
	case uid == "" && !x.s.is2026():
		x.refuse(st, "uid_field", "This field may not be blank.", "blank")
		return
	}
	x.plan.user, x.plan.typed, x.plan.authed = x.s.identify(uid, st.fields()), uid, false
	if x.plan.user != nil {
		x.s.count(func(c *Counters) { c.UserFlows[x.plan.user.Username]++ })
	} else {
		x.s.score(uid, x.ip, -1)
		if st.NoPretend || st.PasswordFields {
			st.fail(x)
			return
		}
	}
	if st.Captcha {
		st.fail(x)
		return
	}
	if st.PasswordFields {
		password, _ := data.text("password")
		if !x.plan.user.accepts(strings.TrimSpace(password)) {
			x.failed(st.component(), "", -1)
			st.fail(x)
			return
		}
		x.plan.authed = true
	}
	x.pass()
}

func (st Identification) fail(x *execution) {
	x.refuse(st, "non_field_errors", "Failed to authenticate.", "invalid")
}

// identify finds a user by the configured columns, in any case.
func (s *Server) identify(uid string, columns []string) *user {
	if slices.Contains(columns, "username") {
		if found := s.users.byFold[strings.ToLower(uid)]; len(found) > 0 {
			return found[0]
		}
	}
	email, upn := slices.Contains(columns, "email"), slices.Contains(columns, "upn")
	if !email && !upn || uid == "" {
		return nil
	}
	for _, u := range s.users.rows {
		if email && strings.EqualFold(u.Email, uid) {
			return u
		}
		if upn && len(u.attrs) > len("{}") {
			if v, ok := decodeAttributes(u.attrs)["upn"].(string); ok && strings.EqualFold(v, uid) {
				return u
			}
		}
	}
	return nil
}

// accepts checks a password; an inactive user has none that passes.
func (u *user) accepts(password string) bool {
	if u == nil || u.Inactive || password == "" {
		return false
	}
	return password == u.Password || slices.Contains(u.AppPasswords, password)
}
