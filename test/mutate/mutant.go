package main

import (
	"bytes"
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
	var results [][]bool // which results of the functions around are bool
	ast.PreorderStack(root, nil, func(n ast.Node, stack []ast.Node) bool {
		results = results[:0]
		for _, s := range stack {
			switch s := s.(type) {
			case *ast.FuncDecl:
				results = append(results, bools(s.Type))
			case *ast.FuncLit:
				results = append(results, bools(s.Type))
			}
		}
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
			if last := results[len(results)-1]; len(last) == len(n.Results) {
				for i, is := range last {
					if is {
						w.condition(n.Results[i], true)
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

// bools says which results of a function are of the type bool.
func bools(t *ast.FuncType) []bool {
	var all []bool
	if t.Results != nil {
		for _, f := range t.Results.List {
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

// condition makes one true and false. A loop is not made endless.
func (w *walker) condition(e ast.Expr, both bool) {
	if id, ok := e.(*ast.Ident); ok && (id.Name == "true" || id.Name == "false") {
		return // changed as a literal
	}
	if both {
		w.add(e, "true", constant(w.text(e), "true"))
	}
	w.add(e, "false", constant(w.text(e), "false"))
}

// constant makes a condition true or false. It is still evaluated, as it may do
// something, and what it names counts as used.
func constant(text, value string) string {
	if value == "true" {
		return "(" + text + " || true)"
	}
	return "((" + text + ") && false)"
}

// cases treats what a switch compares with: conditions if it has no tag, else
// each value is left out, and with the last one the clause.
func (w *walker) cases(body *ast.BlockStmt, conditions bool) {
	for _, s := range body.List {
		c := s.(*ast.CaseClause)
		for i, e := range c.List {
			switch {
			case conditions:
				w.condition(e, true)
			case len(c.List) == 1:
				w.addRange(c.Pos(), c.End(), "case "+w.text(e), "dropped", "")
			case i == 0:
				w.addRange(e.Pos(), c.List[1].Pos(), "case "+w.text(e), "dropped", "")
			default:
				w.addRange(c.List[i-1].End(), e.End(), "case "+w.text(e), "dropped", "")
			}
		}
	}
}

// What a comparison becomes: at its bound, and negated.
var (
	bound   = map[token.Token]string{token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">"}
	negated = map[token.Token]string{
		token.LSS: ">=", token.LEQ: ">", token.GTR: "<=", token.GEQ: "<", token.EQL: "!=", token.NEQ: "==",
	}
)

// binary changes an operator: and to or, the bound of a comparison, and its
// sense unless that is a whole condition. Of "and" and "or" it also gives each
// operand the value that leaves the decision to the other.
func (w *walker) binary(e *ast.BinaryExpr, whole bool) {
	x, y := w.text(e.X), w.text(e.Y)
	neutral := "true"
	switch e.Op {
	case token.LAND:
		// "or" binds less, so what stands beside needs parentheses.
		w.add(e, x+" || "+y, "("+x+" || "+y+")")
	case token.LOR:
		w.add(e, x+" && "+y, "("+x+") && ("+y+")")
		neutral = "false"
	default:
		if op, ok := bound[e.Op]; ok {
			w.replace(e, x+" "+op+" "+y)
		}
		if op, ok := negated[e.Op]; ok && !whole {
			w.replace(e, x+" "+op+" "+y)
		}
		return
	}
	// Of a chain, each operand goes once: the first ones in the chain's head.
	if head, ok := e.X.(*ast.BinaryExpr); !ok || head.Op != e.Op {
		w.add(e.X, neutral, constant(x, neutral))
	}
	w.add(e.Y, neutral, constant(y, neutral))
}

// literal changes true and false, wherever they are values.
func (w *walker) literal(id *ast.Ident, stack []ast.Node) {
	other, ok := map[string]string{"true": "false", "false": "true"}[id.Name]
	if !ok {
		return
	}
	if sel, ok := stack[len(stack)-1].(*ast.SelectorExpr); ok && sel.Sel == id {
		return
	}
	w.replace(id, other)
}

// literalFields leaves out each field that is named, but for true and false,
// which change anyway.
func (w *walker) literalFields(c *ast.CompositeLit) {
	for i, e := range c.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok || !local(kv.Key) {
			continue
		}
		if v, ok := kv.Value.(*ast.Ident); ok && (v.Name == "true" || v.Name == "false") {
			continue
		}
		end := c.Rbrace
		if i < len(c.Elts)-1 {
			end = c.Elts[i+1].Pos()
		}
		w.addRange(e.Pos(), end, w.text(e), "dropped", "")
		w.found[len(w.found)-1].field = true
	}
}

// local says whether an expression is a plain variable, whose assignment the
// compiler and the statements after it look at.
func local(e ast.Expr) bool {
	_, ok := e.(*ast.Ident)
	return ok
}

// assign leaves out each assignment to what outlives the statement: a field, an
// element, what a pointer points to. The value is still evaluated.
func (w *walker) assign(s *ast.AssignStmt) {
	for _, l := range s.Lhs {
		if local(l) {
			continue
		}
		switch {
		case len(s.Lhs) > 1:
			w.add(l, "_", "_")
		default:
			// The first leaves k of m[k] = v without use, and has no type for nil.
			l, r := w.text(l), w.text(s.Rhs[0])
			w.add(s, "dropped", "_ = "+r, "_, _ = "+l+", "+r, "_ = "+l)
		}
	}
}

// Mutexes that nobody locks are for the race detector to find.
var untouched = []string{"Lock", "Unlock", "RLock", "RUnlock"}

// call leaves out a call whose result nobody uses. Where that leaves an import
// or a variable without use, these are kept.
func (w *walker) call(s *ast.ExprStmt, c *ast.CallExpr) {
	if sel, ok := c.Fun.(*ast.SelectorExpr); ok && slices.Contains(untouched, sel.Sel.Name) {
		return
	}
	var kept bytes.Buffer
	keep := func(e ast.Expr) {
		ast.Inspect(e, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.SelectorExpr:
				fmt.Fprintf(&kept, "_ = %s; ", w.text(n))
				return false
			case *ast.Ident:
				if n.Name != "nil" && n.Name != "true" && n.Name != "false" {
					fmt.Fprintf(&kept, "_ = %s; ", n.Name)
				}
			}
			return true
		})
	}
	if _, builtin := c.Fun.(*ast.Ident); !builtin {
		keep(c.Fun)
	}
	for _, a := range c.Args {
		keep(a)
	}
	with := []string{"{}"}
	if kept.Len() > 0 {
		with = append(with, "{ "+kept.String()+"}")
	}
	w.add(s, "dropped", with...)
}
