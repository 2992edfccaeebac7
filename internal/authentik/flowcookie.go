package authentik

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

const (
	sessionCookie = "authentik_session"
	mfaCookie     = "authentik_mfa"
)

// maxCookies bounds a jar; authentik sets four.
const maxCookies = 16

// Cookie is a cookie of a session. It prints without its value.
type Cookie struct{ name, value string }

// String keeps the value out of logs.
func (c Cookie) String() string { return c.name + "=***" }

// GoString keeps the value out of logs.
func (c Cookie) GoString() string { return c.String() }

// jar holds cookies by name. It knows no domain and no Secure: both are about
// the name that browsers use, and authentik may be reached by another here.
type jar struct {
	cookies []Cookie
	expires time.Time // of the session cookie; zero: with the browser
}

func (j *jar) set(name, value string) {
	for i := range j.cookies {
		if j.cookies[i].name == name {
			j.cookies[i].value = value
			return
		}
	}
	if len(j.cookies) < maxCookies {
		j.cookies = append(j.cookies, Cookie{name, value})
	}
}

func (j *jar) get(name string) string {
	for _, c := range j.cookies {
		if c.name == name {
			return c.value
		}
	}
	return ""
}

func (j *jar) remove(name string) {
	for i, c := range j.cookies {
		if c.name == name {
			j.cookies = append(j.cookies[:i], j.cookies[i+1:]...)
			return
		}
	}
}

// store takes over what a response sets.
func (j *jar) store(resp *http.Response, now time.Time) {
	for _, c := range resp.Cookies() {
		expires := c.Expires
		if c.MaxAge > 0 { // does not depend on the clocks, and goes first
			expires = now.Add(time.Duration(min(c.MaxAge, 1<<31)) * time.Second)
		}
		if c.Name == sessionCookie {
			j.expires = expires
		}
		if c.MaxAge < 0 || c.Value == "" || !expires.IsZero() && !expires.After(now) {
			j.remove(c.Name)
			continue
		}
		j.set(c.Name, c.Value)
	}
}

// session returns the cookies that it takes to use the session again.
func (j *jar) session() []Cookie {
	var cs []Cookie
	for _, c := range j.cookies {
		if c.name != mfaCookie {
			cs = append(cs, c)
		}
	}
	return cs
}

// String returns the value of a Cookie header.
func (j *jar) String() string {
	var b strings.Builder
	for i, c := range j.cookies {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(c.name + "=" + c.value)
	}
	return b.String()
}

// sid returns the id of the session, from the claims of the session cookie,
// which is a JWT. It is empty if there is none.
func (j *jar) sid() string {
	parts := strings.Split(j.get(sessionCookie), ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return ""
	}
	var claims struct {
		SID string `json:"sid"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.SID
}

// sidHash returns what authentik calls a session when it says that it ended.
func sidHash(sid string) string {
	if sid == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(sid))
	return hex.EncodeToString(sum[:])
}
