package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ldapd/internal/ldap"
)

// Check returns what is wrong first, in the order of the reference. Load has
// called it.
func (c *Config) Check() error {
	l := &c.Limits
	for _, err := range []error{
		c.checkBaseDN(),
		c.address("listen.ldap", c.Listen.LDAP),
		c.address("listen.ldaps", c.Listen.LDAPS),
		c.address("listen.admin", c.Listen.Admin),
		c.address("listen.unlock", c.Listen.Unlock),
		c.checkListen(),
		c.pair("tls", c.TLS.Cert, c.TLS.Key),
		c.checkNames(),
		c.filled("state_dir", c.StateDir),
		c.one("backend", c.Backend, BackendFile, BackendAuthentik),
		c.filled("file.path", c.File.Path),
		c.checkAuthentik(),
		c.one("directory.uid", c.Directory.UID, UIDAuto, UIDUsername, UIDUUID, UIDHash),
		number(c, "directory.uid_start", c.Directory.UIDStart, 0, 1<<31-1),
		number(c, "directory.gid_start", c.Directory.GIDStart, 0, 1<<31-1),
		c.checkMFA(),
		c.checkRemember(),
		c.checkCache(),
		c.checkClients(),
		c.pair("unlock", c.Unlock.Cert, c.Unlock.Key),
		c.one("log.level", c.Log.Level, "debug", "info", "warn", "error"),
		c.one("log.format", c.Log.Format, "auto", "console", "json"),
		c.duration("shutdown_grace", c.ShutdownGrace, 0, time.Hour),
		c.size("limits.message_unbound", l.MessageUnbound, 4<<10, 16<<20),
		c.size("limits.message", l.Message, l.MessageUnbound, 256<<20),
		c.size("limits.unfinished", l.Unfinished, unfinished(l), 64<<30),
		number(c, "limits.filter_depth", l.FilterDepth, 1, 256),
		number(c, "limits.filter_terms", l.FilterTerms, 1, 100000),
		number(c, "limits.connections", l.Connections, 1, 1000000),
		number(c, "limits.connections_per_address", l.ConnectionsPerAddress, 1, 1000000),
		number(c, "limits.handshakes_per_address", l.HandshakesPerAddress, 1, 1000),
		number(c, "limits.operations", l.Operations, 1, 1000),
		number(c, "limits.entries", l.Entries, 0, 1<<31-1),
		c.duration("limits.search_time", l.SearchTime, time.Second, time.Hour),
		c.duration("limits.bind_time", l.BindTime, time.Second, time.Hour),
		c.duration("limits.unbound", l.Unbound, time.Second, time.Hour),
		c.duration("limits.idle", l.Idle, time.Second, 7*24*time.Hour),
		c.duration("limits.handshake", l.Handshake, time.Second, time.Hour),
		c.duration("limits.read", l.Read, time.Second, time.Hour),
		c.duration("limits.write", l.Write, time.Second, time.Hour),
		number(c, "limits.failures_per_user", l.FailuresPerUser, 0, 1000000),
		number(c, "limits.failures_per_address", l.FailuresPerAddress, 0, 1000000),
		number(c, "limits.log_lines", l.LogLines, 1, 1000000),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkBaseDN() error {
	if dn, err := ldap.ParseDN(c.BaseDN); err != nil || len(dn) == 0 {
		return c.Errorf("base_dn", "must be a DN such as dc=example,dc=org")
	}
	return nil
}

func (c *Config) address(key, addr string) error {
	if addr == "" {
		return nil
	}
	for _, addr := range Addresses(addr) {
		_, port, err := net.SplitHostPort(addr)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return c.Errorf(key, "must be host:port such as 127.0.0.1:3389 or :389, several with commas between, or empty for off")
		}
	}
	return nil
}

func (c *Config) checkAuthentik() error {
	a := &c.Authentik
	for _, err := range []error{
		c.duration("authentik.sync", a.Sync, time.Second, time.Hour),
		number(c, "authentik.page_size", a.PageSize, 1, 10000),
		number(c, "authentik.flows", a.Flows, 1, 10000),
		c.duration("authentik.denial_memory", a.DenialMemory, 0, 10*time.Minute),
		number(c, "authentik.user_binds", a.UserBinds, 0, 1000000),
		number(c, "authentik.address_binds", a.AddressBinds, 0, 1000000),
	} {
		if err != nil {
			return err
		}
	}
	if c.Backend != BackendAuthentik {
		return nil
	}
	u, err := url.Parse(a.Host)
	switch {
	case a.Host == "":
		return c.Errorf("authentik.host", "must be authentik's address such as https://auth.example.org/")
	case err != nil || (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") && (u.Scheme != "unix" || u.Path == ""):
		return c.Errorf("authentik.host", "must be a URL such as https://auth.example.org/ or unix:///path")
	case a.Token == "" && a.TokenFile == "":
		return c.Errorf("authentik.token", "must be the token of the outpost, or authentik.token_file must name a file that holds it")
	case a.Token != "" && a.TokenFile != "":
		return c.Errorf("authentik.token_file", "must not be set along with authentik.token")
	}
	return nil
}

func (c *Config) checkListen() error {
	switch {
	case c.Listen.LDAP == "" && c.Listen.LDAPS == "":
		return c.Errorf("listen", "ldap and ldaps are both empty, one must be host:port")
	case c.Listen.Unlock != "" && len(c.Clients) == 0:
		return c.Errorf("listen.unlock", "needs clients, for which users open a window: set clients")
	}
	return nil
}

// pair checks a certificate and its key.
func (c *Config) pair(of, cert, private string) error {
	switch {
	case cert != "" && private == "":
		return c.Errorf(of+".key", "must be set along with %s.cert", of)
	case cert == "" && private != "":
		return c.Errorf(of+".cert", "must be set along with %s.key", of)
	}
	return nil
}

func (c *Config) checkNames() error {
	if len(c.TLS.Names) > 100 {
		return c.Errorf("tls.names", "must be at most 100 names")
	}
	for i, name := range c.TLS.Names {
		if _, err := netip.ParseAddr(name); err != nil && !hostName(name) {
			return c.Errorf("tls.names["+strconv.Itoa(i)+"]", "must be a host name or an address")
		}
	}
	return nil
}

// hostName reports that s can stand in a certificate; the first label may be
// a wildcard.
func hostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(s, "*."), ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) {
			return false
		}
	}
	return true
}

func (c *Config) checkMFA() error {
	for i, in := range c.MFA.CodeIn {
		key := "mfa.code_in[" + strconv.Itoa(i) + "]"
		if err := c.one(key, in, CodeInPassword, CodeInUsername); err != nil {
			return err
		}
		if slices.Contains(c.MFA.CodeIn[:i], in) {
			return c.Errorf(key, "is listed twice")
		}
	}
	// A digit would make it part of a code, and letters of passwords.
	s := c.MFA.Separator
	if s == "" || len(s) > 8 || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}) {
		return c.Errorf("mfa.separator", `must be 1 to 8 punctuation characters such as ";"`)
	}
	return nil
}

func (c *Config) checkRemember() error {
	names := c.MFA.LoginAttributes
	for i, name := range names {
		key := "mfa.login_attributes[" + strconv.Itoa(i) + "]"
		switch {
		case !attribute(name):
			return c.Errorf(key, "must be the name of an attribute such as mail")
		case slices.ContainsFunc(names[:i], func(o string) bool { return strings.EqualFold(o, name) }):
			return c.Errorf(key, "is listed twice")
		case i == 100:
			return c.Errorf("mfa.login_attributes", "must be at most 100 names")
		}
	}
	if err := c.duration("mfa.remember.for", c.MFA.Remember.For, time.Minute, 3650*day); err != nil {
		return err
	}
	return c.one("mfa.remember.scope", c.MFA.Remember.Scope, ScopeLogin, ScopeClient, ScopeUser, ScopeOff)
}

// attribute reports that s is the short name of an attribute (RFC 4512
// section 1.4), where authentik has underscores as well.
func attribute(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || !(r >= '0' && r <= '9' || r == '-' || r == '_')) {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

func (c *Config) filled(key, s string) error {
	if s == "" {
		return c.Errorf(key, "must not be empty")
	}
	return nil
}

func (c *Config) one(key, s string, allowed ...string) error {
	if !slices.Contains(allowed, s) {
		return c.Errorf(key, "unknown value, allowed: %s", strings.Join(allowed, ", "))
	}
	return nil
}

func number[T int | int64](c *Config, key string, n, low, high T) error {
	if n < low || n > high {
		return c.Errorf(key, "must be from %d to %d", low, high)
	}
	return nil
}

func (c *Config) size(key string, n, low, high Size) error {
	if n < low || n > high {
		return c.Errorf(key, "must be from %s to %s", low, high)
	}
	return nil
}

func (c *Config) duration(key string, d, low, high time.Duration) error {
	if d < low || d > high {
		return c.Errorf(key, "must be from %s to %s", text(low), text(high))
	}
	return nil
}

// text writes a duration as one would type it, 1h and not 1h0m0s.
func text(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
