package authentiktest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The cookies of authentik.
const (
	CookieSession = "authentik_session"
	CookieMFA     = "authentik_mfa"
	CookieCSRF    = "authentik_csrf"
	CookieDevice  = "authentik_device"
)

// unauthenticatedAge is how long the row of a session lives whose cookie names
// no end, from the last time that a flow saved it.
const unauthenticatedAge = 24 * time.Hour

// session is a row of the session table.
type session struct {
	sid     string
	user    *user // nil while anonymous
	csrf    string
	expires time.Time // zero for a browser session
	ends    time.Time // of the row
	plan    *plan
	tries   int // wrong passwords, 2025.10
}

// Session is a session as tests see it.
type Session struct {
	SID      string
	Hash     string    // what SESSION_END carries
	Username string    // empty while anonymous
	Expires  time.Time // of the cookie, zero for a browser session
	Ends     time.Time // when the row is no longer good
}

func (s *Server) newSession(u *user) *session {
	sess := &session{sid: randomHex(16), user: u}
	s.save(sess)
	s.sessions[sess.sid] = sess
	return sess
}

// save sets the end of a row, as each request to a flow does.
func (s *Server) save(sess *session) {
	if sess.ends = sess.expires; sess.ends.IsZero() {
		sess.ends = s.now().Add(unauthenticatedAge)
	}
}

func (s *Server) alive(sess *session) bool { return s.now().Before(sess.ends) }

// Alive returns how many sessions of a user are good; "" means anonymous ones.
func (s *Server) Alive(username string) int {
	n := 0
	for _, sess := range s.Sessions(username) {
		if s.now().Before(sess.Ends) {
			n++
		}
	}
	return n
}

// Sessions returns the sessions of a user, "" meaning anonymous ones, in no
// order, and with those that are over and were not cleaned up.
func (s *Server) Sessions(username string) []Session {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Session
	for _, sess := range s.sessions {
		v := Session{SID: sess.sid, Hash: SessionHash(sess.sid), Expires: sess.expires, Ends: sess.ends}
		if sess.user != nil {
			v.Username = sess.user.Username
		}
		if v.Username == username {
			out = append(out, v)
		}
	}
	return out
}

// SessionHash is how SESSION_END names the session with a sid.
func SessionHash(sid string) string { return digest(sid) }

// EndSessions deletes the sessions of a user as an administrator does, which
// tells every outpost.
func (s *Server) EndSessions(username string) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endSessions(s.mustUser(username))
}

// EndSession deletes one session as an administrator does.
func (s *Server) EndSession(hash string) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sess := range s.sessions {
		if SessionHash(sess.sid) == hash {
			s.endSession(sess)
			return
		}
	}
	s.tb.Fatalf("authentiktest: no session %s", hash)
}

// ExpireSessions is the clean-up of expired sessions, which tells every outpost
// of those that somebody was logged in with. See Options.CleanUp.
func (s *Server) ExpireSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireSessions()
}

func (s *Server) expireSessions() {
	s.cleaned = s.now()
	for _, sess := range s.sessions {
		if !s.alive(sess) {
			s.endSession(sess)
		}
	}
}

// cleanUp expires sessions if it is time to.
func (s *Server) cleanUp() {
	if s.o.CleanUp == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Sub(s.cleaned) >= s.o.CleanUp {
		s.expireSessions()
	}
}

func (s *Server) endSessions(u *user) {
	for _, sess := range s.sessions {
		if sess.user == u {
			s.endSession(sess)
		}
	}
}

func (s *Server) endSession(sess *session) {
	delete(s.sessions, sess.sid)
	if sess.user != nil {
		s.SessionEnd(SessionHash(sess.sid))
	}
}

// session returns the session that a request's cookie names, or nil.
func (s *Server) session(r *http.Request) *session {
	cookie, err := r.Cookie(CookieSession)
	if err != nil {
		return nil
	}
	var claims struct {
		SID string `json:"sid"`
	}
	if !s.verify(cookie.Value, &claims) {
		return nil
	}
	sess := s.sessions[claims.SID]
	if sess == nil || !s.alive(sess) {
		return nil
	}
	return sess
}

// sign makes a JWT, HS256.
func (s *Server) sign(claims any) string {
	b, err := json.Marshal(claims)
	if err != nil {
		return ""
	}
	e := base64.RawURLEncoding
	text := e.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + e.EncodeToString(b)
	return text + "." + e.EncodeToString(s.mac(text))
}

func (s *Server) mac(text string) []byte {
	h := hmac.New(sha256.New, s.signKey)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (s *Server) verify(token string, claims any) bool {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return false
	}
	e := base64.RawURLEncoding
	mac, err := e.DecodeString(token[i+1:])
	if err != nil || !hmac.Equal(mac, s.mac(token[:i])) {
		return false
	}
	_, payload, ok := strings.Cut(token[:i], ".")
	if !ok {
		return false
	}
	b, err := e.DecodeString(payload)
	return err == nil && json.Unmarshal(b, claims) == nil
}

func (s *Server) setSession(c *call, sess *session) {
	sub := "anonymous"
	if sess.user != nil {
		sub = s.uid(sess.user)
	}
	s.setCookie(c, CookieSession, s.sign(map[string]any{
		"sid":           sess.sid,
		"iss":           "authentik",
		"sub":           sub,
		"authenticated": sess.user != nil,
		"acr":           "goauthentik.io/core/default",
	}), sess.expires, true)
}

func (s *Server) setCookie(c *call, name, value string, expires time.Time, httpOnly bool) {
	k := &http.Cookie{Name: name, Value: value, Path: s.base, Domain: s.o.CookieDomain, HttpOnly: httpOnly, SameSite: http.SameSiteLaxMode}
	if s.tls != nil {
		k.SameSite, k.Secure = http.SameSiteNoneMode, true
	}
	if !expires.IsZero() {
		k.Expires = expires
		k.MaxAge = max(1, int(expires.Sub(s.now())/time.Second))
	}
	http.SetCookie(c.w, k)
}

// RotateToken replaces the outpost's token; the old one is refused from now on.
func (s *Server) RotateToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = randomHex(30)
	return s.token
}

// bearer looks at the Authorization header.
func (s *Server) bearer(r *http.Request) (given, valid bool) {
	h := r.Header.Get("Authorization")
	return h != "", h == "Bearer "+s.token
}

// reader checks that the caller may read everything: the token, or the session
// of a superuser. It answers itself if not.
func (s *Server) reader(c *call) bool {
	given, valid := s.bearer(c.r)
	sess := s.session(c.r)
	switch {
	case valid:
		return true
	case given:
		c.detail(http.StatusForbidden, "Token invalid/expired")
	case sess == nil || sess.user == nil:
		c.detail(http.StatusForbidden, "Authentication credentials were not provided.")
	case sess.user.Inactive:
		c.raw(http.StatusBadRequest, "", nil)
	case sess.user.superuser():
		return true
	default:
		c.detail(http.StatusForbidden, "You do not have permission to perform this action.")
	}
	return false
}

// caller returns who makes a call that is meant to be made as a user, nil if
// nobody is logged in. It answers itself if the call is refused.
func (s *Server) caller(c *call) (u *user, ok bool) {
	if given, valid := s.bearer(c.r); given {
		s.complain("%s %s: Authorization on a user's call", c.r.Method, c.r.URL.Path)
		if !valid {
			c.detail(http.StatusForbidden, "Token invalid/expired")
			return nil, false
		}
		return s.users.byName[s.account()], true
	}
	s.wantHeaders(c, true)
	sess := s.session(c.r)
	if sess == nil || sess.user == nil {
		return nil, true
	}
	if sess.user.Inactive {
		s.endSession(sess)
		c.raw(http.StatusBadRequest, "", nil)
		return nil, false
	}
	return sess.user, true
}

// The two headers by which an outpost names its client.
const (
	headerIP    = "X-authentik-remote-ip"
	headerToken = "X-authentik-outpost-token"
)

// client returns the address that policies, reputation and events use, and
// whether the request counts as coming from an outpost.
func (s *Server) client(c *call) (ip string, outpost bool) {
	delegated, token := c.r.Header.Get(headerIP), c.r.Header.Get(headerToken)
	account := s.users.byName[s.account()]
	if delegated == "" || token != s.token || account == nil || account.Type != InternalServiceAccount {
		return c.peer(), false
	}
	if !validIP(delegated) {
		return c.peer(), true
	}
	return delegated, true
}

// wantHeaders complains about missing outpost headers.
func (s *Server) wantHeaders(c *call, ip bool) {
	for _, name := range []string{headerIP, headerToken} {
		if c.r.Header.Get(name) == "" && (ip || name == headerToken) {
			s.complain("%s %s: no %s", c.r.Method, c.r.URL.Path, name)
		}
	}
	if ip && c.r.Header.Get(headerIP) != "" && !validIP(c.r.Header.Get(headerIP)) {
		s.complain("%s %s: %s is no address", c.r.Method, c.r.URL.Path, headerIP)
	}
	if strings.HasPrefix(c.r.Header.Get(headerToken), "Bearer ") {
		s.complain("%s %s: %s with Bearer", c.r.Method, c.r.URL.Path, headerToken)
	}
	if n := len(c.r.CookiesNamed(CookieSession)); n > 1 {
		s.complain("%s %s: %d session cookies", c.r.Method, c.r.URL.Path, n)
	}
}

// access is a pair of an application and a user refused to it.
type access struct{ application, username string }

// DenyAccess makes an application's policies refuse a user; AnonymousUser
// stands for no login.
func (s *Server) DenyAccess(application, username string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[access{application, username}] = true
}

// AllowAccess undoes DenyAccess.
func (s *Server) AllowAccess(application, username string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.denied, access{application, username})
}

// OmitSearchPermission leaves has_search_permission out of check_access.
func (s *Server) OmitSearchPermission(omit bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noSearch = omit
}

const anonymous = "AnonymousUser"

func (s *Server) passing(application string, u *user) map[string]any {
	name := anonymous
	if u != nil {
		name = u.Username
	}
	return map[string]any{
		"passing":      !s.denied[access{application, name}],
		"messages":     []string{},
		"log_messages": []string{},
	}
}

// maySearch is the permission search_full_directory on a provider.
func (u *user) maySearch(provider int) bool {
	return u != nil && (u.SearchAll || slices.Contains(u.SearchProviders, provider) || u.superuser())
}
