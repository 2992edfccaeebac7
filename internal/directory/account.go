package directory

import (
	"bytes"
	"strings"

	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// Account is what binding needs to know of a user.
type Account struct {
	UUID, Username, DN string
	Base               string // of the tree
	Active             bool
	Changed            string // pwdChangedTime of the user, to the second; empty: not known
}

// LoginName returns the login name in a DN used to bind: the first cn from
// the left, or the uid if the DN begins with one. The DN must be below the
// base.
func (s *Snapshot) LoginName(dn ldap.DN) (string, bool) {
	n, ok := s.below(dn)
	if !ok || n == 0 {
		return "", false
	}
	for i, rdn := range dn[:n] {
		for _, ava := range rdn {
			at, ok := s.Schema.Lookup([]byte(ava.Type))
			if ok && ava.Value != "" && (at.ID == schema.CN || at.ID == schema.UID && i == 0) {
				return ava.Value, true
			}
		}
	}
	return "", false
}

// AccountByName finds a user by username, ignoring case, or else by the
// attribute uid if only one user has it. If there is none, the account has the
// Base only.
func (s *Snapshot) AccountByName(name string) (Account, bool) {
	for _, id := range []uint16{schema.CN, schema.UID} {
		if user, n := s.userWith(id, name); n == 1 {
			return s.account(user), true
		}
	}
	return Account{Base: s.BaseDN}, false
}

// AccountByMail finds the only user who has an e-mail address.
func (s *Snapshot) AccountByMail(mail string) (Account, bool) {
	user, n := s.userWith(schema.Mail, mail)
	if n != 1 {
		return Account{}, false
	}
	return s.account(user), true
}

// AccountByUUID finds a user by its UUID.
func (s *Snapshot) AccountByUUID(uuid string) (Account, bool) {
	user, n := s.userWith(schema.EntryUUID, uuid)
	if n != 1 {
		return Account{}, false
	}
	return s.account(user), true
}

// userWith returns the last of the users that have a value, and how many do.
func (s *Snapshot) userWith(id uint16, value string) (user ID, n int) {
	at := s.Schema.Type(id)
	norm, ok := at.Equality.Normalize(nil, []byte(value))
	if !ok || s.containers[users] == 0 {
		return 0, 0
	}
	p, _ := s.Equal(at, norm)
	lo, hi := s.containers[users]+1, s.Entry(s.containers[users]).End()
	for id := range p.All() {
		if id >= lo && id < hi && s.has(id, at, norm) {
			user, n = id, n+1
		}
	}
	return user, n
}

// account makes all texts of an account at once, for it is made for each bind.
func (s *Snapshot) account(id ID) Account {
	e := s.Entry(id)
	first := func(id uint16) []byte {
		a, ok := e.Attr(id)
		if !ok {
			return nil
		}
		return a.First()
	}
	uuid, name, dn, changed := first(schema.EntryUUID), first(schema.CN), e.DNBytes(), first(schema.PwdChangedTime)
	i := len(uuid)
	j := i + len(name)
	k := j + len(dn)
	var b strings.Builder
	b.Grow(k + len(changed))
	b.Write(uuid)
	b.Write(name)
	b.Write(dn)
	b.Write(changed)
	texts := b.String()
	return Account{
		UUID:     texts[:i],
		Username: texts[i:j],
		DN:       texts[j:k],
		Changed:  texts[k:],
		Base:     s.BaseDN,
		Active:   bytes.EqualFold(first(schema.Active), []byte("TRUE")),
	}
}
