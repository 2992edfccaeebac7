package docs_test

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// keys returns what ldapd.example.yaml has, with the defaults.
func keys(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	var within []string
	line := regexp.MustCompile(`^( *)([a-z_]+):(?: +([^#]*))?`)
	for _, l := range strings.Split(read(t, "ldapd.example.yaml"), "\n") {
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		within = append(within[:len(m[1])/2], m[2])
		all[strings.Join(within, ".")] = strings.Trim(strings.TrimSpace(m[3]), `"`)
	}
	return all
}

var key = regexp.MustCompile("`([a-z_]+(?:\\.[a-z_]+)+)(?::[^`]*)?`")

// files have names as keys could have.
var files = []string{"authentik.snapshot", "tls.crt", "tls.pem", "unlock.pem"}

// TestKeys: a key of the configuration that a document names exists.
func TestKeys(t *testing.T) {
	all := keys(t)
	top := map[string]bool{}
	for k := range all {
		first, _, nested := strings.Cut(k, ".")
		top[first] = top[first] || nested
	}
	named := 0
	for path, text := range pages(t) {
		for _, m := range key.FindAllStringSubmatch(text, -1) {
			first, _, _ := strings.Cut(m[1], ".")
			if !top[first] || slices.Contains(files, m[1]) || strings.HasSuffix(m[1], ".go") {
				continue
			}
			named++
			if _, ok := all[m[1]]; !ok {
				t.Errorf("%s names %s, which is no key", path, m[1])
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d keys were found in the documents", named)
	}
}

// TestDefaults holds the table of docs/verified-binds.md to the defaults.
func TestDefaults(t *testing.T) {
	all := keys(t)
	rows := regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| `?([^|`]*)`? \\|").FindAllStringSubmatch(section(t, read(t, "docs/verified-binds.md"), "The keys"), -1)
	if len(rows) < 7 {
		t.Fatalf("only %d rows were found", len(rows))
	}
	for _, row := range rows {
		is, says := strings.Trim(all[row[1]], "[]"), strings.TrimSpace(row[2])
		if says == "none" {
			says = ""
		}
		if is != says {
			t.Errorf("docs/verified-binds.md says that %s is %q; it is %q", row[1], says, is)
		}
	}
}

var command = regexp.MustCompile("(?:`|bin/)ldapd ([a-z]+)\\b")

// TestCommands: a command of ldapd that a document names exists.
func TestCommands(t *testing.T) {
	known := map[string]bool{}
	sources(t, false, func(dir string, file *ast.File) {
		if dir != "ldapd" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok || fmt.Sprint(kv.Key) != "Use" {
				return true
			}
			if lit, ok := kv.Value.(*ast.BasicLit); ok {
				name, _, _ := strings.Cut(strings.Trim(lit.Value, `"`), " ")
				known[name] = true
			}
			return true
		})
	})
	for path, text := range pages(t) {
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			if !known[m[1]] {
				t.Errorf("%s names ldapd %s, which is no command", path, m[1])
			}
		}
	}
}
