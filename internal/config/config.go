// Package config reads the configuration: one YAML file, of which
// ldapd.example.yaml is the reference, and one environment variable for each
// of its keys (state_dir is LDAPD_STATE_DIR, listen.ldap is
// LDAPD_LISTEN_LDAP, lists are separated by commas, and LDAPD_CLIENTS is
// YAML). The environment wins.
package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"ldapd/internal/secret"
	"ldapd/internal/yamlfile"
)

// Config is the whole configuration, checked: every value is in its range.
// Its fields are the keys of the file; ldapd.example.yaml explains them.
type Config struct {
	// Pos is where the configuration was read; see [Config.Errorf].
	Pos yamlfile.Pos
	env map[string]string // key -> variable that set it

	BaseDN        string        `yaml:"base_dn"`
	Listen        Listen        `yaml:"listen"`
	TLS           TLS           `yaml:"tls"`
	StateDir      string        `yaml:"state_dir"`
	Backend       string        `yaml:"backend"` // BackendFile, BackendAuthentik
	File          File          `yaml:"file"`
	Authentik     Authentik     `yaml:"authentik"`
	Directory     Directory     `yaml:"directory"`
	MFA           MFA           `yaml:"mfa"`
	Cache         Cache         `yaml:"cache"`
	Clients       []Client      `yaml:"clients"`
	Unlock        Unlock        `yaml:"unlock"`
	Log           Log           `yaml:"log"`
	ProxyProtocol ProxyProtocol `yaml:"proxy_protocol"`
	ShutdownGrace time.Duration `yaml:"shutdown_grace"`
	Limits        Limits        `yaml:"limits"`
}

// Values of Config.Backend.
const (
	BackendFile      = "file"
	BackendAuthentik = "authentik"
)

// Listen holds addresses as host:port, several with commas between; an empty
// one is off. See Addresses.
type Listen struct {
	LDAP   string `yaml:"ldap"`
	LDAPS  string `yaml:"ldaps"`
	Admin  string `yaml:"admin"`
	Unlock string `yaml:"unlock"` // HTTPS
}

// TLS names the certificate. Cert and Key are both set or both empty; empty
// stands for a self-signed one in the state directory, made for Names too.
type TLS struct {
	Cert  string   `yaml:"cert"`
	Key   string   `yaml:"key"`
	Names []string `yaml:"names"`
}

// Addresses takes the addresses of a listener apart.
func Addresses(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// File is the backend "file". Beside authentik it holds local accounts, and
// is read only if its path was set.
type File struct {
	Path string `yaml:"path"`
}

// Authentik is the backend "authentik".
type Authentik struct {
	Host      string `yaml:"host"` // base URL
	Token     Secret `yaml:"token"`
	TokenFile string `yaml:"token_file"` // in place of Token
	Insecure  bool   `yaml:"insecure"`
	CAFile    string `yaml:"ca_file"`

	Sync     time.Duration `yaml:"sync"` // between two looks for changes
	PageSize int           `yaml:"page_size"`

	Flows        int           `yaml:"flows"`         // in flight
	DenialMemory time.Duration `yaml:"denial_memory"` // 0: none
	UserBinds    int           `yaml:"user_binds"`    // that need a flow, a minute; 0: unlimited
	AddressBinds int           `yaml:"address_binds"` // the same
}

// Secret is a value that prints as ***.
type Secret = secret.String

// Directory shapes the entries.
type Directory struct {
	UID      string `yaml:"uid"` // UIDAuto, UIDUsername, UIDUUID, UIDHash
	UIDStart int64  `yaml:"uid_start"`
	GIDStart int64  `yaml:"gid_start"`
}

// Values of Directory.UID.
const (
	UIDAuto     = "auto" // UIDUsername with the file, UIDHash with authentik
	UIDUsername = "username"
	UIDUUID     = "uuid"
	UIDHash     = "hash" // authentik's own
)

// MFA says where one-time codes may stand, and what they are good for later.
type MFA struct {
	CodeIn          []string `yaml:"code_in"` // CodeInPassword, CodeInUsername
	Separator       string   `yaml:"separator"`
	LoginAttributes []string `yaml:"login_attributes"` // of filters, whose value may carry a code
	Remember        Remember `yaml:"remember"`
}

// Values of MFA.CodeIn.
const (
	CodeInPassword = "password"
	CodeInUsername = "username"
)

// Remember says what a proved second factor admits, and for how long.
type Remember struct {
	For   time.Duration `yaml:"for"` // where the backend remembers nothing
	Scope string        `yaml:"scope"`
}

// Values of Remember.Scope: what a proved second factor admits.
const (
	ScopeLogin  = "login"  // the same login name, code and password
	ScopeClient = "client" // the same client, with the password
	ScopeUser   = "user"   // any client, with the password
	ScopeOff    = "off"    // nothing
)

// Cache is about verified binds: where they are kept and how long they are
// good. Key and KeyFile are not both set; if neither is, the key is made and
// kept in the state directory.
type Cache struct {
	Store   string   `yaml:"store"`    // CacheBolt, CacheMemory, CachePostgres
	DSN     Secret   `yaml:"dsn"`      // of CachePostgres
	Key     Secret   `yaml:"key"`      // KeySize bytes in hex or base64
	KeyFile string   `yaml:"key_file"` // in place of Key
	OldKeys []Secret `yaml:"old_keys"` // as Key; they only read

	Reprove  time.Duration `yaml:"reprove"`   // memory answers alone
	Access   time.Duration `yaml:"access"`    // between two questions by the session; 0: never
	StaleFor time.Duration `yaml:"stale_for"` // since the bind was known to be good
	MaxAge   time.Duration `yaml:"max_age"`   // since the factor was proved
}

// Values of Cache.Store.
const (
	CacheBolt     = "bolt"
	CacheMemory   = "memory"
	CachePostgres = "postgres"
)

// KeySize is the length of Cache.Key in bytes.
const KeySize = secret.KeySize

// Unlock names the certificate of the unlock page. Cert and Key are both set
// or both empty; empty stands for that of TLS.
type Unlock struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Log is about the log on standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // auto, console, json
}

// ProxyProtocol names who may speak for others.
type ProxyProtocol struct {
	Trusted []Network `yaml:"trusted"`
}

// Limits bounds what clients may take.
type Limits struct {
	MessageUnbound Size `yaml:"message_unbound"` // bytes, before a bind
	Message        Size `yaml:"message"`         // bytes, after it
	Unfinished     Size `yaml:"unfinished"`      // bytes of all requests that have not come whole

	FilterDepth int `yaml:"filter_depth"`
	FilterTerms int `yaml:"filter_terms"`

	Connections           int `yaml:"connections"`
	ConnectionsPerAddress int `yaml:"connections_per_address"`
	HandshakesPerAddress  int `yaml:"handshakes_per_address"` // of TLS, computed at a time
	Operations            int `yaml:"operations"`             // in flight on a connection
	Entries               int `yaml:"entries"`                // of a search; 0: unlimited

	SearchTime time.Duration `yaml:"search_time"`
	BindTime   time.Duration `yaml:"bind_time"`
	Unbound    time.Duration `yaml:"unbound"` // until a bind is granted
	Idle       time.Duration `yaml:"idle"`
	Handshake  time.Duration `yaml:"handshake"`
	Read       time.Duration `yaml:"read"`  // for the rest of a message once begun
	Write      time.Duration `yaml:"write"` // for the client to take an answer

	FailuresPerUser    int `yaml:"failures_per_user"`    // denied binds a minute; 0: unlimited
	FailuresPerAddress int `yaml:"failures_per_address"` // the same

	LogLines int `yaml:"log_lines"` // a minute of an address and a kind, of what anybody can cause
}

const day = 24 * time.Hour

// Default returns the configuration of an empty file.
func Default() *Config {
	return &Config{
		BaseDN:   "dc=ldap,dc=goauthentik,dc=io",
		Listen:   Listen{LDAP: "127.0.0.1:3389", LDAPS: "127.0.0.1:6636", Admin: "127.0.0.1:9300"},
		StateDir: "/var/lib/ldapd",
		Backend:  BackendFile,
		File:     File{Path: "users.yaml"},
		Authentik: Authentik{
			Sync: 5 * time.Second, PageSize: 100,
			Flows: 32, DenialMemory: 10 * time.Second, UserBinds: 60, AddressBinds: 1200,
		},
		Directory: Directory{UID: UIDAuto, UIDStart: 2000, GIDStart: 4000},
		MFA: MFA{
			CodeIn: []string{CodeInPassword, CodeInUsername}, Separator: ";",
			LoginAttributes: []string{"cn", "uid", "sAMAccountName", "mail", "userPrincipalName"},
			Remember:        Remember{For: 30 * day, Scope: ScopeLogin},
		},
		Cache:         Cache{Store: CacheBolt, Reprove: 12 * time.Hour, Access: time.Hour, StaleFor: 7 * day, MaxAge: 30 * day},
		Log:           Log{Level: "info", Format: "auto"},
		ShutdownGrace: 15 * time.Second,
		Limits: Limits{
			MessageUnbound:        64 << 10,
			Message:               1 << 20,
			Unfinished:            64 << 20,
			FilterDepth:           32,
			FilterTerms:           1000,
			Connections:           10000,
			ConnectionsPerAddress: 2000, // Nextcloud is one address
			HandshakesPerAddress:  4,
			Operations:            16,
			SearchTime:            time.Minute,
			BindTime:              time.Minute,
			Unbound:               30 * time.Second,
			Idle:                  10 * time.Minute,
			Handshake:             10 * time.Second,
			Read:                  30 * time.Second,
			Write:                 30 * time.Second,
			FailuresPerUser:       10,
			FailuresPerAddress:    300,
			LogLines:              100,
		},
	}
}

// authentikBindTime is the default of limits.bind_time with authentik: a Duo
// push may take a minute beside the other stages.
const authentikBindTime = 2 * time.Minute

// unfinished is the least of limits.unfinished: of three quarters of it, or one
// before a bind, an address may have half, which must hold a message.
func unfinished(l *Limits) Size { return max(4*l.Message, 8*l.MessageUnbound) }

// Load reads the file at path, then env (as from os.Environ), and checks the
// result. Without a path everything comes from env. Relative paths in the
// file start at its directory, those in env at the working directory. The
// error is one line that names the place: file:line: key, or the variable.
func Load(path string, env []string) (*Config, error) {
	c := Default()
	if path != "" {
		if err := yamlfile.Read(path, c); err != nil {
			return nil, err
		}
	}
	c.env = map[string]string{}
	if err := c.outpost(env, path == ""); err != nil {
		return nil, err
	}
	if err := c.environ(env); err != nil {
		return nil, err
	}
	if path != "" {
		c.locate(filepath.Dir(path))
	}
	if c.Backend == BackendAuthentik && !c.Given("limits.bind_time") {
		c.Limits.BindTime = authentikBindTime
	}
	if !c.Given("limits.unfinished") {
		c.Limits.Unfinished = max(c.Limits.Unfinished, unfinished(&c.Limits))
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	return c, nil
}

// Given reports whether a key was set, be it to its default.
func (c *Config) Given(key string) bool {
	_, ok := c.env[key]
	return ok || c.Pos != (yamlfile.Pos{}) && c.Pos.Has(key)
}

// locate makes the relative paths that the file holds start at dir.
func (c *Config) locate(dir string) {
	for key, p := range map[string]*string{
		"tls.cert": &c.TLS.Cert, "tls.key": &c.TLS.Key, "state_dir": &c.StateDir, "file.path": &c.File.Path,
		"authentik.token_file": &c.Authentik.TokenFile, "authentik.ca_file": &c.Authentik.CAFile,
		"cache.key_file": &c.Cache.KeyFile, "unlock.cert": &c.Unlock.Cert, "unlock.key": &c.Unlock.Key,
	} {
		if _, ok := c.env[key]; !ok && *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// Errorf returns an error about a key ("file.path", "tls.names[1]") that
// names the place where its value was set.
func (c *Config) Errorf(key, format string, args ...any) error {
	if name, ok := c.env[topKey(key)]; ok {
		return fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
	}
	if c.Pos == (yamlfile.Pos{}) {
		if c.env != nil {
			key = variable(key) // the place to set it
		}
		return fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...))
	}
	return c.Pos.Errorf(key, format, args...)
}
