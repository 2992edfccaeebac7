package authentiktest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is a parsed query string and the validation errors found in it.
type query struct {
	url.Values
	errs map[string][]string
}

func newQuery(c *call) *query {
	return &query{Values: c.r.URL.Query(), errs: make(map[string][]string)}
}

func (q *query) fail(name, msg string) {
	q.errs[name] = append(q.errs[name], msg)
}

// ok answers 400 if anything was wrong.
func (q *query) ok(c *call) bool {
	if len(q.errs) == 0 {
		return true
	}
	c.json(http.StatusBadRequest, q.errs)
	return false
}

// include reads an include_ switch.
func (q *query) include(name string, otherwise bool) bool {
	if !q.Has(name) {
		return otherwise
	}
	return strings.EqualFold(q.Get(name), "true")
}

// boolean reads a filter; what is no boolean is ignored, as django-filter does.
func (q *query) boolean(name string) (value, set bool) {
	switch strings.ToLower(q.Get(name)) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}

func (q *query) time(name string) (time.Time, bool) {
	text := q.Get(name)
	if text == "" {
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	q.fail(name, "Enter a valid date/time.")
	return time.Time{}, false
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$`)

func (q *query) uuid(name string) string {
	text := strings.ToLower(q.Get(name))
	if text != "" && !uuidForm.MatchString(text) {
		q.fail(name, "Enter a valid UUID.")
		return ""
	}
	return text
}

// choices reads a repeatable parameter whose values must exist.
func choices[T any](q *query, name string, find func(string) (T, bool)) []T {
	var found []T
	for _, v := range q.Values[name] {
		t, ok := find(v)
		if !ok {
			q.fail(name, fmt.Sprintf("Select a valid choice. %s is not one of the available choices.", v))
		}
		found = append(found, t)
	}
	return found
}

// attributes reads the attributes filter: a JSON object whose keys may descend
// by a double underscore.
func (q *query) attributes() map[string]any {
	text := q.Get("attributes")
	if text == "" {
		return nil
	}
	var want map[string]any
	if err := json.Unmarshal([]byte(text), &want); err != nil || want == nil {
		q.fail("attributes", "Value must be valid JSON.")
	}
	return want
}

func hasAttributes(raw json.RawMessage, want map[string]any) bool {
	var have map[string]any
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&have); err != nil {
		return false
	}
	for key, v := range want {
		var at any = have
		for part := range strings.SplitSeq(key, "__") {
			m, ok := at.(map[string]any)
			if !ok {
				return false
			}
			if at, ok = m[part]; !ok {
				return false
			}
		}
		if !reflect.DeepEqual(at, v) {
			return false
		}
	}
	return true
}

// matches is the search parameter: every word must be in some column.
func matches(search string, columns ...string) bool {
	for word := range strings.FieldsSeq(strings.ToLower(search)) {
		if !slices.ContainsFunc(columns, func(c string) bool { return strings.Contains(strings.ToLower(c), word) }) {
			return false
		}
	}
	return true
}

// ordering turns the parameter into a comparison; unknown names are ignored,
// and nothing known leaves the default.
func ordering[T any](param, standard string, columns map[string]func(a, b T) int, last func(a, b T) int) func(a, b T) int {
	parse := func(text string) []func(a, b T) int {
		var keys []func(a, b T) int
		for name := range strings.SplitSeq(text, ",") {
			name, descending := strings.CutPrefix(strings.TrimSpace(name), "-")
			f := columns[name]
			if f == nil {
				continue
			}
			if descending {
				up := f
				f = func(a, b T) int { return up(b, a) }
			}
			keys = append(keys, f)
		}
		return keys
	}
	keys := parse(param)
	if len(keys) == 0 {
		keys = parse(standard)
	}
	keys = append(keys, last)
	return func(a, b T) int {
		for _, key := range keys {
			if n := key(a, b); n != 0 {
				return n
			}
		}
		return 0
	}
}

func compareBool(a, b bool) int {
	return cmp.Compare(strconv.FormatBool(a), strconv.FormatBool(b))
}

// between reads the filters on a time column: equality and the given lookups.
func between[T any](q *query, name string, column func(T) time.Time, keep []func(T) bool) []func(T) bool {
	add := func(lookup string, ok func(have, want time.Time) bool) {
		want, set := q.time(name + lookup)
		if set {
			keep = append(keep, func(row T) bool {
				have := column(row)
				return !have.IsZero() && ok(have, want)
			})
		}
	}
	add("", time.Time.Equal)
	add("__lt", time.Time.Before)
	add("__gt", time.Time.After)
	return keep
}

// selectRows keeps the rows that pass every filter.
func selectRows[T any](rows []T, keep []func(T) bool) []T {
	var out []T
next:
	for _, row := range rows {
		for _, ok := range keep {
			if !ok(row) {
				continue next
			}
		}
		out = append(out, row)
	}
	return out
}
