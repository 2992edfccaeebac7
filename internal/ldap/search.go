package ldap

import (
	"fmt"
	"math"

	"ldapd/internal/ber"
)

// Scope of a search.
type Scope byte

const (
	ScopeBase Scope = 0
	ScopeOne  Scope = 1
	ScopeSub  Scope = 2
)

// String returns the name that ldapsearch uses.
func (s Scope) String() string {
	switch s {
	case ScopeBase:
		return "base"
	case ScopeOne:
		return "one"
	case ScopeSub:
		return "sub"
	}
	return fmt.Sprintf("scope %d", byte(s))
}

// SearchRequest is RFC 4511 section 4.5.1.
type SearchRequest struct {
	Base       []byte // LDAPDN
	Scope      Scope
	SizeLimit  int // entries, 0 for none
	TimeLimit  int // seconds, 0 for none
	TypesOnly  bool
	Filter     Filter
	Attributes [][]byte
	Controls   []Control
}

// maxAttributes bounds the attribute list of a search.
const maxAttributes = 1024

// Parse reads the body of a SearchRequest into s and reuses its slices.
// Controls are left alone. A filter beyond the limits gives ErrFilterLimit.
func (s *SearchRequest) Parse(body []byte, limits FilterLimits) error {
	s.Attributes = s.Attributes[:0]
	r := ber.NewReader(body)
	var err error
	if s.Base, err = r.Read(ber.OctetString); err != nil {
		return fmt.Errorf("search base: %w", err)
	}
	scope, err := r.Int(ber.Enumerated)
	if err != nil {
		return fmt.Errorf("search scope: %w", err)
	}
	if scope < int64(ScopeBase) || scope > int64(ScopeSub) {
		return fmt.Errorf("search scope %d", scope)
	}
	s.Scope = Scope(scope)
	// There are no aliases in the tree, so any way to treat them will do.
	if deref, err := r.Int(ber.Enumerated); err != nil || deref < 0 || deref > 3 {
		return fmt.Errorf("search derefAliases is wrong")
	}
	if s.SizeLimit, err = limit(&r); err != nil {
		return fmt.Errorf("search sizeLimit: %w", err)
	}
	if s.TimeLimit, err = limit(&r); err != nil {
		return fmt.Errorf("search timeLimit: %w", err)
	}
	if s.TypesOnly, err = r.Bool(ber.Boolean); err != nil {
		return fmt.Errorf("search typesOnly: %w", err)
	}
	filterErr := s.Filter.parse(&r, limits)
	if filterErr != nil {
		return filterErr
	}
	attrs, err := r.Read(ber.Sequence)
	if err != nil {
		return fmt.Errorf("search attributes: %w", err)
	}
	list := ber.NewReader(attrs)
	for !list.Empty() {
		a, err := list.Read(ber.OctetString)
		if err != nil {
			return fmt.Errorf("search attributes: %w", err)
		}
		if len(s.Attributes) == maxAttributes {
			return fmt.Errorf("search: more than %d attributes", maxAttributes)
		}
		s.Attributes = append(s.Attributes, a)
	}
	return r.End()
}

func limit(r *ber.Reader) (int, error) {
	v, err := r.Int(ber.Integer)
	if err == nil && (v < 0 || v > math.MaxInt32) {
		err = fmt.Errorf("%d is out of range", v)
	}
	return int(v), err
}
