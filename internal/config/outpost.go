package config

import (
	"fmt"
	"reflect"
	"strings"

	"ldapd/internal/atomicfile"
)

// The variables of authentik's own LDAP outpost, so that its container can be
// replaced by this one and nothing else. Those of LDAPD_ win over them. What
// authentik sets beside these concerns no LDAP outpost and is ignored.
var outpostVariables = map[string]string{
	"AUTHENTIK_HOST":                        "authentik.host",
	"AUTHENTIK_TOKEN":                       "authentik.token",
	"AUTHENTIK_INSECURE":                    "authentik.insecure",
	"AUTHENTIK_LDAP__PAGE_SIZE":             "authentik.page_size",
	"AUTHENTIK_LISTEN__LDAP":                "listen.ldap",
	"AUTHENTIK_LISTEN__LDAPS":               "listen.ldaps",
	"AUTHENTIK_LISTEN__METRICS":             "listen.admin",
	"AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS": "proxy_protocol.trusted",
	"AUTHENTIK_LOG_LEVEL":                   "log.level",
	"AUTHENTIK_DEBUG":                       "log.format",
}

// outpost takes authentik's variables. With a file they only fill in for the
// backend authentik; without one AUTHENTIK_HOST alone makes this server an
// outpost, with the addresses that one listens on. It does not trust all private
// networks to speak for others, as that one does: who is in one could choose
// his address.
func (c *Config) outpost(env []string, alone bool) error {
	vars := map[string]string{}
	for _, e := range env {
		if name, text, _ := strings.Cut(e, "="); text != "" {
			vars[name] = text
		}
	}
	if alone && vars["AUTHENTIK_HOST"] != "" {
		c.Backend = BackendAuthentik
		c.Listen = Listen{LDAP: "[::]:3389", LDAPS: "[::]:6636", Admin: "[::]:9300"}
	}
	if c.Backend != BackendAuthentik {
		return nil
	}
	var first error
	each(reflect.ValueOf(c).Elem(), "", func(key string, v reflect.Value) {
		for name, of := range outpostVariables {
			text, ok := vars[name]
			if of != key || !ok || first != nil {
				continue
			}
			if path, ok := strings.CutPrefix(text, "file://"); ok && name == "AUTHENTIK_TOKEN" {
				c.Authentik.TokenFile = path // read again when the token is rotated
				c.env["authentik.token_file"] = name
				continue
			}
			text, err := resolve(text, vars)
			if err == nil {
				err = setText(v, translate(name, text))
			}
			if err != nil {
				first = fmt.Errorf("%s: %w", name, err)
			}
			c.env[key] = name
		}
	})
	return first
}

// resolve follows file:///path and env://NAME?fallback, as authentik does for
// all its variables.
func resolve(text string, vars map[string]string) (string, error) {
	if path, ok := strings.CutPrefix(text, "file://"); ok {
		b, err := atomicfile.Read(path, maxSecretFile)
		return strings.TrimSpace(string(b)), err
	}
	if name, ok := strings.CutPrefix(text, "env://"); ok {
		name, fallback, _ := strings.Cut(name, "?")
		if v := vars[name]; v != "" {
			return v, nil
		}
		return fallback, nil
	}
	return text, nil
}

// translate puts authentik's words into those of the configuration.
func translate(name, text string) string {
	switch name {
	case "AUTHENTIK_LOG_LEVEL":
		switch text = strings.ToLower(text); text {
		case "info", "error", "debug":
			return text
		case "warning":
			return "warn"
		}
		return "debug" // trace, and any other word
	case "AUTHENTIK_DEBUG":
		if strings.EqualFold(text, "true") {
			return "console"
		}
		return "auto"
	case "AUTHENTIK_INSECURE":
		return strings.ToLower(text)
	}
	return text
}
