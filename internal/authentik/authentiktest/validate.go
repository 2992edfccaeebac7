package authentiktest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (Validate) component() string { return "ak-stage-authenticator-validate" }

type deviceChallenge struct {
	Class     string         `json:"device_class"`
	UID       string         `json:"device_uid"`
	Challenge map[string]any `json:"challenge"`
	LastUsed  *string        `json:"last_used"`
}

// offered returns the confirmed, allowed devices, one per class.
func (st Validate) offered(u *user) []*device {
	if u == nil {
		return nil
	}
	var out []*device
	for _, class := range classes {
		if st.Classes != nil && !slices.Contains(st.Classes, class) {
			continue
		}
		i := slices.IndexFunc(u.devices, func(d *device) bool { return d.Class == class && !d.Unconfirmed })
		if i >= 0 {
			out = append(out, u.devices[i])
		}
	}
	return out
}

func (d *device) challenge(u *user) deviceChallenge {
	v := deviceChallenge{Class: d.Class, UID: d.uid(), Challenge: map[string]any{}, LastUsed: stamp(d.LastUsed)}
	switch d.Class {
	case ClassEmail:
		name, host, _ := strings.Cut(u.Email, "@")
		v.Challenge["email"] = name[:min(1, len(name))] + "***@" + host
	case ClassWebAuthn:
		v.Challenge["challenge"] = "cmFuZG9tIGNoYWxsZW5nZQ"
		v.Challenge["rpId"] = "authentik.test"
		v.Challenge["allowCredentials"] = []any{}
	}
	return v
}

func (st Validate) challenge(x *execution) map[string]any {
	v := x.userInfo()
	devices := []deviceChallenge{}
	for _, d := range st.offered(x.plan.user) {
		devices = append(devices, d.challenge(x.plan.user))
	}
	stages := []map[string]any{}
	if len(devices) == 0 {
		for _, name := range st.Configure {
			stages = append(stages, map[string]any{
				"pk":              uuidOf("stage", name),
				"name":            name,
				"verbose_name":    name,
				"meta_model_name": "authentik_stages." + name,
			})
		}
	}
	v["device_challenges"], v["configuration_stages"] = devices, stages
	return v
}

// pk names the stage in the cookie of last_auth_threshold.
func (st Validate) pk(x *execution) string {
	return uuidOf("stage", x.flow.Slug+"/"+strconv.Itoa(x.plan.at))
}

type mfaClaims struct {
	Device int    `json:"device"`
	Stage  string `json:"stage"`
	Exp    int64  `json:"exp"`
}

func (st Validate) show(x *execution) {
	devices := st.offered(x.plan.user)
	if len(devices) > 0 {
		if st.remembered(x, devices) {
			x.pass()
			return
		}
		x.show(st)
		return
	}
	switch st.NotConfigured {
	case "deny":
		x.deny("No (allowed) MFA authenticator configured.")
	case "configure":
		if len(st.Configure) == 1 {
			Component{Name: st.Configure[0]}.show(x)
			return
		}
		x.show(st)
	default:
		x.pass()
	}
}

// remembered tells whether the client's authentik_mfa cookie lets it pass.
func (st Validate) remembered(x *execution, devices []*device) bool {
	cookie, err := x.c.r.Cookie(CookieMFA)
	if err != nil || st.Threshold <= 0 {
		return false
	}
	var claims mfaClaims
	return x.s.verify(cookie.Value, &claims) &&
		claims.Stage == st.pk(x) && x.s.now().Unix() < claims.Exp &&
		slices.ContainsFunc(devices, func(d *device) bool { return d.ID == claims.Device })
}

func (st Validate) answer(x *execution, data fields) {
	u := x.plan.user
	devices := st.offered(u)
	if raw, ok := data["selected_challenge"]; ok && !st.choose(x, raw, devices) {
		x.refuse(st, "selected_challenge", "Invalid challenge selected", "invalid")
		return
	}
	if raw, ok := data["duo"]; ok {
		st.answerDuo(x, raw, devices)
		return
	}
	code, ok := data.text("code")
	switch {
	case !ok:
		x.refuse(st, "non_field_errors", "Empty response", "invalid")
	case code == "":
		x.refuse(st, "code", "This field may not be blank.", "blank")
	case !slices.ContainsFunc(devices, func(d *device) bool { return d.Class != ClassDuo && d.Class != ClassWebAuthn }):
		x.refuse(st, "code", "No compatible device class allowed", "invalid")
	default:
		if d := u.matchCode(code, x.timestamp()); d != nil {
			st.passed(x, d)
			return
		}
		st.failed(x, "code", "Invalid Token. Please ensure the time on your device is accurate and try again.", "invalid", ClassTOTP)
	}
}

// choose checks selected_challenge against what was offered. Choosing an sms or
// email device has a message sent.
func (st Validate) choose(x *execution, raw json.RawMessage, devices []*device) bool {
	var have deviceChallenge
	if json.Unmarshal(raw, &have) != nil {
		return false
	}
	i := slices.IndexFunc(devices, func(d *device) bool { return d.Class == have.Class && d.uid() == have.UID })
	if i < 0 {
		return false
	}
	if have.Class == ClassSMS || have.Class == ClassEmail {
		x.s.count(func(c *Counters) { c.Messages++ })
	}
	var a, b any
	shown := devices[i].challenge(x.plan.user)
	shown.LastUsed = have.LastUsed // another login may have used it since
	want, err := json.Marshal(shown)
	if err == nil && json.Unmarshal(want, &a) == nil && json.Unmarshal(raw, &b) == nil && !equalJSON(a, b) {
		x.s.complain("POST %s: selected_challenge was changed", x.c.r.URL.Path)
	}
	return true
}

func equalJSON(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

func (st Validate) answerDuo(x *execution, raw json.RawMessage, devices []*device) {
	var id int
	if json.Unmarshal(raw, &id) != nil {
		x.refuse(st, "duo", "A valid integer is required.", "invalid")
		return
	}
	i := slices.IndexFunc(devices, func(d *device) bool { return d.Class == ClassDuo })
	if i < 0 {
		x.refuse(st, "duo", "No compatible device class allowed", "invalid")
		return
	}
	d := devices[i]
	if d.ID != id {
		x.refuse(st, "duo", "Invalid device", "invalid")
		return
	}
	// The push takes as long as its user likes; others go on meanwhile.
	name := x.pending()
	x.s.mu.Unlock()
	allowed, err := x.s.push(x.c.ctx, name, d.Duo)
	x.s.mu.Lock()
	switch {
	case err != nil:
		abort()
	case !allowed:
		st.failed(x, "duo", "Duo denied access", "denied", ClassDuo)
	default:
		d.LastUsed = x.timestamp()
		st.passed(x, d)
	}
}

func (st Validate) failed(x *execution, field, msg, code, class string) {
	by := -1
	if x.s.is2026() {
		by = -2
	}
	x.failed(st.component(), class, by)
	x.refuse(st, field, msg, code)
}

func (st Validate) passed(x *execution, d *device) {
	if st.Threshold > 0 {
		until := x.s.now().Add(st.Threshold)
		x.s.setCookie(x.c, CookieMFA, x.s.sign(mfaClaims{d.ID, st.pk(x), until.Unix()}), until.Truncate(time.Second), true)
	}
	x.pass()
}
