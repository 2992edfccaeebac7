package daemon

import (
	"net/netip"
	"slices"

	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/config"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
	"ldapd/internal/policy"
	"ldapd/internal/server"
)

// loginSearches says what searches for a login name look like. Without codes on
// login names they are recognised all the same, for login.
func loginSearches(cfg *config.Config) login.Config {
	l := login.Config{Attributes: cfg.MFA.LoginAttributes}
	if slices.Contains(cfg.MFA.CodeIn, config.CodeInUsername) {
		l.Separator = cfg.MFA.Separator
	}
	return l
}

// rules are when verified binds answer.
func rules(cfg *config.Config) policy.Rules {
	c, r := &cfg.Cache, &cfg.MFA.Remember
	return policy.Rules{
		Reprove: c.Reprove, Access: c.Access, StaleFor: c.StaleFor, MaxAge: c.MaxAge,
		Scope: policy.Scope(r.Scope), Remember: r.For,
		CodeInUsername: slices.Contains(cfg.MFA.CodeIn, config.CodeInUsername),
	}
}

// clientOf says which of the clients that are named an address belongs to.
func clientOf(cfg *config.Config, a netip.Addr) bind.Client {
	c, _ := cfg.ClientOf(a) // else the zero value
	return bind.Client{Name: c.Name, PerUserKeys: c.Encryption == config.EncryptionPerUser}
}

// failureLimits are how many binds may fail.
func failureLimits(l *config.Limits) guard.Limits {
	return guard.Limits{FailuresPerUser: l.FailuresPerUser, FailuresPerAddress: l.FailuresPerAddress}
}

// serverLimits are what connections may take.
func serverLimits(l *config.Limits) server.Limits {
	return server.Limits{
		MessageUnbound:        int(l.MessageUnbound),
		Message:               int(l.Message),
		Filter:                ldap.FilterLimits{Depth: l.FilterDepth, Terms: l.FilterTerms},
		Unfinished:            int(l.Unfinished),
		Connections:           l.Connections,
		ConnectionsPerAddress: l.ConnectionsPerAddress,
		HandshakesPerAddress:  l.HandshakesPerAddress,
		Operations:            l.Operations,
		LogLines:              l.LogLines,
		Unbound:               l.Unbound,
		BindTime:              l.BindTime,
		Idle:                  l.Idle,
		Handshake:             l.Handshake,
		Read:                  l.Read,
		Write:                 l.Write,
	}
}
