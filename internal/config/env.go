package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"ldapd/internal/yamlfile"
)

const prefix = "LDAPD_"

// Kubernetes and Docker tell containers about a service that is called ldapd
// with variables of these names.
var serviceVariable = regexp.MustCompile(`^LDAPD_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_\d+_(TCP|UDP)(_PROTO|_PORT|_ADDR)?)$`)

// Keys returns every key in the order of the reference: base_dn,
// listen.ldap, …
func Keys() []string {
	var keys []string
	each(reflect.ValueOf(Default()).Elem(), "", func(key string, _ reflect.Value) {
		keys = append(keys, key)
	})
	return keys
}

// each calls fn for every key that has a value of its own.
func each(v reflect.Value, parent string, fn func(key string, v reflect.Value)) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		switch {
		case name == "":
		case v.Field(i).Kind() == reflect.Struct:
			each(v.Field(i), parent+name+".", fn)
		default:
			fn(parent+name, v.Field(i))
		}
	}
}

// topKey is the key without list indexes.
func topKey(key string) string {
	key, _, _ = strings.Cut(key, "[")
	return key
}

// variable returns the environment variable of a key.
func variable(key string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(topKey(key), ".", "_"))
}

// environ sets what the environment holds.
func (c *Config) environ(env []string) error {
	vars := map[string]string{}
	for _, e := range env {
		if name, text, _ := strings.Cut(e, "="); strings.HasPrefix(name, prefix) && !serviceVariable.MatchString(name) {
			vars[name] = text
		}
	}
	var first error
	each(reflect.ValueOf(c).Elem(), "", func(key string, v reflect.Value) {
		name := variable(key)
		text, ok := vars[name]
		if !ok {
			return
		}
		delete(vars, name)
		c.env[key] = name
		if err := setText(v, text); err != nil && first == nil {
			first = fmt.Errorf("%s: %w", name, err)
		}
	})
	if first != nil {
		return first
	}
	if len(vars) > 0 {
		var known []string
		for _, key := range Keys() {
			known = append(known, variable(key))
		}
		names := make([]string, 0, len(vars))
		for name := range vars {
			names = append(names, name)
		}
		return fmt.Errorf("%s: unknown variable, allowed: %s", slices.Min(names), strings.Join(known, ", "))
	}
	return nil
}

// setText sets a value from a variable: lists are separated by commas, and
// an empty text is an empty list.
func setText(v reflect.Value, text string) error {
	if list, ok := v.Addr().Interface().(*[]Client); ok {
		return setClients(list, text)
	}
	if v.Kind() != reflect.Slice {
		return yamlfile.SetText(v.Addr().Interface(), text)
	}
	list := reflect.MakeSlice(v.Type(), 0, 0)
	if strings.TrimSpace(text) != "" {
		for _, item := range strings.Split(text, ",") {
			e := reflect.New(v.Type().Elem())
			if err := yamlfile.SetText(e.Interface(), strings.TrimSpace(item)); err != nil {
				return err
			}
			list = reflect.Append(list, e.Elem())
		}
	}
	v.Set(list)
	return nil
}
