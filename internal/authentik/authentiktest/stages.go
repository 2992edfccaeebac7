package authentiktest

import "maps"

func (Consent) component() string { return "ak-stage-consent" }

func (Consent) challenge(x *execution) map[string]any {
	if x.plan.consent == "" {
		x.plan.consent = randomHex(16)
	}
	v := x.userInfo()
	v["header_text"] = "You're about to sign into LDAP."
	v["permissions"] = []any{}
	v["additional_permissions"] = []any{}
	v["token"] = x.plan.consent
	return v
}

func (st Consent) show(x *execution) { x.show(st) }

func (st Consent) answer(x *execution, data fields) {
	token, set := data.text("token")
	switch {
	case !set:
		x.refuse(st, "token", "This field is required.", "required")
	case token != x.plan.consent:
		x.show(st)
	default:
		x.pass()
	}
}

func (st Deny) show(x *execution) {
	msg := st.Message
	if msg == "" {
		msg = "Unknown error"
	}
	x.deny(msg)
}

func (st Deny) answer(x *execution, _ fields) { st.show(x) }

func (st Redirect) show(x *execution) { x.redirectChallenge(st.To) }

func (st Redirect) answer(x *execution, _ fields) { st.show(x) }

func (Crash) show(x *execution) { x.crash() }

func (Crash) answer(x *execution, _ fields) { x.crash() }

func (st Component) component() string { return st.Name }

// challenge has what authentik's schema requires of the components that an LDAP
// client cannot answer.
func (st Component) challenge(x *execution) map[string]any {
	v := make(map[string]any)
	switch st.Name {
	case "ak-stage-captcha":
		v = x.userInfo()
		v["site_key"], v["js_url"], v["interactive"] = "site-key", "https://captcha.invalid/api.js", true
	case "ak-stage-prompt":
		v["fields"] = []map[string]any{{
			"field_key":     "answer",
			"label":         "Answer",
			"type":          "text",
			"required":      true,
			"placeholder":   "",
			"initial_value": "",
			"order":         0,
			"sub_text":      "",
			"choices":       nil,
		}}
	case "ak-stage-dummy":
		v["name"] = "dummy"
	case "ak-stage-autosubmit":
		v["url"], v["attrs"] = "https://saml.invalid/acs", map[string]string{"SAMLRequest": "x"}
	case "xak-flow-shell":
		v["body"] = "<p>Hello</p>"
	case "xak-flow-frame":
		v["url"], v["loading_overlay"], v["loading_text"] = "/frame/", false, "Loading"
	case "ak-stage-authenticator-totp":
		v = x.userInfo()
		v["config_url"] = "otpauth://totp/authentik:user?secret=JBSWY3DPEHPK3PXP"
	case "ak-stage-authenticator-static":
		v = x.userInfo()
		v["codes"] = []string{"aaaaaaaaaaaa"}
	case "ak-stage-authenticator-duo":
		v = x.userInfo()
		v["activation_barcode"], v["activation_code"] = "https://duo.invalid/qr", "https://duo.invalid/activate"
		v["stage_uuid"] = uuidOf("stage", st.Name)
	case "ak-stage-authenticator-sms", "ak-stage-authenticator-email":
		v = x.userInfo()
	case "ak-stage-authenticator-webauthn":
		v = x.userInfo()
		v["registration"] = map[string]any{}
	}
	maps.Copy(v, st.Fields)
	return v
}

func (st Component) show(x *execution) { x.show(st) }

func (st Component) answer(x *execution, _ fields) {
	x.refuse(st, "non_field_errors", "Invalid response.", "invalid")
}

// A Bound stage is shown and answered as the stage in it.
func (st Bound) show(x *execution) { st.Stage.show(x) }

func (st Bound) answer(x *execution, data fields) { st.Stage.answer(x, data) }
