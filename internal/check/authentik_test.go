package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/config"
)

// outpostConfig is what the environment of authentik's container becomes.
func outpostConfig(t *testing.T, f *authentiktest.Server, more ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load("", append([]string{
		"AUTHENTIK_HOST=" + f.URL, "AUTHENTIK_TOKEN=" + f.Token, "LDAPD_STATE_DIR=" + filepath.Join(t.TempDir(), "state"),
		"AUTHENTIK_LISTEN__LDAP=127.0.0.1:0", "AUTHENTIK_LISTEN__LDAPS=127.0.0.1:0", "AUTHENTIK_LISTEN__METRICS=127.0.0.1:0",
	}, more...))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func setProvider(f *authentiktest.Server, change func(*authentiktest.Provider)) {
	p := authentiktest.Provider{PK: authentiktest.DefaultProvider, Name: "ldap", BindFlow: authentiktest.DefaultFlow, Application: authentiktest.DefaultApplication}
	change(&p)
	f.SetProvider(p)
}

func TestCheckAuthentik(t *testing.T) {
	for version, api := range map[string]string{
		authentiktest.V2025_10: "2025.10 or later, before 2026.5",
		authentiktest.V2026_5:  "2026.5 or later",
	} {
		f := authentiktest.New(t, authentiktest.Options{Version: version})
		pair := f.SetKeyPair(authentiktest.NewCertificate(t, "ldap", "ldap.example.org"))
		setProvider(f, func(p *authentiktest.Provider) { p.Certificate = pair })
		r := Run(outpostConfig(t, f))
		if len(r.Problems) > 0 {
			t.Errorf("%s: %v", version, r.Problems)
		}
		notes := strings.Join(r.Notes, "\n")
		for _, want := range []string{
			"authentik.host: " + f.URL + ` answers, and the token is that of the outpost "LDAP"`,
			"authentik: the API is that of " + api,
			`authentik: provider "ldap" serves DC=ldap,DC=goauthentik,DC=io for the application "ldap"; code-based MFA is on`,
			`authentik: flow "default-authentication-flow" begins with ak-stage-identification, ak-stage-password, and asks for the password there`,
			`authentik: the certificate of the provider "ldap" expires soon, on `,
			`"Search full LDAP directory"`,
		} {
			if !strings.Contains(notes, want) {
				t.Errorf("%s: no note %q in\n%s", version, want, notes)
			}
		}
		if strings.Contains(notes, "users.yaml") {
			t.Errorf("%s: a users file that is not set is noted:\n%s", version, notes)
		}
		for _, c := range f.Complaints() {
			t.Error(c)
		}
	}
}

func TestCheckAuthentikProblems(t *testing.T) {
	stages := func(list ...authentiktest.Stage) func(*authentiktest.Server) {
		return func(f *authentiktest.Server) {
			f.SetFlow(authentiktest.Flow{Slug: authentiktest.DefaultFlow, Stages: list})
		}
	}
	fault := func(fault authentiktest.Fault) func(*authentiktest.Server) {
		return func(f *authentiktest.Server) { f.Inject(fault) }
	}
	certificate := func(change func(*authentiktest.KeyPairData)) func(*authentiktest.Server) {
		return func(f *authentiktest.Server) {
			pair := authentiktest.NewCertificate(t, "ldap", "ldap.example.org")
			change(&pair)
			id := f.SetKeyPair(pair)
			setProvider(f, func(p *authentiktest.Provider) { p.Certificate = id })
		}
	}
	for _, tt := range []struct {
		name string
		set  func(*authentiktest.Server)
		want string // of the only problem: how it begins, and what it advises
		do   string
	}{
		{"down", func(f *authentiktest.Server) { f.Stop() }, "AUTHENTIK_HOST: GET /api/v3/outposts/instances/: dial tcp", "is authentik running there"},
		{"proxy error", fault(authentiktest.Fault{Endpoint: authentiktest.Outposts, Status: 502}), "AUTHENTIK_HOST: authentik does not work: ", "see its log, or that of the proxy"},
		{"something else", fault(authentiktest.Fault{Endpoint: authentiktest.Outposts, Status: 404, Body: "<h1>"}), "AUTHENTIK_HOST: this does not answer as authentik does: ", "it must be the address of authentik itself"},
		{"wrong token", func(f *authentiktest.Server) { f.RotateToken() }, "AUTHENTIK_TOKEN: authentik does not take the token: ", "View Deployment Info"},
		{"no outpost", func(f *authentiktest.Server) { f.RemoveOutpost(authentiktest.DefaultOutpost) }, "AUTHENTIK_TOKEN: no LDAP outpost for this token", "View Deployment Info"},
		{"outpost of another kind", func(f *authentiktest.Server) {
			f.SetOutpost(authentiktest.Outpost{PK: authentiktest.DefaultOutpost, Name: "RADIUS", Type: "radius", Interval: 300})
		}, "AUTHENTIK_TOKEN: no LDAP outpost for this token", "the LDAP outpost"},
		{"no provider", func(f *authentiktest.Server) { f.RemoveProvider(authentiktest.DefaultProvider) }, `authentik: the outpost "LDAP" has no LDAP provider`, "choose it in Applications, Outposts, LDAP"},
		{"provider without application", func(f *authentiktest.Server) {
			setProvider(f, func(p *authentiktest.Provider) { p.Application = "" })
		}, `authentik: the outpost "LDAP" has no LDAP provider with an application`, "make an application"},
		{"no DN", func(f *authentiktest.Server) {
			setProvider(f, func(p *authentiktest.Provider) { p.BaseDN = "example.org" })
		}, `authentik: the base DN "example.org" of the provider "ldap" is no DN`, "correct it in the provider"},
		{"one base twice", func(f *authentiktest.Server) {
			f.SetProvider(authentiktest.Provider{PK: 8, Name: "more", BaseDN: "dc=LDAP, dc=goauthentik,dc=io", BindFlow: authentiktest.DefaultFlow, Application: "more"})
			f.SetOutpost(authentiktest.Outpost{PK: authentiktest.DefaultOutpost, Name: "LDAP", Interval: 300, Providers: []int{7, 8}})
		}, `authentik: the providers "ldap" and "more" have the same base DN`, "give it another"},
		{"users may not be read", fault(authentiktest.Fault{Endpoint: authentiktest.Users, Status: 403, Body: `{"detail":"You do not have permission to perform this action."}`}),
			"authentik: the outpost cannot read users: ", "save the outpost once in authentik"},
		{"no such flow", func(f *authentiktest.Server) { f.RemoveFlow(authentiktest.DefaultFlow) }, `authentik: there is no flow "default-authentication-flow"`, `choose a bind flow in the provider "ldap"`},
		{"flow that breaks", fault(authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 500}), `authentik: the flow "default-authentication-flow" cannot be run: `, "see authentik's log"},
		{"captcha", stages(authentiktest.Identification{Captcha: true}), "authentik: binds cannot pass the flow \"default-authentication-flow\", which begins with ak-stage-identification: it wants a captcha solved", "choose another bind flow"},
		{"unanswerable first stage", stages(authentiktest.Component{Name: "ak-stage-prompt"}), "authentik: binds cannot pass the flow \"default-authentication-flow\", which begins with ak-stage-prompt: ", "choose another bind flow"},
		{"flow without a password", stages(authentiktest.Identification{}, authentiktest.Login{}), "authentik: no bind can be determined by the flow \"default-authentication-flow\" of the provider \"ldap\", which goes through ak-stage-identification, xak-flow-redirect: the flow asked for no password", "give it a password stage"},
		{"flow that crashes then", stages(authentiktest.Identification{}, authentiktest.Crash{}), "authentik: binds cannot pass the flow \"default-authentication-flow\", which begins with ak-stage-identification, ak-stage-flow-error: authentik failed", "choose another bind flow"},
		{"flow without stages", stages(), "authentik: binds cannot pass the flow", "choose another bind flow"},
		{"certificate without key", certificate(func(k *authentiktest.KeyPairData) { k.KeyPEM = "" }), `authentik: the certificate of the provider "ldap" cannot be used: authentik has no private key for it`, "choose another in the provider"},
		{"key not to be seen", certificate(func(k *authentiktest.KeyPairData) { k.KeyForbidden = true }), `authentik: the certificate of the provider "ldap" cannot be used: `, "or set tls.cert"},
		{"broken certificate", certificate(func(k *authentiktest.KeyPairData) { k.CertPEM = "x" }), `authentik: the certificate of the provider "ldap" cannot be used: `, "or set tls.cert"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := authentiktest.New(t, authentiktest.Options{})
			cfg := outpostConfig(t, f)
			tt.set(f)
			r := Run(cfg)
			if len(r.Problems) != 1 {
				t.Fatalf("problems: %v\nnotes: %v", r.Problems, r.Notes)
			}
			got := r.Problems[0].Error()
			if !strings.HasPrefix(got, tt.want) || !strings.Contains(got, tt.do) || strings.Contains(got, "\n") || strings.Contains(got, f.Token) {
				t.Errorf("%s", got)
			}
		})
	}
}

// TestCheckAuthentikFlow has what can be seen of a flow without a password.
func TestCheckAuthentikFlow(t *testing.T) {
	const asks, open = "asks for the password there", "warning: authentik: the flow \"default-authentication-flow\" begins with ak-stage-identification"
	for _, tt := range []struct {
		stages []authentiktest.Stage
		want   string
	}{
		{[]authentiktest.Stage{authentiktest.Identification{PasswordFields: true}}, asks},
		{[]authentiktest.Stage{authentiktest.Identification{}, authentiktest.Password{}}, asks},
		{[]authentiktest.Stage{authentiktest.Identification{}, authentiktest.Validate{}, authentiktest.Password{}}, asks},
		{[]authentiktest.Stage{authentiktest.Identification{}, authentiktest.Validate{NotConfigured: "deny"}, authentiktest.Password{}}, open},
		{[]authentiktest.Stage{authentiktest.Identification{}, authentiktest.Consent{}}, open},
	} {
		f := authentiktest.New(t, authentiktest.Options{})
		f.SetFlow(authentiktest.Flow{Slug: authentiktest.DefaultFlow, Stages: tt.stages})
		r := Run(outpostConfig(t, f))
		if notes := strings.Join(r.Notes, "\n"); len(r.Problems) != 0 || !strings.Contains(notes, tt.want) {
			t.Errorf("%+v: problems %v, notes\n%s", tt.stages, r.Problems, notes)
		}
		if n := f.Counters().LoginsFailed; n != 0 {
			t.Errorf("%+v: %d failed logins", tt.stages, n)
		}
	}
}

func TestCheckAuthentikUntrusted(t *testing.T) {
	f := authentiktest.New(t, authentiktest.Options{TLS: true})
	r := Run(outpostConfig(t, f))
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Error(), "name authentik's CA in authentik.ca_file") {
		t.Errorf("%v", r.Problems)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, f.CertPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{"LDAPD_AUTHENTIK_CA_FILE=" + ca, "AUTHENTIK_INSECURE=True"} {
		if r := Run(outpostConfig(t, f, env)); len(r.Problems) != 0 {
			t.Errorf("%s: %v", env, r.Problems)
		}
	}
	r = Run(outpostConfig(t, f, "LDAPD_AUTHENTIK_CA_FILE=/nonexistent"))
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Error(), "ca_file: open /nonexistent") {
		t.Errorf("%v", r.Problems)
	}
}

func TestCheckAuthentikFiles(t *testing.T) {
	f := authentiktest.New(t, authentiktest.Options{})
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token, users := write("token", f.Token+"\n"), write("users.yaml", "users:\n- {username: nextcloud, search: true}\n")
	cert := authentiktest.NewCertificate(t, "own", "ldap.example.org")
	own := []string{"LDAPD_TLS_CERT=" + write("crt", cert.CertPEM), "LDAPD_TLS_KEY=" + write("key", cert.KeyPEM)}
	pair := f.SetKeyPair(authentiktest.KeyPairData{Name: "unusable", CertPEM: "x"})
	setProvider(f, func(p *authentiktest.Provider) { p.Certificate, p.NoMFA = pair, true })
	with := func(more ...string) Report { return Run(outpostConfig(t, f, append(own, more...)...)) }

	r := with("AUTHENTIK_TOKEN=file://"+token, "LDAPD_FILE_PATH="+users)
	notes := strings.Join(r.Notes, "\n")
	for _, want := range []string{
		"file.path: " + users + " has 1 local users (nextcloud) and 0 groups, which hide those of authentik",
		`tls.cert: is shown in place of the certificate of the provider "ldap"`,
		"code-based MFA is off",
	} {
		if len(r.Problems) > 0 || !strings.Contains(notes, want) {
			t.Errorf("no note %q: %v\n%s", want, r.Problems, notes)
		}
	}
	write("token", "old")
	write("users.yaml", "users:\n- {username: nextcloud, serch: true}\n")
	r = with("AUTHENTIK_TOKEN=file://"+token, "LDAPD_FILE_PATH="+users)
	if len(r.Problems) != 2 || !strings.HasPrefix(r.Problems[0].Error(), "AUTHENTIK_TOKEN: authentik does not take the token: ") ||
		!strings.HasPrefix(r.Problems[1].Error(), users+":2: users[0].serch: unknown key") {
		t.Errorf("%v", r.Problems)
	}
	r = with("AUTHENTIK_TOKEN=file://" + filepath.Join(dir, "none"))
	if len(r.Problems) != 1 || !strings.HasPrefix(r.Problems[0].Error(), "AUTHENTIK_TOKEN: token_file: open ") {
		t.Errorf("%v", r.Problems)
	}
}
