package nextcloud

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// request is one line of a trace.
type request struct {
	line  int
	under string // the last comment: what a person or program did in Nextcloud
	conn  string // number of the connection, opened with its first request
	op    string
	times int

	dn, password string // bind, password (where dn is a username)
	oid          string // extended

	query
	useCookie string // name of the answer whose cookie was sent

	// The recorded answer.
	code      uint16
	entries   int
	newCookie string // name of its cookie; empty: no more pages
}

func (r *request) String() string {
	return fmt.Sprintf("line %d (%s, connection %s): %s", r.line, r.under, r.conn, r.op)
}

// readTrace reads a recorded trace. Its lines are fields with tabs between:
//
//	# what happened in Nextcloud
//	let $NAME TEXT                        TEXT stands for $NAME from here on
//	CONN bind DN PASSWORD CODE
//	CONN extended OID CODE
//	CONN unbind
//	CONN search BASE SCOPE FILTER ATTRS OPTIONS ANSWER [xTIMES]
//	- password USERNAME PASSWORD          the directory's owner changed it
//
// ATTRS are names with commas between; "" is one empty name and - is none.
// OPTIONS are limit=N (sizeLimit), types (typesOnly), page=N (the paging
// control) and cookie=NAME, or - for none. ANSWER is the result code and the
// number of entries, and cookie=NAME if there was a cookie for a next page.
func readTrace(t *testing.T, path string) []*request {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []*request
	var under string
	var lets []string
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		if note, ok := strings.CutPrefix(text, "# "); ok {
			under = note
			continue
		}
		fields := strings.Split(text, "\t")
		if fields[0] == "let" {
			lets = append(lets, fields[1], fields[2])
			continue
		}
		r, err := parseRequest(strings.Split(strings.NewReplacer(lets...).Replace(text), "\t"))
		if err != nil {
			t.Fatalf("%s:%d: %v", path, n, err)
		}
		r.line, r.under = n, under
		out = append(out, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// fieldsOf says how many fields the line of an operation has.
var fieldsOf = map[string]int{"bind": 5, "extended": 4, "unbind": 2, "search": 8, "password": 4}

func parseRequest(f []string) (*request, error) {
	if len(f) < 2 {
		return nil, fmt.Errorf("not a request")
	}
	r := &request{conn: f[0], op: f[1], times: 1}
	if last := f[len(f)-1]; len(f) == 9 && last[0] == 'x' {
		n, err := strconv.Atoi(last[1:])
		if err != nil {
			return nil, err
		}
		r.times, f = n, f[:8]
	}
	if len(f) != fieldsOf[r.op] {
		return nil, fmt.Errorf("%s with %d fields", r.op, len(f))
	}
	var err error
	switch r.op {
	case "password":
		r.dn, r.password = f[2], f[3]
	case "bind":
		r.dn, r.password = f[2], f[3]
		err = r.parseAnswer(f[4] + " 0")
	case "extended":
		r.oid = f[2]
		err = r.parseAnswer(f[3] + " 0")
	case "search":
		r.query = query{base: f[2], scope: scopes[f[3]], filter: f[4], attrs: strings.Split(f[5], ",")}
		switch f[5] {
		case `""`:
			r.attrs = []string{""}
		case "-":
			r.attrs = nil
		}
		if err = r.parseOptions(f[6]); err == nil {
			err = r.parseAnswer(f[7])
		}
	}
	return r, err
}

var scopes = map[string]int{"base": ldap.ScopeBaseObject, "one": ldap.ScopeSingleLevel, "sub": ldap.ScopeWholeSubtree}

func (r *request) parseOptions(s string) error {
	if s == "-" {
		return nil
	}
	for _, o := range strings.Fields(s) {
		name, value, _ := strings.Cut(o, "=")
		n, err := strconv.Atoi(value)
		switch name {
		case "limit":
			r.limit = n
		case "page":
			r.size = uint32(n)
		case "types":
			r.types, err = true, nil
		case "cookie":
			r.useCookie, err = value, nil
		default:
			return fmt.Errorf("unknown option %s", o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *request) parseAnswer(s string) error {
	f := strings.Fields(s)
	if len(f) < 2 {
		return fmt.Errorf("answer %q", s)
	}
	code, err := strconv.ParseUint(f[0], 10, 16)
	if err != nil {
		return err
	}
	r.code = uint16(code)
	if len(f) == 3 {
		r.newCookie = strings.TrimPrefix(f[2], "cookie=")
	}
	r.entries, err = strconv.Atoi(f[1])
	return err
}
