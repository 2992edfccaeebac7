package authentik

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Outpost is what authentik says of us.
type Outpost struct {
	PK   string `json:"pk"`
	Name string `json:"name"`
	Type string `json:"type"` // "ldap"

	// RefreshSeconds is the time between full refreshes; see RefreshInterval.
	RefreshSeconds integer `json:"refresh_interval_s"`

	Config  OutpostConfig `json:"config"`
	Managed *string       `json:"managed"`
}

// Account returns the username of the outpost's service account.
func (o *Outpost) Account() string { return "ak-outpost-" + strings.ReplaceAll(o.PK, "-", "") }

// OutpostConfig is the part of an outpost's free settings that concerns us.
type OutpostConfig struct {
	LogLevel string `json:"log_level"`
}

// RefreshInterval returns the time between full refreshes: five minutes if
// none is set, and at least 30 s.
func (o *Outpost) RefreshInterval() time.Duration {
	if o.RefreshSeconds <= 0 {
		return 5 * time.Minute
	}
	return max(time.Duration(o.RefreshSeconds)*time.Second, 30*time.Second)
}

// ErrNoOutpost is the error of a token that belongs to no LDAP outpost.
var ErrNoOutpost = errors.New("no LDAP outpost for this token")

// Outpost looks up the outpost that the token belongs to. A token of an
// administrator sees all outposts; the first of LDAP is taken.
func (c *Client) Outpost(ctx context.Context) (Outpost, error) {
	outposts, err := all[Outpost](ctx, c, "outposts/instances/", nil)
	if err != nil {
		return Outpost{}, err
	}
	for _, o := range outposts {
		if o.Type == "ldap" {
			return o, nil
		}
	}
	return Outpost{}, ErrNoOutpost
}

// RootConfig is what authentik tells everybody about itself.
type RootConfig struct {
	Capabilities      []string `json:"capabilities"`
	CacheTimeoutFlows integer  `json:"cache_timeout_flows"` // seconds
	// CacheTimeoutReputation is there up to 2025.10.
	CacheTimeoutReputation *integer `json:"cache_timeout_reputation"`
}

// RootConfig reads authentik's configuration.
func (c *Client) RootConfig(ctx context.Context) (RootConfig, error) {
	var r RootConfig
	err := c.get(ctx, "root/config/", nil, &r)
	return r, err
}

// Provider is an LDAP provider of the outpost: a base DN, and the flow and
// application that its binds go through.
type Provider struct {
	PK            int     `json:"pk"`
	Name          string  `json:"name"`
	BaseDN        string  `json:"base_dn"` // as it was typed
	BindFlow      string  `json:"bind_flow_slug"`
	UnbindFlow    string  `json:"unbind_flow_slug"` // empty: none
	Application   string  `json:"application_slug"`
	Certificate   *string `json:"certificate"`     // id of a KeyPair
	TLSServerName string  `json:"tls_server_name"` // empty: any
	UIDStart      int     `json:"uid_start_number"`
	GIDStart      int     `json:"gid_start_number"`
	SearchMode    string  `json:"search_mode"`
	BindMode      string  `json:"bind_mode"`
	MFASupport    bool    `json:"mfa_support"` // a code may be appended to the password
}

// UnmarshalJSON implements json.Unmarshaler; it fills in authentik's defaults.
func (p *Provider) UnmarshalJSON(b []byte) error {
	type plain Provider
	q := plain{
		BaseDN:   "DC=ldap,DC=goauthentik,DC=io",
		UIDStart: 2000, GIDStart: 4000,
		SearchMode: "direct", BindMode: "direct", MFASupport: true,
	}
	if err := json.Unmarshal(b, &q); err != nil {
		return err
	}
	*p = Provider(q)
	return nil
}

// Providers lists the providers of the outpost that have an application, by
// name.
func (c *Client) Providers(ctx context.Context) ([]Provider, error) {
	return all[Provider](ctx, c, "outposts/ldap/", nil)
}

// access is the answer to checkAccess.
type access struct {
	Search bool `json:"has_search_permission"`
	Access *struct {
		Passing *bool `json:"passing"`
	} `json:"access"`
}

func checkAccessPath(provider int) string {
	return "outposts/ldap/" + strconv.Itoa(provider) + "/check_access/"
}

func checkAccessQuery(application string) string {
	return url.Values{"app_slug": {application}}.Encode()
}
