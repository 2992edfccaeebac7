package outpost

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	"ldapd/internal/config"
)

// TestOneBind is "must show" 5: a line of the log and metrics name each stage
// of a bind and its time.
func TestOneBind(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := start(t, f.env(), func(cfg *config.Config) { cfg.Log.Level = "info" })
		s.loaded(t, 1)
		if got := s.bind(t, userDN(bob), secret+";"+f.code(t)); got != ldap.LDAPResultSuccess {
			t.Fatalf("result %d", got)
		}
		const took = `[0-9.]+(µs|ms|s)`
		line := regexp.MustCompile(`flow granted \{"provider": "ldap", "flow": "default-authentication-flow", "user": "ldapd-bob", "client": "127.0.0.1", ` +
			`"stages": "ak-stage-identification ` + took + `, ak-stage-password ` + took + `, ak-stage-authenticator-validate ` + took +
			`, xak-flow-redirect ` + took + `, users/me ` + took + `, check_access ` + took + `", "took": "` + took + `", "request": "[0-9a-f]{32}", "factor": "static"`)
		if !line.MatchString(s.log.String()) {
			t.Error("no such line")
		}
		for _, stage := range []string{"ak-stage-identification", "ak-stage-password", "ak-stage-authenticator-validate", "users/me", "check_access"} {
			if n := s.metric(t, `ldapd_authentik_stage_duration_seconds_count{stage="`+stage+`"}`); n != 1 {
				t.Errorf("%s was measured %v times", stage, n)
			}
		}
		if n := s.metric(t, `ldapd_authentik_flow_duration_seconds_count{outcome="granted"}`); n != 1 {
			t.Errorf("%v flows were measured", n)
		}
		if n := s.metric(t, `ldapd_binds_total{factor="static",outcome="granted",reason="",source="flow"}`); n != 1 {
			t.Errorf("%v binds were counted", n)
		}

		// A second factor that cannot be asked for: the log says what to do.
		f.EditUser(alice, func(u *authentiktest.User) { u.Devices = []authentiktest.Device{{Class: authentiktest.ClassWebAuthn}} })
		if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultInvalidCredentials {
			t.Errorf("webauthn: result %d", got)
		}
		if !strings.Contains(s.log.String(), "let the user set up TOTP, static tokens or Duo") {
			t.Error("the log does not say what to do about webauthn")
		}
	})
}

// TestNoSecrets looks for what was planted in all that ldapd writes.
func TestNoSecrets(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		const planted, wrong = "Pl4nted-Passw0rd", "Wr0ng-Passw0rd"
		f.EditUser(alice, func(u *authentiktest.User) { u.Password, u.AppPasswords = planted, []string{"App-" + planted} })
		f.EditUser(bob, func(u *authentiktest.User) { u.Password = planted })
		pair := authentiktest.NewCertificate(t, "ldap", "127.0.0.1")
		key := f.SetKeyPair(pair)
		f.provider(func(p *authentiktest.Provider) { p.Certificate = key })
		f.stages(identify{}, password{}, validate{Threshold: 28 * 24 * time.Hour}, login{})
		s := startAt(t, f.now, f.env(), quick, unlockable, func(cfg *config.Config) {
			cfg.Log.Level, cfg.Limits.FailuresPerUser = "debug", 0
		})
		s.loaded(t, 1)
		code := f.code(t)
		var codes []string
		bind := func(dn, pw string) { s.bind(t, dn, pw) }
		binds := func() {
			bind(userDN(alice), planted)
			bind(userDN(alice), "App-"+planted)
			bind(userDN(alice), wrong)
			bind(userDN(alice), wrong+";123987")
			bind(userDN(bob), planted+";"+code)
			bind(userDN(bob), planted+";987321")
			bind(userDN(bob+`\3b456789`), planted)
			bind(userDN(bob+`\3bstatic00zz99`), wrong)
			bind(userDN(nobody+";456789"), wrong)
			bind(bob+";456789", wrong) // no DN
		}
		codes = append(codes, code, "123987", "987321", "456789", "static00zz99")
		binds()
		c := s.as(t, userDN(agent), secret)
		for _, filter := range []string{"(userPassword=" + planted + ")", "(cn=" + bob + ";456789)", "(|(uid=" + bob + ";456789)(mail=" + bob + ";456789))"} {
			find(t, c, rootDN, filter)
		}
		// Verified binds of each kind, with codes that authentik took.
		onName, paired, unlocked := f.code(t), f.code(t), f.code(t)
		codes = append(codes, onName, paired, unlocked)
		verify := func() {
			t.Helper()
			if got := s.bind(t, userDN(bob+`\3b`+onName), planted); got != ldap.LDAPResultSuccess {
				t.Errorf("code on the name: result %d", got)
			}
			find(t, c, usersDN, "(&(objectClass=user)(cn="+bob+";"+paired+"))")
			if got := s.bind(t, userDN(bob), planted); got != ldap.LDAPResultSuccess {
				t.Errorf("code on the login name: result %d", got)
			}
			s.settled(t)
		}
		f.later(time.Hour) // and authentik takes codes again
		verify()
		if status, page := s.browser(t, []byte(pair.CertPEM)).send(t, "unlock", bob, planted, unlocked, "nextcloud"); status != http.StatusOK {
			t.Errorf("unlock: status %d: %s", status, page)
		}
		f.later(2 * time.Hour) // access is asked for
		verify()
		f.later(14 * time.Hour) // the flow runs
		verify()
		for _, fault := range []authentiktest.Fault{
			{Endpoint: authentiktest.Executor, Method: "POST", FlowError: true},
			{Endpoint: authentiktest.Executor, Method: "POST", Status: http.StatusBadRequest, Body: `{"password":["` + planted + ` is wrong"]}`},
			{Endpoint: authentiktest.Executor, Drop: true},
			{Endpoint: authentiktest.Me, Status: http.StatusInternalServerError},
		} {
			in := f.Inject(fault)
			binds()
			in.Remove()
		}
		sent := f.Requests() // with their cookies
		f.RotateToken()
		s.reload <- signal
		await.That(t, "the token is refused", func() bool { return s.metric(t, `ldapd_authentik_sync_errors_total{kind="token"}`) >= 1 })
		list, err := s.control(t).List(t.Context())
		if err != nil || len(list) < 3 {
			t.Fatalf("verified binds: %+v, %v", list, err)
		}
		places := map[string][]byte{
			"the metrics": []byte(s.scrape(t)), "the status": []byte(s.admin(t, "/status")), "the list": fmt.Appendf(nil, "%+v", list),
		}
		s.stop() // writes what is to be kept
		places["the log"] = []byte(s.log.String())

		secrets := append(codes, planted, wrong, f.Token, strings.Split(pair.KeyPEM, "\n")[1])
		cookies := make(map[string]map[string]bool)
		for _, r := range sent {
			for _, cookie := range (&http.Request{Header: r.Header}).Cookies() {
				if cookies[cookie.Name] == nil {
					cookies[cookie.Name] = make(map[string]bool)
				}
				cookies[cookie.Name][cookie.Value] = true
			}
		}
		if len(cookies[authentiktest.CookieSession]) < 5 || len(cookies[authentiktest.CookieMFA]) < 1 {
			t.Fatalf("cookies: %v", cookies)
		}
		for _, values := range cookies {
			for value := range values {
				secrets = append(secrets, value)
			}
		}
		for _, user := range []string{alice, bob, agent} {
			for _, session := range f.Sessions(user) {
				secrets = append(secrets, session.SID)
			}
		}
		err = filepath.WalkDir(s.state, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			places[path], err = os.ReadFile(path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		cacheKey := filepath.Join(s.state, "cache.key")
		if len(places[cacheKey]) == 0 || len(places[filepath.Join(s.state, "ldapd.db")]) == 0 {
			t.Error("no store, or none of its key")
		}
		secrets = append(secrets, strings.TrimSpace(string(places[cacheKey])))
		delete(places, cacheKey)
		if len(places) < 7 {
			t.Errorf("only %d places to look at", len(places))
		}
		for place, content := range places {
			content = append(content, unpacked(t, content)...)
			for _, secret := range secrets {
				if i := bytes.Index(content, []byte(secret)); i >= 0 {
					t.Errorf("%q is in %s: %q", secret, place, content[max(0, i-200):min(len(content), i+100)])
				}
			}
		}
	})
}

// unpacked returns what is in the gzip stream in a file, if there is one.
func unpacked(t *testing.T, content []byte) []byte {
	t.Helper()
	i := bytes.Index(content, []byte("\x1f\x8b\x08"))
	if i < 0 {
		return nil
	}
	z, err := gzip.NewReader(bytes.NewReader(content[i:]))
	if err != nil {
		return nil
	}
	z.Multistream(false)
	b, err := io.ReadAll(z)
	if err != nil || len(b) == 0 {
		t.Errorf("unpack: %v", err)
	}
	return b
}
