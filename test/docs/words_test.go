package docs_test

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var firstCell = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")

// words returns the first cells of a section's tables.
func words(section string) (all []string) {
	for _, m := range firstCell.FindAllStringSubmatch(section, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return all
}

// constants returns the texts of the constants of a type, whose name is one in
// the whole program.
func constants(t *testing.T, name string) (all []string) {
	t.Helper()
	sources(t, false, func(_ string, file *ast.File) {
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				s := spec.(*ast.ValueSpec)
				is := s.Type
				if qualified, ok := is.(*ast.SelectorExpr); ok {
					is = qualified.Sel
				}
				if id, ok := is.(*ast.Ident); !ok || id.Name != name {
					continue
				}
				for _, v := range s.Values {
					lit, ok := v.(*ast.BasicLit)
					if !ok || lit.Kind != token.STRING {
						continue
					}
					text, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Error(err)
					}
					all = append(all, text)
				}
			}
		}
	})
	slices.Sort(all)
	return all
}

// TestWords holds the glossary to the words of log and metrics.
func TestWords(t *testing.T) {
	glossary := read(t, "docs/glossary.md")
	for heading, kind := range map[string]string{
		"Outcomes": "Outcome", "Reasons": "Reason", "Sources": "Source", "Factors": "Factor", "Ways": "Way", "Scopes": "Scope",
	} {
		in, is := words(section(t, glossary, heading)), constants(t, kind)
		if len(is) == 0 {
			t.Errorf("no constants of type %s were found", kind)
		}
		for _, w := range is {
			if !slices.Contains(in, w) {
				t.Errorf("docs/glossary.md, %s, lacks %q", heading, w)
			}
		}
		for _, w := range in {
			if !slices.Contains(is, w) {
				t.Errorf("docs/glossary.md, %s, has %q, which is no %s", heading, w, kind)
			}
		}
	}
}

// TestOneEntryForAWord: a word that is explained twice has two meanings.
func TestOneEntryForAWord(t *testing.T) {
	seen := map[string]bool{}
	text, _, _ := strings.Cut(read(t, "docs/glossary.md"), "\n## Outcomes\n")
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z ]+) \|`).FindAllStringSubmatch(text, -1) {
		if w := m[1]; w != "word" && seen[w] {
			t.Errorf("%q is explained twice", w)
		} else {
			seen[w] = true
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d words were found", len(seen))
	}
}

var metric = regexp.MustCompile(`\bldapd_[a-z_]*[a-z]`)

// TestMetrics: a metric that a document names exists.
func TestMetrics(t *testing.T) {
	known := map[string]bool{}
	sources(t, false, func(_ string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if name := strings.Trim(lit.Value, `"`); metric.FindString(name) == name {
					known[name] = true
				}
			}
			return true
		})
	})
	if len(known) < 20 {
		t.Fatalf("only %d metrics were found", len(known))
	}
	named := 0
	for path, text := range pages(t) {
		for _, name := range metric.FindAllString(text, -1) {
			named++
			if !known[name] {
				t.Errorf("%s names %s, which is no metric", path, name)
			}
		}
	}
	if named == 0 {
		t.Error("no document names a metric")
	}
}
