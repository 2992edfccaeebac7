// Package yamlfile reads YAML files strictly into Go structs. Whatever is
// wrong with a file comes back as one line that names the place and says what
// is allowed:
//
//	users.yaml:12: users[3].pasword: unknown key, allowed: username, password
//
// # Types
//
// Struct fields take the key in their `yaml:"name"` tag; a field without one
// is left alone. A field may be a bool, integer, float, string,
// time.Duration, encoding.TextUnmarshaler, struct, pointer, slice,
// map[string]T or any. A value in any becomes a string, bool, int64, float64,
// []byte (!!binary), []any, map[string]any or nil; a date stays the string it
// was written as.
//
// Nothing is converted: a number or a bool is no string until it is quoted. A
// key that is absent leaves its field as it was, so defaults are set before
// decoding. A key without a value counts as absent for structs, pointers,
// maps and lists without a default, and is an error elsewhere.
//
// # Positions
//
// What can only be checked after decoding is reported through [Pos]. A struct
// with a field of that type has it filled with its own place in the file:
//
//	type user struct {
//		yamlfile.Pos
//		Username string   `yaml:"username"`
//		Groups   []string `yaml:"groups"`
//	}
//
//	return u.Errorf("groups[1]", "no such group, the file has: %s", names)
//	// users.yaml:14: users[3].groups[1]: no such group, the file has: staff
//
// # Bounds
//
// Files above [MaxSize], more than [MaxValues] values, nesting below
// [MaxDepth], anchors, aliases, merge keys, several documents in one file and
// text that is not UTF-8 are refused. Errors never hold a value of the file,
// for it may be a secret; only its keys.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"ldapd/internal/atomicfile"
)

const (
	// MaxSize is the largest file that is read, in bytes.
	MaxSize = 64 << 20
	// MaxValues bounds the values and keys of a file, and with them the
	// memory that reading it takes (about 400 bytes each).
	MaxValues = 4 << 20
	// MaxDepth bounds the nesting of maps and lists.
	MaxDepth = 32
)

// Error is something wrong with a file.
type Error struct {
	File    string
	Line    int    // counted from 1
	Key     string // as in users[3].totp.secret; empty: the file as a whole
	Problem string // what is wrong and what is allowed, in one line
}

func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem)
	}
	return fmt.Sprintf("%s:%d: %s: %s", e.File, e.Line, e.Key, e.Problem)
}

// Read decodes the file at path into the struct that into points to. What is
// wrong with the content is an [*Error]; a file that cannot be read gives the
// error of package os.
func Read(path string, into any) error {
	data, err := atomicfile.Read(path, MaxSize)
	if err != nil {
		return err
	}
	return Decode(path, data, into)
}

// Decode decodes data into the struct that into points to. The name stands
// for the file in errors. After an error the struct holds what came before it.
func Decode(name string, data []byte, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("yamlfile: decode into %T, want a pointer to a struct", into)
	}
	if err := inspect(name, data); err != nil {
		return err
	}
	root, err := parse(name, data)
	if err != nil {
		return err
	}
	d := &decoder{file: name, types: map[reflect.Type]*fields{}}
	if err := d.sane(root, 0); err != nil {
		return err
	}
	return d.value(root, v.Elem())
}

// inspect refuses what the parser must not see: it does not bound its memory,
// and says no line for characters that it cannot read.
func inspect(name string, data []byte) error {
	if len(data) > MaxSize {
		return &Error{File: name, Line: 1, Problem: fmt.Sprintf("larger than %d MiB", MaxSize>>20)}
	}
	line, values := 1, 1
	for i := 0; i < len(data); {
		c := data[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '\n':
				line++
			case c == ',' || c == '[' || c == '{' || c == '?':
				values++
			case c == ':':
				values += 2
			case c == '-' && (i == len(data) || data[i] <= ' '):
				values++
			case c < ' ' && c != '\t' && c != '\r', c == 0x7f:
				return &Error{File: name, Line: line, Problem: fmt.Sprintf("control character %#02x is not allowed", c)}
			}
			continue
		}
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return &Error{File: name, Line: line, Problem: "not UTF-8 text"}
		}
		if r < 0xa0 && r != 0x85 || r == 0xfeff && i > 0 || r == 0xfffe || r == 0xffff {
			return &Error{File: name, Line: line, Problem: fmt.Sprintf("character %U is not allowed", r)}
		}
		i += n
	}
	if values > MaxValues {
		return &Error{File: name, Line: 1, Problem: fmt.Sprintf("more than %d values", MaxValues)}
	}
	return nil
}

// parse returns the root of the one document in data, nil for an empty file.
func parse(name string, data []byte) (*yaml.Node, error) {
	root, next, err := documents(data)
	if err != nil {
		return nil, syntaxError(name, data, err)
	}
	if next != nil {
		return nil, &Error{File: name, Line: next.Line, Problem: "a second document, a file holds one"}
	}
	return root, nil
}

// documents returns the first document of data, and the second if it has one.
func documents(data []byte) (first, second *yaml.Node, err error) {
	// The parser's own bugs surface as panics, and its input is not ours.
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("yaml: cannot be read")
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var docs [2]*yaml.Node
	for i := range docs {
		var n yaml.Node
		if err := dec.Decode(&n); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, err
		}
		docs[i] = &n
	}
	if docs[0] != nil {
		docs[0] = docs[0].Content[0]
	}
	return docs[0], docs[1], nil
}

var lineInError = regexp.MustCompile(`^line (\d+): `)

// syntaxError turns an error of the parser into ours.
func syntaxError(name string, data []byte, err error) error {
	line, problem := splitLine(err)
	switch problem {
	case "did not find expected key", "did not find expected '-' indicator":
		// The parser names the start of the whole block, which may be
		// most of the file. Blocks end well at any line, so the first
		// line with which the error appears is the place of it.
		if len(data) <= 4<<20 {
			line = firstLine(data, problem)
		}
	case "did not find expected ',' or ']'", "did not find expected ',' or '}'",
		"did not find expected node content", "did not find expected <document start>":
		line++ // these are counted from 0
	}
	return &Error{File: name, Line: max(line, 1), Problem: "not valid YAML: " + problem}
}

func splitLine(err error) (line int, problem string) {
	problem = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := lineInError.FindStringSubmatch(problem); m != nil {
		line, _ = strconv.Atoi(m[1]) // too long for an int: no line
		problem = problem[len(m[0]):]
	}
	return line, problem
}

// firstLine finds the smallest number of lines that gives the problem.
func firstLine(data []byte, problem string) int {
	var ends []int
	for i, c := range data {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	ends = append(ends, len(data))
	lo, hi := 0, len(ends)-1
	for lo < hi {
		mid := (lo + hi) / 2
		_, _, err := documents(data[:ends[mid]])
		if err != nil {
			if _, p := splitLine(err); p == problem {
				hi = mid
				continue
			}
		}
		lo = mid + 1
	}
	return lo + 1
}
