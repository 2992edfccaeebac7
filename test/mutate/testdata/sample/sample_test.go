package sample

import "testing"

func TestKnock(t *testing.T) {
	var d Door
	if !d.Knock("alice", 18) || !d.Open {
		t.Error("shut out")
	}
	if d.Knock("bob", 17) {
		t.Error("let in")
	}
}

func TestCount(t *testing.T) {
	if n := Count(1, 3); n != 2 {
		t.Error(n)
	}
}
