package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestRun measures a small directory for a moment: all servers start, and all
// answer each operation with the same number of entries, which run checks. No
// right bind is denied.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), options{sizes: []int{200}, time: 40 * time.Millisecond, conns: 2, days: 1}, &out); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", &out)
	for _, line := range []string{
		`^bind, kept connection +0\.0 `,
		`^connect, bind, unbind +0\.0 `,
		`^search by uid, 12 attributes +1\.0 `,
		`^search by memberOf +\d+\.\d `,
		`^search by substrings +\d+\.\d `,
		`^all users in one search +200\.0 `,
		`^all users in pages of 500 +200\.0 `,
		`^Nextcloud's login +1\.0 `,
		`^first bind of all: a flow +ldapd +\d`,
		`^verified bind, kept connection +slapd +\d`,
		`^verified bind, connect and unbind +slapd +\d`,
		`^verified login with a code +slapd +\d`,
		`^verified bind, after a restart +ldapd, first +\d`,
		`^verified bind, at the other replica +first +\d`,
		`^verified bind, PostgreSQL stopped +replica, first +\d`,
		`^ldapd +0\.\d+ +\d+ +\d+ +0 +0$`,
		`^authentik's, cached +\d`,
		`^authentik's, direct +\d`,
	} {
		if !regexp.MustCompile(`(?m)` + line).MatchString(out.String()) {
			t.Errorf("no line %s", line)
		}
	}
	if !strings.Contains(out.String(), "200 users, 10 groups, 5 groups a user, 2 connections") {
		t.Error("no heading")
	}
}

// TestReadLengths reads messages whose length has every form.
func TestReadLengths(t *testing.T) {
	for _, n := range []int{0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000} {
		content := bytes.Repeat([]byte{7}, n)
		for _, head := range [][]byte{
			{0x30, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)},
			{0x30, 0x83, byte(n >> 16), byte(n >> 8), byte(n)},
		} {
			c := newClient(bytes.NewReader(append(head, content...)))
			if err := c.read(); err != nil || !bytes.Equal(c.buf, content) {
				t.Errorf("%d octets behind % x: read %d (%v)", n, head, len(c.buf), err)
			}
		}
	}
	for _, bad := range [][]byte{{}, {0x30}, {0x30, 0x80}, {0x30, 0x85, 0, 0, 0, 0, 0}, {0x30, 2, 1}} {
		if err := newClient(bytes.NewReader(bad)).read(); err == nil {
			t.Errorf("% x was read", bad)
		}
	}
}
