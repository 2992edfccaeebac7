package authentiktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	ak "ldapd/internal/authentik/authentiktest"
)

// spec is authentik's own description of its API, in the version under test,
// made strict: an object has no members but those described.
type spec struct {
	doc   *openapi3.T
	paths []specPath
	opts  []openapi3.SchemaValidationOption
}

type specPath struct {
	form *regexp.Regexp
	path string
	item *openapi3.PathItem
}

var loadSpec = sync.OnceValues(func() (map[string]*spec, error) {
	specs := make(map[string]*spec)
	for _, version := range []string{ak.V2026_5, ak.V2025_10} {
		doc, err := openapi3.NewLoader().LoadFromFile("testdata/openapi-subset.yml")
		if err != nil {
			return nil, err
		}
		if version == ak.V2025_10 {
			downgrade(doc.Components.Schemas)
		}
		for _, ref := range doc.Components.Schemas {
			v := ref.Value
			if len(v.Properties) > 0 && v.AdditionalProperties.Has == nil && v.AdditionalProperties.Schema == nil {
				no := false
				v.AdditionalProperties.Has = &no
			}
			for _, p := range v.Properties {
				if free := p.Value.AdditionalProperties.Schema; free != nil && free.Value.IsEmpty() {
					free.Value.Nullable = true // {} is any value, null too
				}
			}
		}
		s := &spec{doc: doc, opts: []openapi3.SchemaValidationOption{
			openapi3.MultiErrors(),
			openapi3.EnableFormatValidation(),
			// The description refuses user names that authentik accepts.
			openapi3.DisablePatternValidation(),
			openapi3.WithStringFormatValidators(map[string]openapi3.StringFormatValidator{
				"uuid": openapi3.NewRegexpFormatValidator(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`),
				"date-time": openapi3.NewCallbackValidator(func(text string) error {
					_, err := time.Parse(time.RFC3339Nano, text)
					return err
				}),
				"email": openapi3.NewCallbackValidator(func(string) error { return nil }),
			}),
		}}
		for path, item := range doc.Paths.Map() {
			form := regexp.MustCompile(`\\\{[a-z_]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `([^/]+)`)
			s.paths = append(s.paths, specPath{regexp.MustCompile("/api/v3" + form + "$"), path, item})
		}
		// Fixed paths go before those with a variable.
		slices.SortFunc(s.paths, func(a, b specPath) int {
			return strings.Count(a.path, "{") - strings.Count(b.path, "{")
		})
		specs[version] = s
	}
	return specs, nil
})

// downgrade turns the 2026.5 description into that of 2025.10, by the
// differences that are known.
func downgrade(schemas openapi3.Schemas) {
	drop := func(name string, members ...string) {
		v := schemas[name].Value
		for _, m := range members {
			delete(v.Properties, m)
			v.Required = slices.DeleteFunc(v.Required, func(r string) bool { return r == m })
		}
	}
	text := func() *openapi3.SchemaRef {
		return openapi3.NewSchemaRef("", openapi3.NewStringSchema().WithNullable())
	}
	for _, name := range []string{"Group", "PartialGroup"} {
		schemas[name].Value.Properties["parent"] = text()
		schemas[name].Value.Properties["parent_name"] = text()
		schemas[name].Value.Required = append(schemas[name].Value.Required, "parent_name")
	}
	drop("Group", "parents", "parents_obj", "inherited_roles_obj")
	drop("User", "roles", "roles_obj")
	drop("UserSelf", "roles")
	drop("ContextualFlowInfo", "background_themed_urls")
	drop("IdentificationChallenge", "pending_user_identifier", "passkey_challenge", "application_pre_launch")
	pair := schemas["CertificateKeyPair"].Value
	pair.Properties["private_key_type"] = pair.Properties["key_type"]
	pair.Required = append(pair.Required, "private_key_type")
	drop("CertificateKeyPair", "key_type")
	config := schemas["Config"].Value
	config.Properties["cache_timeout_reputation"] = openapi3.NewSchemaRef("", openapi3.NewIntegerSchema())
	config.Required = append(config.Required, "cache_timeout_reputation")
}

// checker validates every exchange of a client against the description.
type checker struct {
	t    *testing.T
	base http.RoundTripper
	spec *spec

	mu   sync.Mutex
	lax  bool            // requests may be wrong on purpose
	seen map[string]bool // "METHOD path status", and components
}

func newChecker(t *testing.T, base http.RoundTripper, version string) *checker {
	t.Helper()
	specs, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	return &checker{t: t, base: base, spec: specs[version], seen: make(map[string]bool)}
}

func (k *checker) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	resp, err := k.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.check(r, body, resp, got); err != nil {
		k.t.Errorf("%s %s: %d %.500s\n%v", r.Method, r.URL, resp.StatusCode, got, err)
	}
	return resp, nil
}

func (k *checker) check(r *http.Request, body []byte, resp *http.Response, got []byte) error {
	var path *specPath
	for i := range k.spec.paths {
		if k.spec.paths[i].form.MatchString(r.URL.Path) {
			path = &k.spec.paths[i]
			break
		}
	}
	if path == nil || path.item.GetOperation(r.Method) == nil {
		if !k.lax {
			return fmt.Errorf("no such operation")
		}
		return nil
	}
	op := path.item.GetOperation(r.Method)
	if !k.lax {
		if err := k.checkRequest(path, op, r, body); err != nil {
			return fmt.Errorf("request: %w", err)
		}
	}
	k.seen[r.Method+" "+path.path+" "+strconv.Itoa(resp.StatusCode)] = true
	return k.checkResponse(op, resp, got)
}

func (k *checker) checkRequest(path *specPath, op *openapi3.Operation, r *http.Request, body []byte) error {
	query := r.URL.Query()
	for name := range query {
		if op.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("no parameter %q", name)
		}
	}
	segments := path.form.FindStringSubmatch(r.URL.Path)[1:]
	for _, ref := range op.Parameters {
		p := ref.Value
		values := query[p.Name]
		if p.In == "path" {
			values, segments = segments[:1], segments[1:]
		}
		if p.Required && len(values) == 0 {
			return fmt.Errorf("parameter %q is missing", p.Name)
		}
		schema := p.Schema.Value
		if schema.Type.Is("array") {
			schema = schema.Items.Value
		}
		for _, text := range values {
			if err := schema.VisitJSON(parameter(schema, text), k.spec.opts...); err != nil {
				return fmt.Errorf("parameter %q: %w", p.Name, err)
			}
		}
	}
	if op.RequestBody == nil {
		return nil
	}
	return k.visit(op.RequestBody.Value.Content.Get("application/json").Schema, body, openapi3.VisitAsRequest())
}

// parameter reads a value as its schema's type.
func parameter(schema *openapi3.Schema, text string) any {
	switch {
	case schema.Type.Is("integer"):
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return float64(n)
		}
	case schema.Type.Is("boolean"):
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	}
	return text
}

func (k *checker) checkResponse(op *openapi3.Operation, resp *http.Response, got []byte) error {
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || media != "application/json" {
		switch resp.StatusCode {
		case http.StatusOK:
			if media != "application/x-pem-file" {
				return fmt.Errorf("media type %q", media)
			}
		case http.StatusNoContent, http.StatusFound, http.StatusBadRequest:
			if len(got) > 0 {
				return fmt.Errorf("a body")
			}
		}
		return nil
	}
	described := op.Responses.Status(resp.StatusCode)
	if described == nil || described.Value.Content == nil {
		// The description has no 404, 405 and 429, and no content for some 400.
		name := "GenericError"
		if resp.StatusCode == http.StatusBadRequest {
			name = "ValidationError"
		}
		return k.visit(k.spec.doc.Components.Schemas[name], got, openapi3.VisitAsResponse())
	}
	return k.visit(described.Value.Content.Get("application/json").Schema, got, openapi3.VisitAsResponse())
}

// visit validates a document; of a union it takes the schema that the
// discriminator names.
func (k *checker) visit(ref *openapi3.SchemaRef, doc []byte, as openapi3.SchemaValidationOption) error {
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		return err
	}
	if d := ref.Value.Discriminator; d != nil {
		m, _ := v.(map[string]any)
		name, _ := m[d.PropertyName].(string)
		target, ok := d.Mapping[name]
		if !ok {
			return fmt.Errorf("unknown %s %q", d.PropertyName, name)
		}
		k.seen[name] = true
		ref = k.spec.doc.Components.Schemas[strings.TrimPrefix(target.Ref, "#/components/schemas/")]
	}
	return ref.Value.VisitJSON(v, append(slices.Clone(k.spec.opts), as)...)
}

// TestEveryShape sends a request to every endpoint in every shape; the checker
// judges requests and answers.
func TestEveryShape(t *testing.T) {
	for _, version := range []string{ak.V2026_5, ak.V2025_10} {
		t.Run(version, func(t *testing.T) { everyShape(t, version) })
	}
}

func everyShape(t *testing.T, version string) {
	s := ak.New(t, ak.Options{Version: version})
	all := s.AddGroup(ak.Group{Name: "all", Roles: []string{"reader"}, Attributes: map[string]any{"gidNumber": "500"}})
	staff := s.AddGroup(ak.Group{Name: "staff", Parents: []string{"all"}, Superuser: true})
	alice := s.AddUser(ak.User{
		Username: "alice", Name: "Alice A", Email: "alice@example.org", Password: "secret", Groups: []string{"staff"},
		Roles: []string{"helper"}, LastLogin: time.Now(),
		Attributes: map[string]any{"upn": "alice@x", "n": 1, "f": 1.5, "b": true, "z": nil, "l": []any{"a", nil}, "o": map[string]any{"k": "v"}},
	})
	s.AddUser(ak.User{Username: `odd, "name" + ; ü`, Inactive: true, Type: ak.ServiceAccount})
	pair := s.SetKeyPair(ak.NewCertificate(t, "ldap", "ldap.example.org"))
	empty := s.SetKeyPair(ak.KeyPairData{Name: "empty"})
	locked := ak.NewCertificate(t, "locked")
	locked.KeyForbidden = true
	lockedPK := s.SetKeyPair(locked)
	s.SetProvider(ak.Provider{PK: 8, Name: "second", BindFlow: "odd", Application: "second", Certificate: pair})
	s.SetOutpost(ak.Outpost{PK: ak.DefaultOutpost, Name: "LDAP", Providers: []int{7, 8}, Interval: 60, Managed: "goauthentik.io/outposts/x"})

	c := newClient(t, s)
	stamp := url.QueryEscape("2026-01-02T03:04:05.000006Z")
	for _, path := range []string{
		"root/config/",
		"outposts/instances/", "outposts/instances/?ordering=-name&page=1&page_size=5&search=ldap",
		"outposts/instances/?name__iexact=ldap&name__icontains=L&providers__isnull=false&providers_by_pk=7&providers_by_pk=8",
		"outposts/instances/?managed__iexact=x&managed__icontains=y&service_connection__name__iexact=a&service_connection__name__icontains=b",
		"outposts/ldap/", "outposts/ldap/?name=ldap&ordering=pk&page=1&page_size=1&search=ldap",
		"crypto/certificatekeypairs/" + pair + "/",
		"crypto/certificatekeypairs/" + pair + "/view_certificate/",
		"crypto/certificatekeypairs/" + pair + "/view_certificate/?download=true",
		"crypto/certificatekeypairs/" + pair + "/view_private_key/",
		"crypto/certificatekeypairs/" + pair + "/view_private_key/?download=true",
		"crypto/certificatekeypairs/" + empty + "/",
		"crypto/certificatekeypairs/" + empty + "/view_private_key/",
		"crypto/certificatekeypairs/" + all.PK + "/",
		"crypto/certificatekeypairs/" + lockedPK + "/view_private_key/",
		"core/users/", "core/users/?include_groups=false&include_roles=false",
		"core/users/?include_groups=true&include_roles=true&page=1&page_size=50",
		"core/users/?username=alice&email=alice%40example.org&name=Alice+A&path=users&path_startswith=use",
		"core/users/?is_active=true&is_superuser=false", "core/users/?is_active=false",
		"core/users/?type=internal&type=service_account", "core/users/?uuid=" + alice.UUID,
		"core/users/?groups_by_name=staff&groups_by_name=all", "core/users/?groups_by_pk=" + staff.PK,
		"core/users/?groups_by_name=nobody", "core/users/?attributes=%7B%22upn%22%3A%22alice%40x%22%7D", "core/users/?attributes=no",
		"core/users/?date_joined=" + stamp + "&date_joined__lt=" + stamp + "&date_joined__gt=" + stamp,
		"core/users/?last_updated=" + stamp + "&last_updated__lt=" + stamp + "&last_updated__gt=" + stamp,
		"core/users/?last_login=" + stamp + "&last_login__lt=" + stamp + "&last_login__gt=" + stamp + "&last_login__isnull=true",
		"core/users/?ordering=pk", "core/users/?ordering=-last_updated,username", "core/users/?search=ali",
		"core/users/?roles_by_name=helper", "core/users/?roles_by_pk=" + alice.UUID,
		"core/users/?page=2", fmt.Sprintf("core/users/%d/", alice.PK), "core/users/99999/",
		"core/groups/", "core/groups/?include_users=false&include_children=true&include_parents=true&include_inherited_roles=true",
		"core/groups/?name=staff&is_superuser=true&search=sta&ordering=-name&page=1&page_size=10",
		"core/groups/?members_by_username=alice", fmt.Sprintf("core/groups/?members_by_pk=%d", alice.PK),
		"core/groups/?members_by_username=nobody", "core/groups/?members_by_pk=99999",
		"core/groups/?attributes=%7B%22gidNumber%22%3A%22500%22%7D",
		"core/groups/" + staff.PK + "/", "core/groups/" + staff.PK + "/?include_users=false&include_children=true&include_parents=true&include_inherited_roles=true",
		"core/groups/" + alice.UUID + "/",
		"core/users/me/",
		"outposts/ldap/7/check_access/?app_slug=ldap", "outposts/ldap/7/check_access/", "outposts/ldap/9/check_access/?app_slug=ldap",
		"outposts/ldap/7/check_access/?app_slug=none",
		"core/applications/ldap/check_access/", fmt.Sprintf("core/applications/ldap/check_access/?for_user=%d", alice.PK),
		"core/applications/none/check_access/",
	} {
		c.get(path)
	}
	// The same without and with a wrong token.
	for _, auth := range []string{"", "Bearer wrong"} {
		for _, path := range []string{
			"outposts/instances/", "outposts/ldap/", "core/users/", "core/groups/", "core/users/me/", "root/config/",
			"outposts/ldap/7/check_access/?app_slug=ldap", "core/applications/ldap/check_access/",
			"core/users/4/", "core/groups/" + staff.PK + "/",
			"crypto/certificatekeypairs/" + pair + "/", "crypto/certificatekeypairs/" + pair + "/view_certificate/",
			"crypto/certificatekeypairs/" + pair + "/view_private_key/",
		} {
			r := c.request("GET", "/api/v3/"+path, "")
			if auth != "" {
				r.Header.Set("Authorization", auth)
			}
			c.do(r)
		}
	}
	setPassword := fmt.Sprintf("/api/v3/core/users/%d/set_password/", alice.PK)
	for _, allowed := range []bool{false, true} {
		s.AllowSetPassword(allowed)
		r := c.request("POST", setPassword, `{"password":"secret"}`)
		r.Header.Set("Authorization", "Bearer "+s.Token)
		c.do(r)
	}
	c.login("alice", "secret")
	c.me()
	c.asUser("GET", "/api/v3/outposts/ldap/7/check_access/?app_slug=ldap", "")
	s.OmitSearchPermission(true)
	c.asUser("GET", "/api/v3/outposts/ldap/7/check_access/?app_slug=ldap", "")
	c.flow("GET", ak.DefaultInvalidation, "")

	everyChallenge(t, s, c)

	for path, item := range c.check.spec.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				switch {
				case status == "400" && path != "/core/users/" && path != "/core/groups/",
					status == "403" && strings.HasPrefix(path, "/flows/"):
					continue // nothing that can be wrong
				}
				if key := method + " " + path + " " + status; !c.check.seen[key] {
					t.Errorf("%s: never seen", key)
				}
			}
		}
	}
	for component := range c.check.spec.doc.Components.Schemas["ChallengeTypes"].Value.Discriminator.Mapping {
		if !c.check.seen[component] {
			t.Errorf("%s: never seen", component)
		}
	}
}

// TestCheckerIsStrict guards the guard.
func TestCheckerIsStrict(t *testing.T) {
	k := newChecker(t, nil, ak.V2026_5)
	ref := k.spec.doc.Components.Schemas["ChallengeTypes"]
	for doc, ok := range map[string]bool{
		`{"component":"xak-flow-redirect","to":"/"}`:               true,
		`{"component":"xak-flow-redirect"}`:                        false,
		`{"component":"xak-flow-redirect","to":"/","bogus":1}`:     false,
		`{"component":"ak-stage-flow-error","request_id":7}`:       false,
		`{"component":"no-such-component","to":"/"}`:               false,
		`{"component":"xak-flow-redirect","to":"/","flow_info":1}`: false,
	} {
		if err := k.visit(ref, []byte(doc), openapi3.VisitAsResponse()); (err == nil) != ok {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// everyChallenge runs flows that show every component.
func everyChallenge(t *testing.T, s *ak.Server, c *client) {
	t.Helper()
	s.AddUser(ak.User{Username: "mfa", Password: "secret", Email: "mfa@example.org", Devices: []ak.Device{
		{Class: ak.ClassTOTP, Secret: "JBSWY3DPEHPK3PXP", LastUsed: time.Now()},
		{Class: ak.ClassStatic, Tokens: []string{"abcdefghijkl"}},
		{Class: ak.ClassDuo, Duo: ak.DuoDeny},
		{Class: ak.ClassSMS}, {Class: ak.ClassEmail}, {Class: ak.ClassWebAuthn},
	}})
	clear(c.cookies)
	c.start()
	c.identify("mfa", "secret")
	c.password("wrong")
	c.password("secret")
	c.answer("ak-stage-authenticator-validate", map[string]any{"selected_challenge": map[string]any{
		"device_class": "totp", "device_uid": strconv.Itoa(s.User("mfa").Devices[0].ID), "challenge": map[string]any{}, "last_used": nil,
	}, "code": "000000"})
	c.answer("ak-stage-authenticator-validate", map[string]any{"duo": s.User("mfa").Devices[2].ID})
	c.answer("ak-stage-authenticator-validate", nil)
	c.code("abcdefghijkl")

	for _, stages := range [][]ak.Stage{
		{ak.Identification{PasswordFields: true, Captcha: true}},
		{ak.Login{RememberOffset: time.Hour}},
		{ak.Consent{}},
		{ak.Deny{}},
		{ak.Crash{}},
		{ak.Redirect{To: "https://elsewhere.invalid/"}},
		{ak.SessionEndStage{}},
		{ak.Validate{NotConfigured: "configure", Configure: []string{"ak-stage-authenticator-totp", "ak-stage-authenticator-static"}}},
		{ak.Validate{NotConfigured: "configure", Configure: []string{"ak-stage-authenticator-totp"}}},
		{ak.Validate{NotConfigured: "deny"}},
	} {
		c.show(stages...)
	}
	for _, name := range []string{
		"ak-stage-captcha", "ak-stage-prompt", "ak-stage-dummy", "ak-stage-autosubmit", "ak-stage-email", "xak-flow-shell", "xak-flow-frame",
		"ak-stage-authenticator-totp", "ak-stage-authenticator-static", "ak-stage-authenticator-duo", "ak-stage-authenticator-sms",
		"ak-stage-authenticator-email", "ak-stage-authenticator-webauthn",
	} {
		want(t, name, c.show(ak.Component{Name: name}).component(), name)
	}
}

// show replaces the bind flow and gets its first challenge.
func (c *client) show(stages ...ak.Stage) answer {
	c.t.Helper()
	c.s.SetFlow(ak.Flow{Slug: ak.DefaultFlow, Stages: stages})
	clear(c.cookies)
	return c.start()
}
