package yamlfile

import (
	"errors"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

type address struct {
	Pos
	Port int `yaml:"port"`
}

type person struct {
	Pos
	Name  string         `yaml:"name"`
	Age   uint8          `yaml:"age"`
	Score float64        `yaml:"score"`
	Admin bool           `yaml:"admin"`
	Tags  []string       `yaml:"tags"`
	Addr  *address       `yaml:"addr"`
	Attrs map[string]any `yaml:"attrs"`
}

type document struct {
	Pos
	People []person         `yaml:"people"`
	Wait   time.Duration    `yaml:"wait"`
	Nets   []netip.Prefix   `yaml:"nets"`
	Ports  map[string]int16 `yaml:"ports"`
	List   []string         `yaml:"list"`
	Any    any              `yaml:"any"`
	Not    int
	NotToo int `yaml:"-"`
}

func decode(t *testing.T, text string) document {
	t.Helper()
	var d document
	if err := Decode("f.yaml", []byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDecode(t *testing.T) {
	d := decode(t, `
people:
  - name: Alice Liddell
    age: 0x1F
    score: 2
    admin: true
    tags: [a, "1", 'true', ""]
    addr: {port: 1_000}
    attrs:
      quota: 5 GB
      n: -7
      f: 1.5
      b: false
      nothing: ~
      day: 2024-01-02
      raw: !!binary aGVs
        bG8=
      list: [1, [two], {three: 3.0}]
  - {name: bob, tags: , addr: , attrs: }
wait: 90s
nets: [10.0.0.0/8, "::1/128"]
ports: {a: 1, "2": -2}
`)
	a := d.People[0]
	if a.Name != "Alice Liddell" || a.Age != 31 || a.Score != 2 || !a.Admin || a.Addr.Port != 1000 {
		t.Errorf("first person: %+v", a)
	}
	if want := []string{"a", "1", "true", ""}; !reflect.DeepEqual(a.Tags, want) {
		t.Errorf("tags %q, want %q", a.Tags, want)
	}
	want := map[string]any{
		"quota": "5 GB", "n": int64(-7), "f": 1.5, "b": false, "nothing": nil, "day": "2024-01-02",
		"raw":  []byte("hello"),
		"list": []any{int64(1), []any{"two"}, map[string]any{"three": 3.0}},
	}
	if !reflect.DeepEqual(a.Attrs, want) {
		t.Errorf("attrs\n %#v, want\n %#v", a.Attrs, want)
	}
	if b := d.People[1]; b.Name != "bob" || b.Tags != nil || b.Addr != nil || b.Attrs != nil {
		t.Errorf("second person: %+v", b)
	}
	if d.Wait != 90*time.Second || len(d.Nets) != 2 || d.Nets[1].String() != "::1/128" {
		t.Errorf("wait %v, nets %v", d.Wait, d.Nets)
	}
	if d.Ports["a"] != 1 || d.Ports["2"] != -2 {
		t.Errorf("ports %v", d.Ports)
	}
}

func TestAbsentKeysKeepDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "people:\n"} {
		d := document{Wait: time.Minute, List: []string{"x"}}
		if err := Decode("f.yaml", []byte(text), &d); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if d.Wait != time.Minute || len(d.List) != 1 {
			t.Errorf("%q changed a default: %+v", text, d)
		}
	}
}

func TestErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", "wait: 1s\npeople:\n - nmae: x\n",
			"f.yaml:3: people[0].nmae: unknown key, allowed: name, age, score, admin, tags, addr, attrs"},
		{"unknown key at the top", "Wait: 1s",
			"f.yaml:1: Wait: unknown key, allowed: people, wait, nets, ports, list, any"},
		{"field without a tag", "Not: 1", "f.yaml:1: Not: unknown key, allowed: people, wait, nets, ports, list, any"},
		{"odd key", "\"a.b\\nc\": 1", `f.yaml:1: "a.b\nc": unknown key, allowed: people, wait, nets, ports, list, any`},
		{"number for string", "people: [{name: 5}]", "f.yaml:1: people[0].name: is a whole number, must be a string: write it in quotes"},
		{"bool for string", "people: [{name: true}]", "f.yaml:1: people[0].name: is a bool, must be a string: write it in quotes"},
		{"date for string", "people: [{name: 2024-01-01}]", "f.yaml:1: people[0].name: is a date, must be a string: write it in quotes"},
		{"list for string", "people:\n- name: [a]", "f.yaml:2: people[0].name: is a list, must be a string"},
		{"tagged for string", "people: [{name: !x a}]", "f.yaml:1: people[0].name: is of tag !x, must be a string"},
		{"nothing for string", "people: [{name: }]", "f.yaml:1: people[0].name: no value, must be a string"},
		{"nothing for a list with a default", "list:\n", "f.yaml:1: list: no value, write [] for an empty list"},
		{"string for number", "people: [{age: x}]", "f.yaml:1: people[0].age: is a string, must be a whole number from 0 to 255"},
		{"quoted number", "people: [{age: '3'}]", "f.yaml:1: people[0].age: is a string, must be a whole number from 0 to 255"},
		{"tagged as number", "people: [{age: !!int secret}]", "f.yaml:1: people[0].age: must be a whole number from 0 to 255"},
		{"fraction for number", "people: [{age: 1.5}]", "f.yaml:1: people[0].age: is a number, must be a whole number from 0 to 255"},
		{"number too large", "people: [{age: 256}]", "f.yaml:1: people[0].age: must be a whole number from 0 to 255"},
		{"number too small", "ports: {a: -32769}", "f.yaml:1: ports.a: must be a whole number from -32768 to 32767"},
		{"string for bool", "people: [{admin: yes}]", "f.yaml:1: people[0].admin: is a string, must be true or false"},
		{"infinite", "people: [{score: .inf}]", "f.yaml:1: people[0].score: must be a number"},
		{"infinite in any", "any: -.inf", "f.yaml:1: any: must be a number"},
		{"number too large in any", "any: 9223372036854775808", "f.yaml:1: any: must be a whole number of at most 64 bits"},
		{"tag in any", "any: !ruby/object x", "f.yaml:1: any: the tag !ruby/object is not allowed"},
		{"set in any", "any: !!set {a: }", "f.yaml:1: any: is of tag !!set, must be a map"},
		{"bad base64", "any: !!binary '???'", "f.yaml:1: any: must be base64"},
		{"duration", "wait: soon", "f.yaml:1: wait: must be a duration such as 15s, 10m or 1h30m"},
		{"duration without unit", "wait: 15", "f.yaml:1: wait: must be a duration such as 15s, 10m or 1h30m"},
		{"text", "nets:\n  - 10.0.0.0/8\n  - 10.0.0.1\n", `f.yaml:3: nets[1]: netip.ParsePrefix("10.0.0.1"): no '/'`},
		{"map for list", "people: {name: x}", "f.yaml:1: people: is a map, must be a list: [a, b]"},
		{"string for map", "people: [x]", "f.yaml:1: people[0]: is a string, must be a map"},
		{"list at the top", "- a", "f.yaml:1: is a list, must be a map"},
		{"duplicate key", "wait: 1s\nlist: []\nwait: 2s\n", "f.yaml:3: wait: the key is already on line 1"},
		{"duplicate key in any", "any:\n  a: 1\n  'a': 2\n", "f.yaml:3: any.a: the key is already on line 2"},
		{"number as key", "any: {1: x}", "f.yaml:1: any.1: the key is a whole number, must be a string: write it in quotes"},
		{"list as key", "any: {[a]: x}", "f.yaml:1: any: a key is a list, must be a string"},
		{"anchor", "list: &a [x]", "f.yaml:1: list: anchors (&name) are not allowed, write the value out where it is needed"},
		{"alias", "list: &a [x]\nany: *a", "f.yaml:1: list: anchors (&name) are not allowed, write the value out where it is needed"},
		{"unknown alias", "any: *a", "f.yaml:1: not valid YAML: unknown anchor 'a' referenced"},
		{"merge key", "any:\n  <<: {a: 1}", "f.yaml:2: any.<<: merge keys are not allowed, write the keys out"},
		{"two documents", "wait: 1s\n---\nwait: 2s\n", "f.yaml:2: a second document, a file holds one"},
		{"not UTF-8", "wait: 1s\nlist: [\xff]", "f.yaml:2: not UTF-8 text"},
		{"UTF-16", "\xff\xfea\x00", "f.yaml:1: not UTF-8 text"},
		{"control character", "wait: 1s\n\nlist: [\x00]", "f.yaml:3: control character 0x00 is not allowed"},
		{"C1 control character", "list: [\u009b]", "f.yaml:1: character U+009B is not allowed"},
		{"bad indentation", "people:\n  - name: a\n    age: 1\n  - name: b\n   age: 2\n  - name: c\n",
			"f.yaml:5: not valid YAML: did not find expected '-' indicator"},
		{"bad indentation of a key", "wait: 1s\nlist: []\n any: 3\n", "f.yaml:3: not valid YAML: did not find expected key"},
		{"dash missing", "list:\n- a\nb\n", "f.yaml:3: not valid YAML: could not find expected ':'"},
		{"open list", "wait: 1s\nlist: [a,\n", "f.yaml:3: not valid YAML: did not find expected node content"},
		{"open map", "wait: 1s\nports: {a: 1\n", "f.yaml:2: not valid YAML: did not find expected ',' or '}'"},
		{"tab", "ports:\n\ta: 1\n", "f.yaml:2: not valid YAML: found character that cannot start any token"},
		{"too deep", "any: " + strings.Repeat("[", 40) + strings.Repeat("]", 40),
			"f.yaml:1: any" + strings.Repeat("[0]", 32) + ": nested deeper than 32 levels"},
		{"much too deep", "any: " + strings.Repeat("[", 20000), "f.yaml:1: not valid YAML: exceeded max depth of 10000"},
		{"too many values", "list: [" + strings.Repeat(",", MaxValues) + "]", "f.yaml:1: more than 4194304 values"},
		{"too large", strings.Repeat(" ", MaxSize+1), "f.yaml:1: larger than 64 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := document{List: []string{"default"}}
			err := Decode("f.yaml", []byte(tt.text), &d)
			if err == nil {
				t.Fatalf("no error, want %s", tt.want)
			}
			if err.Error() != tt.want {
				t.Errorf("got\n %s, want\n %s", err, tt.want)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%T, want *Error", err)
			}
		})
	}
}

func TestPos(t *testing.T) {
	d := decode(t, `
people:
  - name: a

  - tags:
      - x
      - y
    attrs: {k: {l: [1]}}
    addr:
      port: 1
`)
	b := d.People[1]
	tests := []struct {
		pos  Pos
		key  string
		want string
		has  bool
	}{
		{b.Pos, "name", "f.yaml:5: people[1].name: bad", false},
		{b.Pos, "", "f.yaml:5: people[1]: bad", true},
		{b.Pos, "tags", "f.yaml:5: people[1].tags: bad", true},
		{b.Pos, "tags[1]", "f.yaml:7: people[1].tags[1]: bad", true},
		{b.Pos, "tags[2]", "f.yaml:5: people[1].tags[2]: bad", false},
		{b.Pos, "tags[x]", "f.yaml:5: people[1].tags[x]: bad", false},
		{b.Pos, "tags[", "f.yaml:5: people[1].tags[: bad", false},
		{b.Pos, "attrs.k.l[0]", "f.yaml:8: people[1].attrs.k.l[0]: bad", true},
		{b.Pos, "attrs.m.l", "f.yaml:8: people[1].attrs.m.l: bad", false},
		{b.Addr.Pos, "port", "f.yaml:10: people[1].addr.port: bad", true},
		{d.Pos, "people[1].addr.port", "f.yaml:10: people[1].addr.port: bad", true},
		{d.Pos, "wait", "f.yaml:2: wait: bad", false},
		{d.Pos, "", "f.yaml:2: bad", true},
		{decode(t, "").Pos, "wait", "f.yaml:1: wait: bad", false},
	}
	for _, tt := range tests {
		if got := tt.pos.Errorf(tt.key, "b%s", "ad").Error(); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.key, got, tt.want)
		}
		if got := tt.pos.Has(tt.key); got != tt.has {
			t.Errorf("Has(%q) = %v", tt.key, got)
		}
	}
	var zero Pos
	if zero.Has("") || zero.Line("x") != 1 {
		t.Error("the zero Pos has a place")
	}
}

func TestPosOfNullStruct(t *testing.T) {
	var d struct {
		Addr address `yaml:"addr"`
	}
	if err := Decode("f.yaml", []byte("\naddr:\n"), &d); err != nil {
		t.Fatal(err)
	}
	if got, want := d.Addr.Errorf("port", "missing").Error(), "f.yaml:2: addr.port: missing"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSetText(t *testing.T) {
	var (
		s   string
		b   bool
		d   time.Duration
		i   int
		u   uint16
		f   float64
		net netip.Prefix
	)
	for _, tt := range []struct {
		ptr  any
		text string
		want any
	}{
		{&s, "5", "5"}, {&b, "true", true}, {&d, "1m", time.Minute}, {&i, "-3", -3},
		{&u, "0x10", uint16(16)}, {&f, "1e3", 1000.0}, {&net, "10.0.0.0/8", netip.MustParsePrefix("10.0.0.0/8")},
	} {
		if err := SetText(tt.ptr, tt.text); err != nil {
			t.Errorf("%T from %q: %v", tt.ptr, tt.text, err)
		}
		if got := reflect.ValueOf(tt.ptr).Elem().Interface(); got != tt.want {
			t.Errorf("%T from %q: got %v", tt.ptr, tt.text, got)
		}
	}
	for _, tt := range []struct {
		ptr        any
		text, want string
	}{
		{&b, "1", "must be true or false"},
		{&d, "", "must be a duration such as 15s, 10m or 1h30m"},
		{&i, "x", "must be a whole number of at most 64 bits"},
		{&u, "65536", "must be a whole number from 0 to 65535"},
		{&f, "NaN", "must be a number"},
		{&f, "1e999", "must be a number"},
		{i, "1", "yamlfile: the Go type int cannot be set from text"},
		{nil, "1", "yamlfile: the Go type <nil> cannot be set from text"},
		{&[]string{}, "1", "yamlfile: the Go type *[]string cannot be set from text"},
	} {
		err := SetText(tt.ptr, tt.text)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%T from %q: got %v, want %s", tt.ptr, tt.text, err, tt.want)
		}
	}
	if math.IsNaN(f) {
		t.Error("a refused text was stored")
	}
}

func TestBadTargets(t *testing.T) {
	var ch struct {
		C chan int    `yaml:"c"`
		M map[int]int `yaml:"m"`
	}
	for _, tt := range []struct {
		into any
		text string
	}{{nil, ""}, {document{}, ""}, {new(int), "1"}, {&ch, "c: 1"}, {&ch, "m: {a: 1}"}} {
		if err := Decode("f.yaml", []byte(tt.text), tt.into); err == nil || !strings.Contains(err.Error(), "yamlfile: ") {
			t.Errorf("%T: got %v", tt.into, err)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.yaml")
	if err := os.WriteFile(path, []byte("wait: 1x"), 0o600); err != nil {
		t.Fatal(err)
	}
	var d document
	if err := Read(path, &d); err == nil || err.Error() != path+":1: wait: must be a duration such as 15s, 10m or 1h30m" {
		t.Errorf("got %v", err)
	}
	if err := Read(filepath.Join(dir, "none"), &d); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir, pipe} {
		if err := Read(p, &d); err == nil || err.Error() != p+": not a regular file" {
			t.Errorf("got %v", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"people:\n  - {name: a, age: 1, attrs: {a: [1, 2.5, ~, true, !!binary aGk=]}}\n",
		"wait: 1s\nnets: [10.0.0.0/8]\nports: {a: 1}\n", "any: &a [*a]", "a: b: c", "? [a]\n: b\n", "--- |\n x\n...\n",
		"\ufeffany: \"\\x41\\u263a\"", "<<: {a: 1}", "%TAG ! tag:x,2000:\n--- !a {}\n", "- a\n - b\n- c",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d document
		err := Decode("f.yaml", data, &d)
		if err == nil {
			if d.Errorf("people[0].name", "x") == nil || d.Line("any") < 1 {
				t.Error("position lost")
			}
			return
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		if lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") +
			strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + 2; e.Line < 1 || e.Line > lines {
			t.Errorf("line %d of %d", e.Line, lines)
		}
		if strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Errorf("more than one line: %q", err)
		}
	})
}
