package check

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/config"
	"ldapd/internal/control"
)

// Of a client with keys per user.
const markedClient = "LDAPD_CLIENTS=[{name: nextcloud, networks: [10.1.2.3], encryption: per-user}]"

func loadEnv(t *testing.T, env ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load("", append([]string{"LDAPD_STATE_DIR=" + t.TempDir()}, env...))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestWarnings(t *testing.T) {
	const again = "Nextcloud's users have to log in again, and app passwords that were made with a code on the login name have to be made again"
	for _, tt := range []struct {
		env  []string
		want string // how the only warning begins; empty: there is none
	}{
		{nil, ""},
		{[]string{markedClient}, ""},
		{[]string{markedClient, "LDAPD_LISTEN_LDAPS="}, "listen.ldaps: is off, and the passwords of nextcloud open keys"},
		{[]string{"LDAPD_LISTEN_LDAPS="}, ""},
		{[]string{markedClient, "LDAPD_MFA_CODE_IN=password"}, "mfa.code_in: users with a code cannot log in at nextcloud"},
		{[]string{markedClient, "LDAPD_MFA_CODE_IN=password", "LDAPD_LISTEN_UNLOCK=:443"}, ""},
		{[]string{markedClient, "LDAPD_MFA_CODE_IN="}, "mfa.code_in: users with a code cannot log in at nextcloud"},
		{[]string{"LDAPD_MFA_CODE_IN=password"}, ""},
		{[]string{"LDAPD_MFA_LOGIN_ATTRIBUTES="}, "mfa.login_attributes: is empty, so that Nextcloud does not find alice;123456"},
		{[]string{"LDAPD_MFA_LOGIN_ATTRIBUTES=", "LDAPD_MFA_CODE_IN=password"}, ""},
		{[]string{"LDAPD_MFA_SEPARATOR=::"}, "mfa.separator: a colon ends the user name in HTTP"},
		{[]string{"LDAPD_MFA_REMEMBER_SCOPE=off"}, "mfa.remember.scope: is off, and Nextcloud repeats each login, with its old code, every five minutes"},
		{[]string{markedClient, "LDAPD_MFA_REMEMBER_SCOPE=off", "LDAPD_LISTEN_UNLOCK=:443"}, "mfa.remember.scope: is off, so that the windows of the unlock page admit nobody"},
		{[]string{markedClient, "LDAPD_MFA_REMEMBER_SCOPE=client", "LDAPD_CACHE_MAX_AGE=48h"}, "mfa.remember.scope: is client: for up to 48h0m0s after a code was given, the password alone lets anybody in at nextcloud"},
		{[]string{markedClient, "LDAPD_MFA_REMEMBER_SCOPE=user"}, "mfa.remember.scope: is user: for up to 720h0m0s after a code was given anywhere"},
		{[]string{"LDAPD_MFA_REMEMBER_SCOPE=client"}, ""},
		{[]string{"LDAPD_MFA_REMEMBER_FOR=1h"}, "mfa.remember.for: after 1h0m0s " + again},
		{[]string{"LDAPD_CACHE_MAX_AGE=12h"}, "cache.max_age: after 12h0m0s " + again},
		{[]string{"LDAPD_CACHE_STORE=memory"}, "cache.store: is memory: a restart ends the sessions"},
		{[]string{markedClient, "LDAPD_PROXY_PROTOCOL_TRUSTED=192.0.2.1,10.1.2.0/29"}, "clients[0].networks[0]: 10.1.2.3/32 overlaps 10.1.2.0/29 of proxy_protocol.trusted"},
		{[]string{markedClient, "LDAPD_PROXY_PROTOCOL_TRUSTED=192.0.2.1"}, ""},
	} {
		got := warnings(loadEnv(t, tt.env...))
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)) {
			t.Errorf("%v: got\n %s, want\n %s", tt.env, strings.Join(got, "\n "), tt.want)
		}
	}
}

func TestCheckClients(t *testing.T) {
	const occ = "occ ldap:set-config s01 ldapCacheTTL 0"
	for _, tt := range []struct {
		env       []string
		want, not []string
	}{
		{[]string{markedClient}, []string{"clients: nextcloud encrypts with keys per user: a code on the password is refused there", occ,
			"mfa.code_in: codes on the password are taken from every address that is not of nextcloud"}, []string{"clients: none", "app passwords"}},
		{[]string{markedClient, "LDAPD_MFA_CODE_IN=username"}, []string{occ}, []string{"mfa.code_in:"}},
		{[]string{markedClient, "LDAPD_MFA_REMEMBER_SCOPE=client"}, []string{"warning: mfa.remember.scope: is client"}, []string{occ}},
		{nil, []string{"clients: none has encryption: per-user"}, []string{occ, "mfa.code_in:"}},
		{[]string{"LDAPD_MFA_CODE_IN=username"}, nil, []string{"clients:", "mfa.code_in:"}},
		{[]string{markedClient, "AUTHENTIK_HOST=https://auth.example.org/", "AUTHENTIK_TOKEN=x"}, []string{`switch "User database + app passwords" off`}, nil},
	} {
		var r Report
		r.clients(loadEnv(t, tt.env...))
		notes := strings.Join(r.Notes, "\n")
		for _, want := range tt.want {
			if !strings.Contains(notes, want) {
				t.Errorf("%v: no note %q in\n%s", tt.env, want, notes)
			}
		}
		for _, not := range tt.not {
			if strings.Contains(notes, not) {
				t.Errorf("%v: a note %q in\n%s", tt.env, not, notes)
			}
		}
		if len(r.Problems) > 0 {
			t.Errorf("%v: %v", tt.env, r.Problems)
		}
	}
	var r Report
	r.clients(loadEnv(t, "LDAPD_CACHE_KEY_FILE=/nonexistent"))
	if len(r.Problems) != 1 || !strings.HasPrefix(r.Problems[0].Error(), "LDAPD_CACHE_KEY_FILE: open /nonexistent") {
		t.Errorf("%v", r.Problems)
	}
}

func TestCheckUnlock(t *testing.T) {
	var r Report
	r.unlock(loadEnv(t, markedClient, "LDAPD_LISTEN_UNLOCK=:443"))
	if len(r.Notes) != 1 || !strings.HasPrefix(r.Notes[0], "warning: unlock.cert: is empty") || len(r.Problems) > 0 {
		t.Errorf("%q %v", r.Notes, r.Problems)
	}
	r = Report{}
	r.unlock(loadEnv(t, markedClient, "LDAPD_UNLOCK_CERT=/nonexistent", "LDAPD_UNLOCK_KEY=/nonexistent"))
	if len(r.Problems) != 1 || !strings.HasPrefix(r.Problems[0].Error(), "LDAPD_UNLOCK_CERT: ") {
		t.Errorf("%q %v", r.Notes, r.Problems)
	}
	r = Report{}
	if r.unlock(loadEnv(t)); len(r.Notes)+len(r.Problems) > 0 {
		t.Errorf("no page: %q %v", r.Notes, r.Problems)
	}
}

// fixedStatus is a server that is in one state.
type fixedStatus struct {
	control.Service
	status control.Status
}

func (s fixedStatus) Status(context.Context) (control.Status, error) { return s.status, nil }

func TestCheckRunning(t *testing.T) {
	cfg := loadEnv(t, "LDAPD_CACHE_STORE=memory")
	var r Report
	if r.running(cfg); len(r.Notes)+len(r.Problems) > 0 {
		t.Errorf("nothing runs: %q %v", r.Notes, r.Problems)
	}
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	l, err := control.Listen(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	s := control.New(fixedStatus{status: control.Status{
		Version: "1.2", Since: at, Directory: "2 trees", Store: "bolt", StoreError: "disk full", VerifiedUsers: 7, GoodAnywhere: 2,
		Undecided: []control.Undecided{{Client: "nextcloud", Count: 3, Last: at, Remedy: "set ldapCacheTTL to 0"}},
		Warnings:  append(warnings(cfg), "somebody has the password of alice"),
	}}, zap.NewNop())
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	r.running(cfg)
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	want := []string{
		"running: ldapd 1.2 since 2026-05-01 12:00:00 serves 2 trees, with verified binds of 7 users in bolt",
		"running: 2 of them have codes that are good at every client, as they were proved before ldapd kept where: until they end, or by ldapd cache revoke",
		"warning: running: verified binds: disk full",
		"warning: running: 3 binds of nextcloud with the right password were answered 52, as it cannot be determined which login they belong to, the last one at 2026-05-01 12:00:00: set ldapCacheTTL to 0",
		"warning: running: somebody has the password of alice",
	}
	if !slices.Equal(r.Notes, want) || len(r.Problems) > 0 {
		t.Errorf("got\n %s\n%v", strings.Join(r.Notes, "\n "), r.Problems)
	}
	cfg.StateDir = filepath.Join(cfg.StateDir, "none")
	r = Report{}
	if r.running(cfg); len(r.Notes)+len(r.Problems) > 0 {
		t.Errorf("no state directory: %q %v", r.Notes, r.Problems)
	}
}
