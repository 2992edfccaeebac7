package authentiktest

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Provider is an LDAP provider. Zero fields have authentik's defaults.
type Provider struct {
	PK            int
	Name          string
	BaseDN        string
	BindFlow      string
	UnbindFlow    string // null if empty
	Application   string // not attached, and so invisible, if empty
	Certificate   string // null if empty
	TLSServerName string
	UIDStart      int
	GIDStart      int
	SearchMode    string // direct or cached
	BindMode      string
	NoMFA         bool
}

// Outpost is an outpost with its configuration.
type Outpost struct {
	PK        string
	Name      string
	Type      string // ldap if empty
	Providers []int
	Interval  int // seconds between refreshes
	Managed   string
	// Config is merged into authentik's defaults; a nil value removes a key.
	Config map[string]any
}

func (s *Server) defaults() {
	s.outposts = []Outpost{{PK: DefaultOutpost, Name: "LDAP", Type: "ldap", Providers: []int{DefaultProvider}, Interval: 300}}
	s.AddUser(User{
		PK:       3,
		Username: "ak-outpost-" + strings.ReplaceAll(DefaultOutpost, "-", ""),
		Name:     "Outpost LDAP Service-Account",
		Type:     InternalServiceAccount,
		Path:     "goauthentik.io/outposts",
	})
	if s.o.Admin {
		s.AddGroup(Group{Name: "authentik Admins", Superuser: true})
		s.AddUser(User{PK: 2, Username: "akadmin", Name: "authentik Default Admin", Groups: []string{"authentik Admins"}})
	}
	s.SetFlow(Flow{Slug: DefaultFlow, Stages: []Stage{
		Identification{}, Password{}, Validate{}, Login{},
	}})
	s.SetFlow(Flow{Slug: DefaultInvalidation, Designation: "invalidation", Stages: []Stage{Logout{}}})
	s.SetProvider(Provider{
		PK:          DefaultProvider,
		Name:        "ldap",
		BindFlow:    DefaultFlow,
		UnbindFlow:  DefaultInvalidation,
		Application: DefaultApplication,
	})
}

// account is the user that the token belongs to.
func (s *Server) account() string {
	if s.o.Admin {
		return "akadmin"
	}
	return "ak-outpost-" + strings.ReplaceAll(DefaultOutpost, "-", "")
}

// SetProvider adds a provider or replaces the one with its PK. It tells every
// outpost to update, and must be listed in an Outpost to be seen.
func (s *Server) SetProvider(p Provider) {
	p.BaseDN = cmp.Or(p.BaseDN, DefaultBaseDN)
	p.UIDStart = cmp.Or(p.UIDStart, 2000)
	p.GIDStart = cmp.Or(p.GIDStart, 4000)
	p.SearchMode = cmp.Or(p.SearchMode, "direct")
	p.BindMode = cmp.Or(p.BindMode, "direct")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.providers = slices.DeleteFunc(s.providers, func(old Provider) bool { return old.PK == p.PK })
	s.providers = append(s.providers, p)
	slices.SortFunc(s.providers, func(a, b Provider) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.PK, b.PK))
	})
	s.TriggerUpdate()
}

// RemoveProvider deletes a provider.
func (s *Server) RemoveProvider(pk int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.providers = slices.DeleteFunc(s.providers, func(p Provider) bool { return p.PK == pk })
	s.TriggerUpdate()
}

// SetOutpost adds an outpost or replaces the one with its PK. The token belongs
// to DefaultOutpost and sees no other, unless Options.Admin is set.
func (s *Server) SetOutpost(o Outpost) {
	o.Type = cmp.Or(o.Type, "ldap")
	o.Providers = slices.Clone(o.Providers)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outposts = slices.DeleteFunc(s.outposts, func(old Outpost) bool { return old.PK == o.PK })
	s.outposts = append(s.outposts, o)
	slices.SortFunc(s.outposts, func(a, b Outpost) int { return cmp.Compare(a.Name, b.Name) })
	s.TriggerUpdate()
}

// RemoveOutpost deletes an outpost.
func (s *Server) RemoveOutpost(pk string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outposts = slices.DeleteFunc(s.outposts, func(o Outpost) bool { return o.PK == pk })
}

// visible returns the outposts that the token sees.
func (s *Server) visible() []Outpost {
	if s.o.Admin {
		return s.outposts
	}
	return selectRows(s.outposts, []func(Outpost) bool{func(o Outpost) bool { return o.PK == DefaultOutpost }})
}

func null(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (s *Server) outpostJSON(o Outpost) map[string]any {
	objs := []any{}
	for _, pk := range o.Providers {
		i := slices.IndexFunc(s.providers, func(p Provider) bool { return p.PK == pk })
		if i < 0 {
			continue
		}
		p := s.providers[i]
		objs = append(objs, map[string]any{
			"pk":                                    p.PK,
			"name":                                  p.Name,
			"authentication_flow":                   nil,
			"authorization_flow":                    uuidOf("flow", p.BindFlow),
			"invalidation_flow":                     uuidOf("flow", p.UnbindFlow),
			"property_mappings":                     []string{},
			"component":                             "ak-provider-ldap-form",
			"assigned_application_slug":             null(p.Application),
			"assigned_application_name":             null(p.Application),
			"assigned_backchannel_application_slug": nil,
			"assigned_backchannel_application_name": nil,
			"verbose_name":                          "LDAP Provider",
			"verbose_name_plural":                   "LDAP Providers",
			"meta_model_name":                       "authentik_providers_ldap.ldapprovider",
		})
	}
	config := map[string]any{
		"log_level":               "info",
		"refresh_interval":        "minutes=5",
		"authentik_host":          s.URL,
		"authentik_host_insecure": false,
		"authentik_host_browser":  "",
		"object_naming_template":  "ak-outpost-%(name)s",
		"container_image":         nil,
		"docker_network":          nil,
		"docker_map_ports":        true,
		"docker_labels":           nil,
		"kubernetes_replicas":     1,
		"kubernetes_namespace":    "default",
	}
	for k, v := range o.Config {
		if v == nil {
			delete(config, k)
		} else {
			config[k] = v
		}
	}
	return map[string]any{
		"pk":                     o.PK,
		"name":                   o.Name,
		"type":                   o.Type,
		"providers":              append([]int{}, o.Providers...),
		"providers_obj":          objs,
		"service_connection":     nil,
		"service_connection_obj": nil,
		"refresh_interval_s":     o.Interval,
		"token_identifier":       "ak-outpost-" + o.PK + "-api",
		"config":                 config,
		"managed":                null(o.Managed),
	}
}

func (s *Server) listOutposts(c *call) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.reader(c) {
		return
	}
	q := newQuery(c)
	var keep []func(Outpost) bool
	text := func(name string, column func(Outpost) string) {
		if want := q.Get(name + "__iexact"); want != "" {
			keep = append(keep, func(o Outpost) bool { return strings.EqualFold(column(o), want) })
		}
		if want := strings.ToLower(q.Get(name + "__icontains")); want != "" {
			keep = append(keep, func(o Outpost) bool { return strings.Contains(strings.ToLower(column(o)), want) })
		}
	}
	none := func(Outpost) string { return "" }
	text("name", func(o Outpost) string { return o.Name })
	text("managed", func(o Outpost) string { return o.Managed })
	text("service_connection__name", none)
	if want, set := q.boolean("providers__isnull"); set {
		keep = append(keep, func(o Outpost) bool { return (len(o.Providers) == 0) == want })
	}
	pks := choices(q, "providers_by_pk", func(v string) (int, bool) {
		pk, err := strconv.Atoi(v)
		return pk, err == nil && slices.ContainsFunc(s.providers, func(p Provider) bool { return p.PK == pk })
	})
	if len(pks) > 0 {
		keep = append(keep, func(o Outpost) bool { return overlap(o.Providers, pks) })
	}
	if want := q.Get("search"); want != "" {
		keep = append(keep, func(o Outpost) bool { return matches(want, o.Name) })
	}
	if !q.ok(c) {
		return
	}
	rows := selectRows(s.visible(), keep)
	slices.SortFunc(rows, ordering(q.Get("ordering"), "name", map[string]func(a, b Outpost) int{
		"name": func(a, b Outpost) int { return cmp.Compare(a.Name, b.Name) },
		"pk":   func(a, b Outpost) int { return cmp.Compare(a.PK, b.PK) },
	}, func(a, b Outpost) int { return cmp.Compare(a.PK, b.PK) }))
	w, ok := s.page(c, q.Values, len(rows))
	if !ok {
		return
	}
	results := []any{}
	for _, o := range rows[w.from:w.to] {
		results = append(results, s.outpostJSON(o))
	}
	c.json(http.StatusOK, s.envelope(w, results))
}

// served tells whether a provider is one that the token sees.
func (s *Server) served(p Provider) bool {
	return p.Application != "" &&
		slices.ContainsFunc(s.visible(), func(o Outpost) bool { return slices.Contains(o.Providers, p.PK) })
}

func (s *Server) listProviders(c *call) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.reader(c) {
		return
	}
	q := newQuery(c)
	keep := []func(Provider) bool{s.served}
	if want := q.Get("name"); want != "" {
		keep = append(keep, func(p Provider) bool { return p.Name == want })
	}
	if want := q.Get("search"); want != "" {
		keep = append(keep, func(p Provider) bool { return matches(want, p.Name) })
	}
	rows := selectRows(s.providers, keep)
	byPK := func(a, b Provider) int { return cmp.Compare(a.PK, b.PK) }
	slices.SortFunc(rows, ordering(q.Get("ordering"), "name", map[string]func(a, b Provider) int{
		"name": func(a, b Provider) int { return cmp.Compare(a.Name, b.Name) },
		"pk":   byPK,
	}, byPK))
	w, ok := s.page(c, q.Values, len(rows))
	if !ok {
		return
	}
	results := []any{}
	for _, p := range rows[w.from:w.to] {
		results = append(results, map[string]any{
			"pk":               p.PK,
			"name":             p.Name,
			"base_dn":          p.BaseDN,
			"bind_flow_slug":   p.BindFlow,
			"unbind_flow_slug": null(p.UnbindFlow),
			"application_slug": p.Application,
			"certificate":      null(p.Certificate),
			"tls_server_name":  p.TLSServerName,
			"uid_start_number": p.UIDStart,
			"gid_start_number": p.GIDStart,
			"search_mode":      p.SearchMode,
			"bind_mode":        p.BindMode,
			"mfa_support":      !p.NoMFA,
		})
	}
	c.json(http.StatusOK, s.envelope(w, results))
}

func (s *Server) checkAccess(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.caller(c)
	if !ok {
		return
	}
	q := newQuery(c)
	slug := q.Get("app_slug")
	pk, err := strconv.Atoi(c.arg)
	switch {
	case !q.Has("app_slug"):
		c.html(http.StatusInternalServerError, "Server Error")
	case err != nil || !slices.ContainsFunc(s.providers, func(p Provider) bool { return p.PK == pk }):
		c.detail(http.StatusNotFound, "No LDAPProvider matches the given query.")
	case !s.application(slug):
		c.detail(http.StatusNotFound, "No Application matches the given query.")
	default:
		answer := map[string]any{"access": s.passing(slug, u)}
		if !s.noSearch {
			answer["has_search_permission"] = u.maySearch(pk)
		}
		c.json(http.StatusOK, answer)
	}
}

func (s *Server) application(slug string) bool {
	return slug != "" && slices.ContainsFunc(s.providers, func(p Provider) bool { return p.Application == slug })
}

// appCheckAccess is the older form of checkAccess.
func (s *Server) appCheckAccess(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	given, valid := s.bearer(c.r)
	var u *user
	if valid {
		u = s.users.byName[s.account()]
	} else if sess := s.session(c.r); !given && sess != nil {
		u = sess.user
	}
	switch {
	case given && !valid:
		c.detail(http.StatusForbidden, "Token invalid/expired")
	case u == nil:
		c.detail(http.StatusForbidden, "Authentication credentials were not provided.")
	case !s.application(c.arg):
		c.detail(http.StatusNotFound, "No Application matches the given query.")
	default:
		if pk, err := strconv.Atoi(c.r.URL.Query().Get("for_user")); err == nil && u.superuser() && s.users.byPK[pk] != nil {
			u = s.users.byPK[pk]
		}
		c.json(http.StatusOK, s.passing(c.arg, u))
	}
}

func (s *Server) rootConfig(c *call) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if given, valid := s.bearer(c.r); given && !valid {
		c.detail(http.StatusForbidden, "Token invalid/expired")
		return
	}
	v := map[string]any{
		"error_reporting": map[string]any{
			"enabled":            false,
			"sentry_dsn":         "https://sentry.invalid/4",
			"environment":        "customer",
			"send_pii":           false,
			"traces_sample_rate": 0.1,
		},
		"capabilities":           []string{"can_save_media", "can_impersonate", "is_enterprise"},
		"cache_timeout":          300,
		"cache_timeout_flows":    300,
		"cache_timeout_policies": 300,
	}
	if !s.is2026() {
		v["cache_timeout_reputation"] = 300
	}
	c.json(http.StatusOK, v)
}

func validIP(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}
