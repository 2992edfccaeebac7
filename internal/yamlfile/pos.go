package yamlfile

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Pos is the place of a struct in a file; see the package documentation. It
// keeps the parsed file in memory, so drop it once the content is checked.
// The zero Pos belongs to no file.
type Pos struct {
	file string
	path string
	node *yaml.Node // nil: the file is empty
}

// Errorf returns an [*Error] at key, which is relative to the struct
// ("password", "groups[1]", "totp.secret"; empty: the struct itself). If the
// file does not have the key, the line is that of the nearest one around it.
func (p Pos) Errorf(key, format string, args ...any) error {
	path := p.path
	if path != "" && key != "" && key[0] != '[' {
		path += "."
	}
	line, _ := p.find(key)
	return &Error{File: p.file, Line: line, Key: path + key, Problem: fmt.Sprintf(format, args...)}
}

// Line returns the line of key as Errorf would, counted from 1.
func (p Pos) Line(key string) int {
	line, _ := p.find(key)
	return line
}

// Has reports whether the file has the key.
func (p Pos) Has(key string) bool {
	_, ok := p.find(key)
	return ok
}

func (p Pos) find(key string) (line int, ok bool) {
	n := p.node
	if n == nil {
		return 1, key == "" && p.file != ""
	}
	line = n.Line
	for key != "" {
		var name string
		if key[0] == '[' {
			index, rest, _ := strings.Cut(key[1:], "]")
			key = strings.TrimPrefix(rest, ".")
			i, err := strconv.Atoi(index)
			if err != nil || n.Kind != yaml.SequenceNode || i < 0 || i >= len(n.Content) {
				return line, false
			}
			n = n.Content[i]
			line = n.Line
			continue
		}
		if i := strings.IndexAny(key, ".["); i >= 0 {
			name, key = key[:i], strings.TrimPrefix(key[i:], ".")
		} else {
			name, key = key, ""
		}
		k, v := lookup(n, name)
		if k == nil {
			return line, false
		}
		n, line = v, k.Line
	}
	return line, true
}

func lookup(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i], n.Content[i+1]
			}
		}
	}
	return nil, nil
}
