package authentik

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"ldapd/internal/directory"
)

// others returns copies of a value of a struct type, each with another value in
// one of its fields, by the field's name.
func others[T any](t *testing.T, of T) map[string]T {
	t.Helper()
	all := make(map[string]T)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		if f.Anonymous {
			continue // its fields are visible
		}
		other := of
		p := reflect.NewAt(f.Type, reflect.ValueOf(&other).Elem().FieldByIndex(f.Index).Addr().UnsafePointer()).Elem()
		switch v := p.Interface().(type) {
		case string:
			p.SetString(v + "x")
		case int64:
			p.SetInt(v + 1)
		case bool:
			p.SetBool(!v)
		case time.Time:
			p.Set(reflect.ValueOf(v.Add(time.Second)))
		case []string:
			p.Set(reflect.ValueOf(append(slices.Clone(v), "x")))
		case []int64:
			p.Set(reflect.ValueOf(append(slices.Clone(v), 7)))
		case map[string]any:
			p.Set(reflect.ValueOf(map[string]any{"x": []any{"y"}}))
		default:
			t.Fatalf("%s: no other value of type %s is known here", f.Name, f.Type)
		}
		all[f.Name] = other
	}
	return all
}

// A field that a comparison forgets is one whose changes nobody is served until
// another field changes.
func TestEveryFieldIsCompared(t *testing.T) {
	user := directory.User{UUID: "u", Attrs: map[string]any{"x": []any{"z"}}, Groups: []string{"g"}, Created: time.Unix(1, 0)}
	group := memberGroup{Group: directory.Group{UUID: "g", Parents: []string{"p"}, Attrs: map[string]any{"x": []any{"z"}}}, members: []int64{1}}
	with := func(u directory.User, g memberGroup) *mirror {
		return &mirror{users: []directory.User{u}, groups: []memberGroup{g}}
	}
	same := user
	same.Attrs = map[string]any{"x": []any{"z"}}
	same.Created = user.Created.UTC()
	if !sameUser(&user, &same) || !with(user, group).equal(with(same, group)) {
		t.Error("what is the same differs")
	}
	for name, other := range others(t, user) {
		fromGroups := name == "Superuser" || name == "Groups"
		if got := sameUser(&user, &other); got != fromGroups {
			t.Errorf("another %s of a user: the same: %v, want %v", name, got, fromGroups)
		}
		if with(user, group).equal(with(other, group)) {
			t.Errorf("another %s of a user: it is not served", name)
		}
	}
	for name, other := range others(t, group) {
		if sameGroups([]memberGroup{group}, []memberGroup{other}) || with(user, group).equal(with(user, other)) {
			t.Errorf("another %s of a group: it is not served", name)
		}
	}
}
