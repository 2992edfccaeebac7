// Package sample is what the mutation tester is tried on.
package sample

import "strings"

// Door opens for guests.
type Door struct {
	Open   bool
	Knocks int
	names  []string
}

// Knock says whether the door was opened.
func (d *Door) Knock(name string, age int) bool {
	d.Knocks++
	name = strings.TrimSpace(name)
	if name == "" || age < 18 {
		return false
	}
	d.names = append(d.names, name)
	d.Open = true
	return true
}

// Count waits for n of them.
func Count(from, to int) (n int) {
	for from != to {
		from++
		n++
	}
	return n
}
