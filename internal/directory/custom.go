package directory

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"ldapd/internal/schema"
)

// custom is a free attribute of a user or group, ready to serve.
type custom struct {
	at     *schema.AttributeType
	values []string
}

// customs turns free attributes into LDAP ones.
type customs struct {
	schema   *schema.Schema
	types    map[string]*schema.AttributeType // by key as the source has it; nil: not served
	problems *problems
	norm     []byte
}

// attrName makes an attribute name of a key, as authentik does.
func attrName(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, ".", ""), "/", "-")
}

// extendSchema returns the schema with all free attributes.
func extendSchema(users []User, groups []Group) *schema.Schema {
	names := make(map[string]struct{})
	for i := range users {
		for key := range users[i].Attrs {
			names[attrName(key)] = struct{}{}
		}
	}
	for i := range groups {
		for key := range groups[i].Attrs {
			names[attrName(key)] = struct{}{}
		}
	}
	return schema.Builtin().With(slices.Collect(maps.Keys(names)))
}

// fixed reports whether a free attribute may not replace the one that the
// directory makes: those that say what an entry is, who is in which group,
// and what rights it has. Others may be replaced, as with authentik.
func fixed(at *schema.AttributeType) bool {
	switch at.ID {
	case schema.ObjectClass, schema.CN, schema.MemberOf, schema.Member, schema.UniqueMember,
		schema.MemberUID, schema.Active, schema.SuperUser, schema.DistinguishedName:
		return true
	}
	return at.Operational
}

// resolve finds the type for a key; nil if it is not served.
func (c *customs) resolve(entry, key string) *schema.AttributeType {
	if at, ok := c.types[key]; ok {
		return at
	}
	at, ok := c.schema.Lookup([]byte(attrName(key)))
	switch {
	case !ok:
		c.problems.add(entry, "attribute %q left out: not a valid attribute name", key)
		return nil // not remembered, so that all are counted
	case fixed(at):
		c.problems.add(entry, "attribute %q left out: the directory makes it itself", key)
		return nil
	case at.Secret:
		at = nil
	}
	c.types[key] = at
	return at
}

// of returns the free attributes of an entry in the order of their keys.
// Where two keys make one name, the first one counts. username expands %s,
// unless it is empty.
func (c *customs) of(entry, username string, attrs map[string]any) []custom {
	if len(attrs) == 0 {
		return nil
	}
	out := make([]custom, 0, len(attrs))
	for _, key := range slices.Sorted(maps.Keys(attrs)) {
		at := c.resolve(entry, key)
		if at == nil {
			continue
		}
		if find(out, at.ID) != nil {
			c.problems.add(entry, "attribute %q left out: another key makes the same name", key)
			continue
		}
		values, ok := textValues(nil, attrs[key], username)
		if !ok {
			c.problems.add(entry, "attribute %q: a value that cannot be shown is left out", key)
		}
		if values = c.check(entry, key, at, values); len(values) > 0 {
			out = append(out, custom{at, values})
		}
	}
	return out
}

// find returns the values for an attribute, nil if there are none.
func find(list []custom, id uint16) []string {
	for _, c := range list {
		if c.at.ID == id {
			return c.values
		}
	}
	return nil
}

// check drops empty values, those that the attribute's syntax cannot hold,
// repeated ones, and all but the first of a single-valued attribute.
func (c *customs) check(entry, key string, at *schema.AttributeType, values []string) []string {
	kept := values[:0]
	var seen map[string]struct{}
	for _, v := range values {
		if at.Binary {
			v = decodeBinary(v)
		}
		if strings.TrimSpace(v) == "" {
			continue
		}
		if rule := at.Equality; rule != nil {
			var ok bool
			if c.norm, ok = rule.Normalize(c.norm[:0], []byte(v)); !ok {
				c.problems.add(entry, "attribute %q: a value left out: not valid for %s", key, at.Name)
				continue
			}
			if len(values) > 1 {
				if seen == nil {
					seen = make(map[string]struct{}, len(values))
				}
				if _, dup := seen[string(c.norm)]; dup {
					continue
				}
				seen[string(c.norm)] = struct{}{}
			}
		}
		if at.SingleValue && len(kept) == 1 {
			c.problems.add(entry, "attribute %q: only the first value is served", key)
			break
		}
		kept = append(kept, v)
	}
	return kept
}

// decodeBinary reads what JSON cannot hold: base64, perhaps as a data URI.
// Anything else is taken as the octets themselves.
func decodeBinary(v string) string {
	text := v
	if strings.HasPrefix(text, "data:") {
		_, text, _ = strings.Cut(text, ",")
	}
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
		return string(raw)
	}
	return v
}

// textValues appends the values of a JSON value, and tells whether all of
// them could be shown. Objects, and lists in lists, become JSON text.
func textValues(dst []string, v any, username string) ([]string, bool) {
	list, ok := v.([]any)
	if !ok {
		text, ok := textValue(v, username)
		if ok && v != nil {
			dst = append(dst, text)
		}
		return dst, ok
	}
	all := true
	for _, v := range list {
		text, ok := textValue(v, username)
		all = all && ok
		if ok && v != nil {
			dst = append(dst, text)
		}
	}
	return dst, all
}

func textValue(v any, username string) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		if username != "" && strings.Contains(v, "%s") {
			v = strings.ReplaceAll(v, "%s", username)
		}
		return v, true
	case []byte:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case float64:
		return decimal(v)
	case json.Number:
		if strings.ContainsAny(string(v), "eE") {
			f, err := v.Float64()
			if err != nil {
				return "", false
			}
			return decimal(f)
		}
		return string(v), true
	case fmt.Stringer:
		return v.String(), true
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", false
	}
	return strings.TrimSuffix(b.String(), "\n"), true
}

func decimal(f float64) (string, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "", false
	}
	return strconv.FormatFloat(f, 'f', -1, 64), true
}
