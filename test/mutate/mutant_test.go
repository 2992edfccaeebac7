package main

import (
	"go/format"
	"slices"
	"strings"
	"testing"
)

func TestMutants(t *testing.T) {
	tests := []struct {
		name, body string
		want       []string
	}{
		{"if", "if ok { f() }", []string{"ok → true", "ok → false", "f() → dropped"}},
		{"if with a comparison", "if a < b { return }", []string{"a < b → true", "a < b → false", "a < b → a <= b"}},
		{"if not", "if !ok { return }", []string{"!ok → true", "!ok → false"}},
		{"equality", "if a == b { return }", []string{"a == b → true", "a == b → false"}},
		{"loops are not made endless", "for a > b { a-- }", []string{"a > b → false", "a > b → a >= b"}},
		{"endless loop", "for { return }", nil},
		{"chain", "x = ok && !done && a != 1", []string{
			"ok && !done && a != 1 → ok && !done || a != 1", "ok && !done → ok || !done", "ok → true",
			"!done → true", "!done → done", "a != 1 → true", "a != 1 → a == 1",
		}},
		{"or", "x = ok || done", []string{"ok || done → ok && done", "ok → false", "done → false"}},
		{"mixed", "x = ok || done && late", []string{
			"ok || done && late → ok && done && late", "ok → false", "done && late → false",
			"done && late → done || late", "done → true", "late → true",
		}},
		{"comparison as a value", "x = a >= b", []string{"a >= b → a > b", "a >= b → a < b"}},
		{"literals", "x = true; s = T{On: false}; f(true)", []string{"true → false", "false → true", "f(true) → dropped", "true → false (2)"}},
		{"a field of that name", "s.true = 1", []string{"s.true = 1 → dropped"}},
		{"switch without a tag", "switch { case ok: case a > b: default: }", []string{
			"ok → true", "ok → false", "a > b → true", "a > b → false", "a > b → a >= b",
		}},
		{"switch", "switch a { case 1, 2: f(); case 3: }", []string{
			"case 1 → dropped", "case 2 → dropped", "f() → dropped", "case 3 → dropped",
		}},
		{"switch over types", "switch e.(type) { case int: case nil, error: }", []string{
			"case int → dropped", "case nil → dropped", "case error → dropped",
		}},
		{"assignments", "a = 1; s.f = 1; m[k] = 2; *p += 3; s.n++; a++; a, s.g = h()", []string{
			"s.f = 1 → dropped", "m[k] = 2 → dropped", "*p += 3 → dropped", "s.n++ → dropped", "s.g → _",
		}},
		{"calls", "s.mu.Lock(); s.put(k); delete(m, k); x = s.get(); defer s.mu.Unlock(); defer s.end(); go s.run()", []string{
			"s.put(k) → dropped", "delete(m, k) → dropped",
		}},
		{"fields of a literal", "x = T{A: a, On: true, C: c}; y = T{B: 1,\nD: 2,\n}; z = []int{1, 2}; m = M{\"a\": 1}", []string{
			"A: a → dropped", "true → false", "C: c → dropped", "B: 1 → dropped", "D: 2 → dropped",
		}},
		{"results", "return", nil},
		{"results of a literal", "_ = func() (int, bool) { return 1, s.ok() }", []string{"s.ok() → true", "s.ok() → false"}},
		{"as before, in one line", "if strings.HasPrefix(s,\n\"a\") {}", []string{`strings.HasPrefix(s, "a") → true`, `strings.HasPrefix(s, "a") → false`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := []byte("package p\n\nfunc (s *T) m() {\n" + tt.body + "\n}\n")
			found, err := mutants("p.go", src)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range found {
				got = append(got, m.what)
				if m.field != (tt.name == "fields of a literal" && !strings.HasPrefix(m.what, "true")) {
					t.Errorf("%s: field %v", m.what, m.field)
				}
				if m.in != "T.m" || m.line < 4 {
					t.Errorf("%s: in %q, line %d", m.what, m.in, m.line)
				}
				for i := range m.with {
					changed := m.apply(src, i)
					if string(changed) == string(src) {
						t.Errorf("%s: changes nothing", m.what)
					}
					if _, err := format.Source(changed); err != nil {
						t.Errorf("%s: %v\n%s", m.what, err, changed)
					}
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

// TestMutantsElsewhere has what is not in a body of a method.
func TestMutantsElsewhere(t *testing.T) {
	found, err := mutants("dir/p.go", []byte(`package p

var strict = true

func late(a, b int) bool { return a > b }

func both() (ok bool, err error) { return check() }
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range found {
		got = append(got, m.id())
	}
	want := []string{
		"dir/p.go: package: true → false",
		"dir/p.go: late: a > b → true", "dir/p.go: late: a > b → false",
		"dir/p.go: late: a > b → a >= b", "dir/p.go: late: a > b → a <= b",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	if _, err := mutants("p.go", []byte("package p; func {")); err == nil {
		t.Error("no error for what does not parse")
	}
}
