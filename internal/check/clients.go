package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ldapd/internal/config"
)

// shortMemory is what a second factor should be remembered for at least.
const shortMemory = 24 * time.Hour

// clients tells what the configuration means for programs that repeat logins,
// and for those whose users' keys the password opens.
func (r *Report) clients(cfg *config.Config) {
	if _, err := cfg.SealingKey(); err != nil {
		r.problem(err)
	}
	inPassword := slices.Contains(cfg.MFA.CodeIn, config.CodeInPassword)
	for _, c := range cfg.Clients {
		if c.PerUser() {
			r.note("clients: %s encrypts with keys per user: a code on the password is refused there, with the way to log in instead", c.Name)
			if cfg.MFA.Remember.Scope == config.ScopeLogin {
				r.note("clients: %s: set its Cache Time-To-Live to 0, or its checks of sessions are answered 52: occ ldap:set-config s01 ldapCacheTTL 0", c.Name)
			}
		}
	}
	switch perUser := perUserClients(cfg); {
	case perUser == "" && inPassword:
		r.note("clients: none has encryption: per-user; a code on the password is taken from everybody, which ruins the keys of a Nextcloud that has one for each user: name it")
	case inPassword:
		r.note("mfa.code_in: codes on the password are taken from every address that is not of %s; take password out if no program needs it", perUser)
	}
	if cfg.Backend == config.BackendAuthentik && perUserClients(cfg) != "" {
		r.note(`authentik: in the password stage of the bind flow switch "User database + app passwords" off: who logs in with an app password of authentik gives the keys another password`)
	}
	for _, w := range warnings(cfg) {
		r.warn(w)
	}
}

func (r *Report) warn(text string) { r.note("warning: %s", text) }

// warnings returns what a configuration may say, and what ends sessions all
// the same, or endangers the keys that passwords open.
func warnings(cfg *config.Config) []string {
	var list []string
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	m, ca := &cfg.MFA, &cfg.Cache
	perUser := perUserClients(cfg)
	inName := slices.Contains(m.CodeIn, config.CodeInUsername)

	if cfg.Listen.LDAPS == "" && perUser != "" {
		warn("listen.ldaps: is off, and the passwords of %s open keys: set it, and ldaps:// in the client, or see that the client uses StartTLS", perUser)
	}
	if perUser != "" && !inName && cfg.Listen.Unlock == "" {
		warn("mfa.code_in: users with a code cannot log in at %s: on the password a code is refused there, on the login name it is not taken, and the unlock page is off; add username", perUser)
	}
	if inName && len(m.LoginAttributes) == 0 {
		warn("mfa.login_attributes: is empty, so that Nextcloud does not find alice%s123456: name the attributes of its login filter", m.Separator)
	}
	if inName && strings.Contains(m.Separator, ":") {
		warn("mfa.separator: a colon ends the user name in HTTP, so that apps cannot send a code behind it: take another")
	}
	switch scope := m.Remember.Scope; {
	case scope == config.ScopeOff && cfg.Listen.Unlock != "":
		warn("mfa.remember.scope: is off, so that the windows of the unlock page admit nobody: set it to login")
	case scope == config.ScopeOff:
		warn("mfa.remember.scope: is off, and Nextcloud repeats each login, with its old code, every five minutes: sessions and app passwords of users with a second factor end then; set it to login")
	case scope == config.ScopeClient && perUser != "":
		warn("mfa.remember.scope: is client: for up to %s after a code was given, the password alone lets anybody in at %s, and opens the keys; set it to login, and ldapCacheTTL to 0 in Nextcloud", remembered(cfg), perUser)
	case scope == config.ScopeUser && perUser != "":
		warn("mfa.remember.scope: is user: for up to %s after a code was given anywhere, the password alone lets anybody in at %s, and opens the keys; set it to login, and ldapCacheTTL to 0 in Nextcloud", remembered(cfg), perUser)
	}
	if m.Remember.For < shortMemory {
		warn("mfa.remember.for: after %s Nextcloud's users have to log in again, and app passwords that were made with a code on the login name have to be made again", m.Remember.For)
	}
	if ca.MaxAge < shortMemory {
		warn("cache.max_age: after %s Nextcloud's users have to log in again, and app passwords that were made with a code on the login name have to be made again", ca.MaxAge)
	}
	if ca.Store == config.CacheMemory {
		warn("cache.store: is memory: a restart ends the sessions of all users with a second factor, and Nextcloud repeats codes that are used up; set it to bolt")
	}
	wide := wide(cfg.ProxyProtocol.Trusted)
	if len(wide) > 0 {
		list = append(list, cfg.Errorf("proxy_protocol.trusted", "names whole networks (%s): whoever is in one of them can give himself out as any address, as Nextcloud's too, and limits per address do not hold him; name the addresses of the proxies alone", join(wide)).Error())
	}
	for i, c := range cfg.Clients {
		for j, n := range c.Networks {
			for _, t := range cfg.ProxyProtocol.Trusted {
				if n.Overlaps(t.Prefix) && !slices.Contains(wide, t) {
					warn("clients[%d].networks[%d]: %s overlaps %s of proxy_protocol.trusted, from where anybody can give himself out as %s, or as none of its addresses: trust the proxies alone", i, j, n, t, c.Name)
				}
			}
		}
	}
	return list
}

// remembered is how long a second factor admits.
func remembered(cfg *config.Config) time.Duration { return min(cfg.MFA.Remember.For, cfg.Cache.MaxAge) }

// perUserClients names the clients with keys per user.
func perUserClients(cfg *config.Config) string {
	var names []string
	for _, c := range cfg.Clients {
		if c.PerUser() {
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, ", ")
}
