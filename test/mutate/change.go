package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
)

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
