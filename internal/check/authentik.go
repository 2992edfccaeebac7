package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ldapd/internal/authentik"
	"ldapd/internal/backend"
	"ldapd/internal/config"
	"ldapd/internal/ldap"
)

// checkTime bounds all that is asked of authentik.
const checkTime = time.Minute

// authentik looks at an outpost, and at the users file beside it.
func (r *Report) authentik(cfg *config.Config) {
	r.outpost(cfg)
	if cfg.Given("file.path") {
		r.accounts(cfg)
	}
}

// outpost asks authentik what the server would ask, as far as that needs
// nobody's password.
func (r *Report) outpost(cfg *config.Config) {
	if path := cfg.Authentik.TokenFile; path != "" {
		if _, err := authentik.FileToken(path)(); err != nil {
			r.problem(cfg.Errorf("authentik.token_file", "%v", err))
			return
		}
	}
	client, err := backend.NewClient(cfg, "check", nil)
	if err != nil {
		r.problem(err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()

	o, err := client.Outpost(ctx)
	if err != nil {
		r.problem(remedy(cfg, err))
		return
	}
	r.note("authentik.host: %s answers, and the token is that of the outpost %q", cfg.Authentik.Host, o.Name)
	if version, err := client.Generation(ctx); err != nil {
		r.problem(fmt.Errorf("authentik: the outpost cannot read users: %w; save the outpost once in authentik, which gives it its rights again", err))
	} else {
		r.note("authentik: the API is that of %s", generation(version))
	}
	providers, err := client.Providers(ctx)
	if err != nil {
		r.problem(remedy(cfg, err))
		return
	}
	if len(providers) == 0 {
		r.problem(fmt.Errorf("authentik: the outpost %q has no LDAP provider with an application; make an application with an LDAP provider, and choose it in Applications, Outposts, %s", o.Name, o.Name))
		return
	}
	r.providers(providers)
	r.flows(ctx, client, o.Account(), providers)
	r.keyPairs(ctx, cfg, client, providers)
	r.note(`authentik: who may search the whole directory is known only when they bind; let Nextcloud's service account: Applications, Providers, the provider, Permissions, "Search full LDAP directory"; or give it a local account with "search: true" (file.path)`)
}

// generation says which versions of authentik have an API.
func generation(version string) string {
	switch version {
	case authentik.Version2025_6:
		return "2025.6 or before, which does not tell what changed: changed users are known at the refresh interval only"
	case authentik.Version2025_10:
		return "2025.10 or later, before 2026.5"
	case authentik.Version2026_5:
		return "2026.5 or later"
	}
	return version
}

// remedy adds to an error what may help.
func remedy(cfg *config.Config, err error) error {
	var untrusted *tls.CertificateVerificationError
	var api *authentik.APIError
	token := "authentik.token"
	if cfg.Authentik.TokenFile != "" {
		token = "authentik.token_file"
	}
	switch {
	case errors.Is(err, authentik.ErrNoOutpost):
		return cfg.Errorf(token, "%v; use the token that authentik shows in Applications, Outposts, the LDAP outpost, View Deployment Info", err)
	case authentik.TokenRefused(err):
		return cfg.Errorf(token, "authentik does not take the token: %v; copy it again from Applications, Outposts, the outpost, View Deployment Info", err)
	case errors.As(err, &untrusted):
		return cfg.Errorf("authentik.host", "%v; name authentik's CA in authentik.ca_file, or the host as its certificate does", err)
	case errors.As(err, &api) && api.Status >= 500:
		return cfg.Errorf("authentik.host", "authentik does not work: %v; see its log, or that of the proxy before it", err)
	case errors.As(err, &api):
		return cfg.Errorf("authentik.host", "this does not answer as authentik does: %v; it must be the address of authentik itself, with its path if it has one", err)
	}
	return cfg.Errorf("authentik.host", "%v; is authentik running there, and can it be reached from this machine?", err)
}

// providers tells what is served.
func (r *Report) providers(providers []authentik.Provider) {
	first := make(map[string]string) // by base DN in normal form
	for _, p := range providers {
		dn, err := ldap.ParseDN(p.BaseDN)
		if err != nil || len(dn) == 0 {
			r.problem(fmt.Errorf("authentik: the base DN %q of the provider %q is no DN; correct it in the provider", p.BaseDN, p.Name))
			continue
		}
		base := string(ldap.Fold(nil, []byte(dn.String())))
		if other, ok := first[base]; ok {
			r.problem(fmt.Errorf("authentik: the providers %q and %q have the same base DN, so the second one is not served; give it another", other, p.Name))
			continue
		}
		first[base] = p.Name
		codes := "code-based MFA is on"
		if !p.MFASupport {
			codes = "code-based MFA is off, so no code is taken from a password"
		}
		r.note("authentik: provider %q serves %s for the application %q; %s", p.Name, p.BaseDN, p.Application, codes)
	}
}

// flows begins each bind flow, as the account of the outpost.
func (r *Report) flows(ctx context.Context, client *authentik.Client, account string, providers []authentik.Provider) {
	done := make(map[string]bool)
	for _, p := range providers {
		if done[p.BindFlow] {
			continue
		}
		done[p.BindFlow] = true
		run, err := client.DryRun(ctx, p.BindFlow, account)
		stages := strings.Join(run.Stages, ", ")
		switch {
		case authentik.NotFound(err):
			r.problem(fmt.Errorf("authentik: there is no flow %q; choose a bind flow in the provider %q", p.BindFlow, p.Name))
		case err != nil && stages == "":
			r.problem(fmt.Errorf("authentik: the flow %q cannot be run: %w; see authentik's log", p.BindFlow, err))
		case errors.Is(err, authentik.ErrNoPassword):
			remedy, _ := backend.FlowRemedy(err)
			r.problem(fmt.Errorf("authentik: no bind can be determined by the flow %q of the provider %q, which goes through %s: %w; %s",
				p.BindFlow, p.Name, stages, err, remedy))
		case err != nil:
			r.problem(fmt.Errorf("authentik: binds cannot pass the flow %q, which begins with %s: %w; choose another bind flow in the provider %q, or correct this one", p.BindFlow, stages, err, p.Name))
		case !run.Password:
			r.warn(fmt.Sprintf("authentik: the flow %q begins with %s; whether it asks for a password, without which no bind can be determined, shows when somebody binds", p.BindFlow, stages))
		default:
			r.note("authentik: flow %q begins with %s, and asks for the password there; what comes behind it shows when somebody binds", p.BindFlow, stages)
		}
	}
}

// keyPairs looks at the certificates of the providers.
func (r *Report) keyPairs(ctx context.Context, cfg *config.Config, client *authentik.Client, providers []authentik.Provider) {
	done := make(map[string]bool)
	for _, p := range providers {
		if p.Certificate == nil || *p.Certificate == "" || done[*p.Certificate] {
			continue
		}
		if cfg.TLS.Cert != "" {
			r.note("tls.cert: is shown in place of the certificate of the provider %q", p.Name)
			continue
		}
		done[*p.Certificate] = true
		pair, err := keyPair(ctx, client, *p.Certificate)
		if err != nil {
			r.problem(fmt.Errorf("authentik: the certificate of the provider %q cannot be used: %w; choose another in the provider, or set tls.cert", p.Name, err))
			continue
		}
		until := pair.Leaf.NotAfter.UTC().Format(time.DateOnly)
		switch left := time.Until(pair.Leaf.NotAfter); {
		case left < 0:
			r.problem(fmt.Errorf("authentik: the certificate of the provider %q expired on %s; renew it in System, Certificates", p.Name, until))
		case left < expirySoon:
			r.note("authentik: the certificate of the provider %q expires soon, on %s", p.Name, until)
		default:
			r.note("authentik: the certificate of the provider %q is valid until %s", p.Name, until)
		}
	}
}

func keyPair(ctx context.Context, client *authentik.Client, id string) (tls.Certificate, error) {
	cert, err := client.Certificate(ctx, id)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := client.PrivateKey(ctx, id)
	if err != nil {
		return tls.Certificate{}, err
	}
	if len(key) == 0 {
		return tls.Certificate{}, errors.New("authentik has no private key for it")
	}
	return tls.X509KeyPair(cert, key)
}

// accounts tests the users file beside authentik.
func (r *Report) accounts(cfg *config.Config) {
	f, err := backend.LoadUsersFile(cfg)
	if err != nil {
		r.problem(err)
		return
	}
	_, problems := backend.Tree(cfg).Build(f.Users(), f.Groups())
	for _, p := range problems {
		r.problem(fmt.Errorf("%s: %s", cfg.File.Path, p))
	}
	const shown = 10
	var names []string
	for _, u := range f.Users() {
		names = append(names, u.Username)
	}
	slices.Sort(names)
	if len(names) > shown {
		names = append(names[:shown], "...")
	}
	r.note("file.path: %s has %d local users (%s) and %d groups, which hide those of authentik with the same name",
		cfg.File.Path, len(f.Users()), strings.Join(names, ", "), len(f.Groups()))
}
