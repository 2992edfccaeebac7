package directory

import (
	"cmp"
	"slices"

	"ldapd/internal/ldap"
)

// Forest is all trees that are served, as they are at one moment. It is
// immutable; nil means that none was loaded yet.
type Forest struct {
	trees []*Snapshot // the longest base first
}

// NewForest returns the forest of some trees, at least one.
func NewForest(trees ...*Snapshot) *Forest {
	trees = slices.Clone(trees)
	slices.SortStableFunc(trees, func(a, b *Snapshot) int { return cmp.Compare(len(b.baseNorm), len(a.baseNorm)) })
	return &Forest{trees}
}

// Trees returns the trees, that of the longest base first.
func (f *Forest) Trees() []*Snapshot { return f.trees }

// Tree returns the tree that a normalised DN belongs to: of those whose base
// is the DN or above it, the one with the longest base.
func (f *Forest) Tree(norm []byte) (*Snapshot, bool) {
	for _, s := range f.trees {
		if s.holds(norm) {
			return s, true
		}
	}
	return nil, false
}

// TreeOf is Tree for a DN that was taken apart.
func (f *Forest) TreeOf(dn ldap.DN) (*Snapshot, bool) {
	for _, s := range f.trees {
		if _, ok := s.below(dn); ok {
			return s, true
		}
	}
	return nil, false
}

// Find returns the trees that have a user of that name or, if none has, of that
// e-mail address, and the user name; or else any tree and the name, for who is
// not known is looked up all the same.
func (f *Forest) Find(name string) (trees []*Snapshot, username string) {
	for _, s := range f.trees {
		if _, ok := s.AccountByName(name); ok {
			trees = append(trees, s)
		}
	}
	if len(trees) > 0 {
		return trees, name
	}
	username = name
	for _, s := range f.trees {
		if a, ok := s.AccountByMail(name); ok && (len(trees) == 0 || a.Username == username) {
			trees, username = append(trees, s), a.Username
		}
	}
	if len(trees) == 0 {
		trees = f.trees[:1]
	}
	return trees, username
}

// below returns how many RDNs a DN has in front of the base; not ok if it is
// neither the base nor below it.
func (s *Snapshot) below(dn ldap.DN) (n int, ok bool) {
	if n = len(dn) - len(s.base); n < 0 {
		return 0, false
	}
	norm, err := ldap.NormalizeDN(nil, []byte(dn[n:].String()))
	return n, err == nil && string(norm) == s.baseNorm
}

// holds reports whether a normalised DN is the base or below it.
func (s *Snapshot) holds(norm []byte) bool {
	n := len(norm) - len(s.baseNorm)
	return n >= 0 && string(norm[n:]) == s.baseNorm && (n == 0 || norm[n-1] == ',' && !escaped(norm[:n-1]))
}

// escaped reports whether what follows b is escaped.
func escaped(b []byte) bool {
	n := len(b)
	for n > 0 && b[n-1] == '\\' {
		n--
	}
	return (len(b)-n)%2 == 1
}
