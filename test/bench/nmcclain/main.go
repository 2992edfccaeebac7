// Command nmcclain serves a users file by github.com/nmcclain/ldap, as its
// examples have it: the handler returns all entries below the base, and the
// library applies filter, scope, attributes and limits (EnforceLDAP). It is
// what ldapd is measured against.
package main

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"flag"
	"log"
	"net"
	"strings"

	"github.com/nmcclain/ldap"

	"ldapd/internal/directory"
	"ldapd/internal/local"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3389", "`host:port` to listen on")
	base := flag.String("base", "dc=ldap,dc=goauthentik,dc=io", "`DN` of the root entry")
	users := flag.String("users", "users.yaml", "users `file`")
	password := flag.String("password", "", "of every user, as {SSHA}")
	flag.Parse()
	h, err := newHandler(*base, *users, *password)
	if err != nil {
		log.Fatal(err)
	}
	s := ldap.NewServer()
	s.EnforceLDAP = true
	s.BindFunc("", h)
	s.SearchFunc("", h)
	log.Fatal(s.ListenAndServe(*addr))
}

type handler struct {
	entries []*ldap.Entry
	below   []string        // DNs of entries, in lower case, behind a comma
	names   map[string]bool // DNs of those who may bind, in lower case
	sum     []byte
	salt    []byte
}

func newHandler(base, users, password string) (*handler, error) {
	text, ok := strings.CutPrefix(password, "{SSHA}")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !ok || len(raw) < sha1.Size {
		return nil, errors.New("-password is not {SSHA}")
	}
	f, err := local.Load(users, local.UIDUsername)
	if err != nil {
		return nil, err
	}
	snap, _ := directory.Tree{BaseDN: base}.Build(f.Users(), f.Groups())
	h := &handler{names: map[string]bool{}, sum: raw[:sha1.Size], salt: raw[sha1.Size:]}
	for i := range snap.Len() {
		e := snap.Entry(directory.ID(i))
		out := &ldap.Entry{DN: e.DN()}
		for a := range e.Attrs() {
			attr := &ldap.EntryAttribute{Name: a.Type.Name}
			if !a.Type.InStar() {
				attr.Name = "+" + attr.Name // the library's mark for operational ones
			}
			for v := range a.Values() {
				attr.Values = append(attr.Values, string(v))
			}
			out.Attributes = append(out.Attributes, attr)
		}
		h.entries = append(h.entries, out)
		h.below = append(h.below, ","+strings.ToLower(out.DN))
		h.names[strings.ToLower(out.DN)] = true
	}
	return h, nil
}

// Bind implements ldap.Binder.
func (h *handler) Bind(dn, password string, _ net.Conn) (ldap.LDAPResultCode, error) {
	sum := sha1.Sum(append([]byte(password), h.salt...))
	if !h.names[strings.ToLower(dn)] || subtle.ConstantTimeCompare(sum[:], h.sum) != 1 {
		return ldap.LDAPResultInvalidCredentials, nil
	}
	return ldap.LDAPResultSuccess, nil
}

// Search implements ldap.Searcher. The library looks at the base for some
// scopes only, and takes attributes away from the entries that it is given.
func (h *handler) Search(_ string, req ldap.SearchRequest, _ net.Conn) (ldap.ServerSearchResult, error) {
	suffix := "," + strings.ToLower(req.BaseDN)
	entries := make([]ldap.Entry, 0, len(h.entries))
	found := make([]*ldap.Entry, 0, len(h.entries))
	for i, e := range h.entries {
		if strings.HasSuffix(h.below[i], suffix) {
			entries = append(entries, *e)
			found = append(found, &entries[len(entries)-1])
		}
	}
	return ldap.ServerSearchResult{Entries: found, ResultCode: ldap.LDAPResultSuccess}, nil
}
