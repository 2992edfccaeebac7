package search

import (
	"cmp"
	"slices"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// sortKey is a key of RFC 2891 made ready.
type sortKey struct {
	at      *schema.AttributeType
	rule    *schema.Rule
	reverse bool
}

// sorted answers a search with a sort control. Entries without the attribute
// count as the largest; ties keep the order of the tree.
func (r *run) sorted() ([]byte, error) {
	keys, code, attr := sortKeys(r.snap.Schema, r.opts.sort)
	controls := ldap.AppendSortResponse(nil, code, attr)
	switch {
	case code != ldap.ResultSuccess && r.opts.sortCritical:
		return controls, ldap.Errorf(ldap.ResultUnavailableCritical, "cannot sort by %q", attr)
	case code != ldap.ResultSuccess && r.opts.paged:
		page, err := r.paged(nil)
		return append(controls, page...), err
	case code != ldap.ResultSuccess:
		return controls, r.stream()
	}
	order, err := r.order(keys)
	if err != nil {
		return controls, err
	}
	if r.opts.paged {
		page, err := r.paged(order)
		return append(controls, page...), err
	}
	limit, over := r.sizeLimit()
	for i, id := range order {
		if i == limit && limit > 0 {
			return controls, over
		}
		if err := r.send(r.snap.Entry(id)); err != nil {
			return controls, err
		}
	}
	return controls, nil
}

// sortKeys resolves the keys. A code other than success says why it cannot,
// and attr for which.
func sortKeys(sch *schema.Schema, keys []ldap.SortKey) (out []sortKey, code ldap.ResultCode, attr []byte) {
	for _, k := range keys {
		at, ok := sch.Lookup(k.Attribute)
		if !ok || at.Secret {
			return nil, ldap.ResultNoSuchAttribute, k.Attribute
		}
		rule := at.Ordering
		if k.Rule != nil {
			if rule, ok = schema.LookupRule(k.Rule); !ok {
				return nil, ldap.ResultInappropriateMatching, k.Attribute
			}
		} else if rule == nil {
			rule = at.Equality
		}
		if rule == nil || rule.Use != schema.Ordering && rule.Use != schema.Equality {
			return nil, ldap.ResultInappropriateMatching, k.Attribute
		}
		out = append(out, sortKey{at, rule, k.Reverse})
	}
	return out, ldap.ResultSuccess, nil
}

// order returns the IDs of all matches, sorted. It is never nil.
func (r *run) order(keys []sortKey) ([]directory.ID, error) {
	type row struct {
		id     directory.ID
		values [][]byte // nil: no value
	}
	rows := []row{}
	lo, hi := r.scope()
	err := r.matches(lo, hi, func(id directory.ID, e directory.Entry) bool {
		values := make([][]byte, len(keys))
		for i, k := range keys {
			values[i] = r.q.lowest(e, k)
		}
		rows = append(rows, row{id, values})
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b row) int {
		// Out of time, all are the same, which has the sort end soon.
		for i, k := range keys {
			if !r.q.work.spend(valueCost + min(len(a.values[i]), len(b.values[i]))) {
				return 0
			}
			c := compareKeys(k.rule, a.values[i], b.values[i])
			if k.reverse {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return cmp.Compare(a.id, b.id)
	})
	ids := make([]directory.ID, len(rows))
	for i := range rows {
		ids[i] = rows[i].id
	}
	return ids, r.q.work.err
}

func compareKeys(rule *schema.Rule, a, b []byte) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return rule.Compare(a, b)
}

// lowest returns the smallest value of the key's attribute, nil without one.
func (q *query) lowest(e directory.Entry, k sortKey) []byte {
	a, ok := e.Attr(k.at.ID)
	if !ok {
		return nil
	}
	var low []byte
	q.anyValue(a, k.rule, func(v []byte) bool {
		if low == nil || k.rule.Compare(v, low) < 0 {
			low = append([]byte{}, v...)
		}
		return false
	})
	return low
}
