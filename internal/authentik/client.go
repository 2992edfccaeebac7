// Package authentik is the backend that takes the place of authentik's own
// LDAP outpost: it proves credentials by running the authentication flow of a
// provider, and reads users and groups from the API.
//
// It works with the API of 2025.10 and 2026.5. Fields that it does not know
// are ignored, and fields that may be missing have a useful zero value.
package authentik

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ldapd/internal/atomicfile"
)

// Limits of the connections to authentik.
const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 30 * time.Second // shorter than what servers and proxies grant
	maxIdle          = 64               // connections
	maxHeader        = 64 << 10         // octets of a response's header
)

// Config says where authentik is.
type Config struct {
	// Host is the base URL: http, https, with a path if authentik is below
	// one, or unix:///path/of/socket.
	Host string
	// Token returns the API token of the outpost's service account.
	Token TokenSource

	Insecure bool   // don't verify the certificate
	CAFile   string // PEM, used beside the CAs of the system; empty: none

	// Now tells when sessions and cookies end, nil: time.Now.
	Now func() time.Time

	Version   string // of ldapd
	UserAgent string // empty: that of an outpost with this version
}

// Client talks to one authentik. It may be used by many goroutines.
type Client struct {
	base      *url.URL // ends in "/"
	query     string   // that Host carries, for the websocket
	token     TokenSource
	userAgent string
	now       func() time.Time
	transport *http.Transport
}

// New returns a client. It reads the CA file, and sends nothing yet.
func New(cfg Config) (*Client, error) {
	if cfg.Token == nil {
		return nil, errors.New("authentik: no token")
	}
	base, socket, err := parseHost(cfg.Host)
	if err != nil {
		return nil, fmt.Errorf("authentik: %w", err)
	}
	roots, err := rootCAs(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("authentik: %w", err)
	}
	c := &Client{base: base, query: base.RawQuery, token: cfg.Token, userAgent: cfg.UserAgent, now: cfg.Now}
	base.RawQuery = ""
	if c.now == nil {
		c.now = time.Now
	}
	if c.userAgent == "" {
		c.userAgent = "goauthentik.io/outpost/" + cfg.Version
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	c.transport = &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: dialer.DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            roots,
			InsecureSkipVerify: cfg.Insecure,
		},
		TLSHandshakeTimeout:    handshakeTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
	if socket != "" {
		c.transport.Proxy = nil
		c.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	return c, nil
}

// Close closes the connections that nobody uses.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// parseHost takes a Config.Host apart. The errors don't repeat it, for it may
// hold a password by mistake.
func parseHost(host string) (base *url.URL, socket string, err error) {
	if host == "" {
		return nil, "", errors.New("host: must not be empty")
	}
	u, err := url.Parse(strings.TrimSpace(host))
	if err != nil {
		return nil, "", errors.New("host: must be a URL such as https://auth.example.org/")
	}
	switch {
	case u.User != nil:
		return nil, "", errors.New("host: must not hold a user name or password")
	case u.Scheme == "unix":
		if u.Host != "" || u.Path == "" {
			return nil, "", errors.New("host: must be unix:///path/of/socket")
		}
		return &url.URL{Scheme: "http", Host: "localhost", Path: "/", RawQuery: u.RawQuery}, u.Path, nil
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, "", errors.New("host: must begin with http://, https:// or unix://")
	}
	u = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawQuery: u.RawQuery}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return u, "", nil
}

// maxRoots bounds the file of CAs, in bytes; those of a whole system are 250 KB.
const maxRoots = 4 << 20

// rootCAs returns the CAs to trust, nil for those of the system.
func rootCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := atomicfile.Read(file, maxRoots)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: %s: no certificate in it", file)
	}
	return roots, nil
}
