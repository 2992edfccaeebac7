package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// mutant is one change of one file.
type mutant struct {
	file string // as it was given to mutants
	line int
	in   string // the function or method, "" outside of any
	what string // "before → after" in one line, with a number if in has it more than once

	field bool // leaves a field out of a literal

	start, end int      // what is replaced, as offsets
	with       []string // replacements, of which the first that compiles is meant
}

// id names a mutant without its line, so that it stays while code above changes.
func (m mutant) id() string { return m.file + ": " + cmp.Or(m.in, "package") + ": " + m.what }

// apply returns the source with the change, by its nth replacement.
func (m mutant) apply(src []byte, n int) []byte {
	return slices.Concat(src[:m.start], []byte(m.with[n]), src[m.end:])
}

// mutants finds all changes of a file, in its order.
func mutants(file string, src []byte) ([]mutant, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	w := &walker{file: file, src: src, fset: fset}
	for _, d := range f.Decls {
		w.in = ""
		if fn, ok := d.(*ast.FuncDecl); ok {
			w.in = fn.Name.Name
			if fn.Recv != nil {
				w.in = strings.TrimPrefix(w.text(fn.Recv.List[0].Type), "*") + "." + w.in
			}
		}
		w.walk(d)
	}
	slices.SortStableFunc(w.found, func(a, b mutant) int { return a.start - b.start })
	seen := make(map[string]int)
	for i := range w.found {
		m := &w.found[i]
		seen[m.id()]++
		if n := seen[m.id()]; n > 1 {
			m.what = fmt.Sprintf("%s (%d)", m.what, n)
		}
	}
	return w.found, nil
}

// walker collects the mutants of a file.
type walker struct {
	file  string
	src   []byte
	fset  *token.FileSet
	in    string // the declaration that is walked
	found []mutant
}

func (w *walker) offset(p token.Pos) int { return w.fset.Position(p).Offset }

func (w *walker) text(n ast.Node) string { return string(w.src[w.offset(n.Pos()):w.offset(n.End())]) }

// add notes a mutant that replaces a node.
func (w *walker) add(n ast.Node, after string, with ...string) {
	w.addRange(n.Pos(), n.End(), w.text(n), after, with...)
}

// addRange notes a mutant that replaces what is between two positions.
func (w *walker) addRange(from, to token.Pos, before, after string, with ...string) {
	w.found = append(w.found, mutant{
		file: w.file, line: w.fset.Position(from).Line, in: w.in, what: short(before) + " → " + short(after),
		start: w.offset(from), end: w.offset(to), with: with,
	})
}

// short makes one line of a text.
func short(text string) string {
	const enough = 70 // characters
	r := []rune(strings.Join(strings.Fields(text), " "))
	if len(r) > enough {
		r = append(r[:enough], '…')
	}
	return string(r)
}

// replace notes a mutant whose new text is its name.
func (w *walker) replace(n ast.Node, with string) { w.add(n, with, with) }

// walk looks at a declaration's statements and expressions.
func (w *walker) walk(root ast.Node) {
	ast.PreorderStack(root, nil, func(n ast.Node, stack []ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			w.condition(n.Cond, true)
		case *ast.ForStmt:
			if n.Cond != nil {
				w.condition(n.Cond, false)
			}
		case *ast.SwitchStmt:
			w.cases(n.Body, n.Tag == nil)
		case *ast.TypeSwitchStmt:
			w.cases(n.Body, false)
		case *ast.ReturnStmt:
			if is := bools(stack); len(is) == len(n.Results) { // else bare, or all of another call
				for i, e := range n.Results {
					if is[i] {
						w.condition(e, true)
					}
				}
			}
		case *ast.BinaryExpr:
			w.binary(n, whole(n, stack))
		case *ast.UnaryExpr:
			if n.Op == token.NOT && !whole(n, stack) {
				w.replace(n, w.text(n.X))
			}
		case *ast.Ident:
			w.literal(n, stack)
		case *ast.CompositeLit:
			w.literalFields(n)
		case *ast.AssignStmt:
			w.assign(n)
		case *ast.IncDecStmt:
			if !local(n.X) {
				w.add(n, "dropped", "_ = "+w.text(n.X))
			}
		case *ast.ExprStmt:
			if call, ok := n.X.(*ast.CallExpr); ok {
				w.call(n, call)
			}
		}
		return true
	})
}

// bools says which results of the innermost function are of the type bool.
func bools(stack []ast.Node) []bool {
	var fn *ast.FuncType
	for _, n := range stack {
		switch n := n.(type) {
		case *ast.FuncDecl:
			fn = n.Type
		case *ast.FuncLit:
			fn = n.Type
		}
	}
	var all []bool
	if fn.Results != nil {
		for _, f := range fn.Results.List {
			id, ok := f.Type.(*ast.Ident)
			for range max(len(f.Names), 1) {
				all = append(all, ok && id.Name == "bool")
			}
		}
	}
	return all
}

// whole says whether an expression is all of a statement's condition, which is
// made true and false anyway.
func whole(e ast.Expr, stack []ast.Node) bool {
	switch s := stack[len(stack)-1].(type) {
	case *ast.IfStmt:
		return s.Cond == e
	case *ast.ForStmt:
		return s.Cond == e
	case *ast.CaseClause:
		sw, ok := stack[len(stack)-3].(*ast.SwitchStmt)
		return ok && sw.Tag == nil && slices.Contains(s.List, e)
	}
	return false
}
