package yamlfile

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

var posType = reflect.TypeFor[Pos]()

type decoder struct {
	file  string
	path  []string // "users", "[3]", "password"
	types map[reflect.Type]*fields
}

// fields is what a struct type takes from a map.
type fields struct {
	index map[string]int
	names []string // in the order of declaration
	pos   int      // field of type Pos, -1: none
}

func (d *decoder) fields(t reflect.Type) *fields {
	if f := d.types[t]; f != nil {
		return f
	}
	f := &fields{index: map[string]int{}, pos: -1}
	for i := range t.NumField() {
		sf := t.Field(i)
		name := sf.Tag.Get("yaml")
		switch {
		case !sf.IsExported():
		case sf.Type == posType:
			f.pos = i
		case name != "" && name != "-":
			f.index[name] = i
			f.names = append(f.names, name)
		}
	}
	d.types[t] = f
	return f
}

func (d *decoder) errorf(n *yaml.Node, format string, args ...any) error {
	return &Error{File: d.file, Line: n.Line, Key: d.key(), Problem: fmt.Sprintf(format, args...)}
}

func (d *decoder) key() string {
	var b strings.Builder
	for i, s := range d.path {
		if i > 0 && s[0] != '[' {
			b.WriteByte('.')
		}
		b.WriteString(s)
	}
	return b.String()
}

func (d *decoder) push(segment string) { d.path = append(d.path, segment) }
func (d *decoder) pop()                { d.path = d.path[:len(d.path)-1] }

// sane checks the tree as a whole, so that what follows may walk it freely.
func (d *decoder) sane(n *yaml.Node, depth int) error {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.AliasNode:
		return d.errorf(n, "aliases (*name) are not allowed, write the value out")
	case n.Anchor != "":
		return d.errorf(n, "anchors (&name) are not allowed, write the value out where it is needed")
	case depth > MaxDepth:
		return d.errorf(n, "nested deeper than %d levels", MaxDepth)
	}
	for i, c := range n.Content {
		pushed := true
		switch {
		case n.Kind == yaml.SequenceNode:
			d.push("[" + strconv.Itoa(i) + "]")
		case i%2 == 1:
			d.push(segment(n.Content[i-1].Value))
		default:
			pushed = false
		}
		if err := d.sane(c, depth+1); err != nil {
			return err
		}
		if pushed {
			d.pop()
		}
	}
	return nil
}

// value stores n in v.
func (d *decoder) value(n *yaml.Node, v reflect.Value) error {
	if n == nil || isNull(n) {
		return d.null(n, v)
	}
	if isScalar(v) {
		return d.scalar(n, v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		return d.value(n, p.Elem())
	case reflect.Struct:
		return d.structure(n, v)
	case reflect.Slice:
		return d.list(n, v)
	case reflect.Map:
		return d.dict(n, v)
	case reflect.Interface:
		if v.NumMethod() == 0 {
			x, err := d.free(n)
			if err == nil && x != nil {
				v.Set(reflect.ValueOf(x))
			}
			return err
		}
	}
	return fmt.Errorf("yamlfile: %s: the Go type %s cannot be decoded into", d.key(), v.Type())
}

// null stores the absence of a value; n is nil for an empty file.
func (d *decoder) null(n *yaml.Node, v reflect.Value) error {
	switch {
	case isScalar(v):
		return d.errorf(n, `no value, %s`, wanted(v))
	case v.Kind() == reflect.Struct:
		return d.structure(n, v)
	case v.Kind() == reflect.Slice && v.Len() > 0:
		return d.errorf(n, "no value, write [] for an empty list")
	}
	return nil
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value) error {
	if n.Kind != yaml.ScalarNode {
		return d.errorf(n, "is %s, %s", kind(n), wanted(v))
	}
	if !takes(v, n.ShortTag()) {
		hint := ""
		if v.Kind() == reflect.String && plain(n) {
			hint = ": write it in quotes"
		}
		return d.errorf(n, "is %s, %s%s", kind(n), wanted(v), hint)
	}
	text := n.Value
	if n.ShortTag() == "!!int" || n.ShortTag() == "!!float" {
		text = strings.ReplaceAll(text, "_", "")
	}
	if err := SetText(v.Addr().Interface(), text); err != nil {
		return d.errorf(n, "%s", oneLine(err.Error()))
	}
	return nil
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value) error {
	f := d.fields(v.Type())
	if f.pos >= 0 {
		v.Field(f.pos).Set(reflect.ValueOf(Pos{file: d.file, path: d.key(), node: n}))
	}
	if n == nil || isNull(n) {
		return nil
	}
	return d.pairs(n, func(key string, k, c *yaml.Node) error {
		i, ok := f.index[key]
		if !ok {
			return d.errorf(k, "unknown key, allowed: %s", strings.Join(f.names, ", "))
		}
		return d.value(c, v.Field(i))
	})
}

// pairs calls fn for each key of a map, with the path standing at the key.
func (d *decoder) pairs(n *yaml.Node, fn func(key string, k, c *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode || n.Tag != "!!map" {
		return d.errorf(n, "is %s, must be a map", kind(n))
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode {
			return d.errorf(k, "a key is %s, must be a string", kind(k))
		}
		d.push(segment(k.Value))
		switch {
		case k.ShortTag() == "!!merge":
			return d.errorf(k, "merge keys are not allowed, write the keys out")
		case k.ShortTag() != "!!str":
			return d.errorf(k, "the key is %s, must be a string: write it in quotes", kind(k))
		case seen[k.Value] > 0:
			return d.errorf(k, "the key is already on line %d", seen[k.Value])
		}
		seen[k.Value] = k.Line
		if err := fn(k.Value, k, n.Content[i+1]); err != nil {
			return err
		}
		d.pop()
	}
	return nil
}

func (d *decoder) list(n *yaml.Node, v reflect.Value) error {
	if n.Kind != yaml.SequenceNode || n.Tag != "!!seq" {
		return d.errorf(n, "is %s, must be a list: [a, b]", kind(n))
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.push("[" + strconv.Itoa(i) + "]")
		if err := d.value(c, s.Index(i)); err != nil {
			return err
		}
		d.pop()
	}
	v.Set(s)
	return nil
}

func (d *decoder) dict(n *yaml.Node, v reflect.Value) error {
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		return fmt.Errorf("yamlfile: %s: the Go type %s cannot be decoded into", d.key(), t)
	}
	m := reflect.MakeMapWithSize(t, len(n.Content)/2)
	err := d.pairs(n, func(key string, _, c *yaml.Node) error {
		e := reflect.New(t.Elem()).Elem()
		if err := d.value(c, e); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(key).Convert(t.Key()), e)
		return nil
	})
	if err != nil {
		return err
	}
	v.Set(m)
	return nil
}

// free returns a value of no declared type.
func (d *decoder) free(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		var m map[string]any
		err := d.dict(n, reflect.ValueOf(&m).Elem())
		return m, err
	case yaml.SequenceNode:
		var l []any
		err := d.list(n, reflect.ValueOf(&l).Elem())
		return l, err
	}
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value, nil
	case "!!bool":
		var b bool
		err := d.scalar(n, reflect.ValueOf(&b).Elem())
		return b, err
	case "!!int":
		var i int64
		err := d.scalar(n, reflect.ValueOf(&i).Elem())
		return i, err
	case "!!float":
		var f float64
		err := d.scalar(n, reflect.ValueOf(&f).Elem())
		return f, err
	case "!!binary":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
		if err != nil {
			return nil, d.errorf(n, "must be base64")
		}
		return b, nil
	}
	return nil, d.errorf(n, "the tag %s is not allowed", segment(n.Tag))
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// plain reports that quotes would make a string of the scalar.
func plain(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0
}

// kind names what the file has, for errors.
func kind(n *yaml.Node) string {
	switch n.ShortTag() {
	case "!!map":
		return "a map"
	case "!!seq":
		return "a list"
	case "!!str":
		return "a string"
	case "!!int":
		return "a whole number"
	case "!!float":
		return "a number"
	case "!!bool":
		return "a bool"
	case "!!timestamp":
		return "a date"
	case "!!null":
		return "empty"
	case "!!binary":
		return "binary"
	}
	return "of tag " + segment(n.Tag)
}

// segment returns a key fit for the path in an error: short, on one line, and
// not to be mistaken for two.
func segment(key string) string {
	const most = 64
	odd := func(r rune) bool {
		return !unicode.IsPrint(r) || slices.Contains([]rune(`.[]":`), r) || r == ' '
	}
	if len(key) > most {
		return strconv.Quote(strings.ToValidUTF8(key[:most], "")) + "..."
	}
	if key == "" || strings.ContainsFunc(key, odd) {
		return strconv.Quote(key)
	}
	return key
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
