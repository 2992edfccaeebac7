package search

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// A cookie of paged results (RFC 2696) holds all there is to know about where
// a client is, so that no state is kept for it: it works on another
// connection, with another page size, after a refresh of the directory and on
// another replica with the same key. It is
//
//	mac (16) | query (8) | offset (uvarint) | normal DN of the last entry
//
// For the same query the next page starts behind that DN, in the order of
// the tree, whether or not the entry still exists. For any other query, and
// for sorted ones, it is an offset: Nextcloud sends the cookie of its user
// search with its group search and means "from entry N on".
type cookie struct {
	query  [8]byte
	offset int
	last   []byte
}

const (
	macSize   = 16
	querySize = 8
)

var errCookie = ldap.Errorf(ldap.ResultUnwillingToPerform, "the paging cookie is not one of this server's")

func (e *Engine) seal(c cookie) []byte {
	b := make([]byte, macSize, macSize+querySize+binary.MaxVarintLen64+len(c.last))
	b = append(b, c.query[:]...)
	b = binary.AppendUvarint(b, uint64(c.offset))
	b = append(b, c.last...)
	copy(b, e.mac(b[macSize:]))
	return b
}

func (e *Engine) open(b []byte) (cookie, error) {
	var c cookie
	if len(b) < macSize+querySize || !hmac.Equal(b[:macSize], e.mac(b[macSize:])) {
		return c, errCookie
	}
	b = b[macSize+copy(c.query[:], b[macSize:]):]
	offset, n := binary.Uvarint(b)
	if n <= 0 || offset > 1<<31 {
		return c, errCookie
	}
	c.offset, c.last = int(offset), b[n:]
	return c, nil
}

func (e *Engine) mac(b []byte) []byte {
	h := hmac.New(sha256.New, e.cfg.CookieKey)
	h.Write(b)
	return h.Sum(nil)[:macSize]
}

// fingerprint tells queries apart: what is searched, not how it is shown.
func fingerprint(base []byte, req *ldap.SearchRequest) (sum [8]byte) {
	h := sha256.New()
	var length [binary.MaxVarintLen64]byte
	field := func(b []byte) {
		h.Write(length[:binary.PutUvarint(length[:], uint64(len(b)))])
		h.Write(b)
	}
	field(base)
	h.Write([]byte{byte(req.Scope)})
	for i := range req.Filter {
		n := &req.Filter[i]
		h.Write([]byte{byte(n.Op)})
		h.Write(length[:binary.PutUvarint(length[:], uint64(n.Next))])
		field(n.Attr)
		field(n.Value)
		field(n.Rule)
	}
	copy(sum[:], h.Sum(nil))
	return sum
}

// paged answers one page (RFC 2696). order is the sorted result, nil for the
// order of the tree.
func (r *run) paged(order []directory.ID) ([]byte, error) {
	var at cookie
	if len(r.opts.page.Cookie) > 0 {
		var err error
		if at, err = r.e.open(r.opts.page.Cookie); err != nil {
			return nil, err
		}
	}
	size := r.opts.page.Size
	if max := r.e.cfg.Entries; max > 0 {
		size = min(size, max)
	}
	if limit := r.req.SizeLimit; limit > 0 {
		// The limit is for all pages together, and ends them without an error:
		// Nextcloud takes a page with one for no page at all.
		size = min(size, max(limit-at.offset, 0))
	}
	next := cookie{query: r.query, offset: at.offset}
	more := false
	var err error
	if size > 0 {
		more, err = r.page(order, at, size, &next)
	}
	if more && (r.req.SizeLimit == 0 || next.offset < r.req.SizeLimit) {
		return ldap.AppendPagedResults(nil, ldap.PagedResults{Cookie: r.e.seal(next)}), err
	}
	return ldap.AppendPagedResults(nil, ldap.PagedResults{}), err
}

// page sends up to size entries from at on, notes in next where it stopped,
// and says whether there are more.
func (r *run) page(order []directory.ID, at cookie, size int, next *cookie) (more bool, err error) {
	lo, hi := r.scope()
	skip := at.offset
	if order == nil && at.offset > 0 && at.query == r.query {
		lo, skip = max(lo, r.snap.After(at.last)), 0
		r.found = at.offset
	}
	sent := 0
	var last directory.ID
	yield := func(id directory.ID, entry directory.Entry) bool {
		if skip > 0 {
			skip--
			return true
		}
		if sent == size {
			more = true
			return false
		}
		sent++
		last = id
		err = r.send(entry)
		return err == nil
	}
	if order != nil {
		for _, id := range order {
			if !yield(id, r.snap.Entry(id)) {
				break
			}
		}
	} else if scanErr := r.matches(lo, hi, yield); scanErr != nil {
		return false, scanErr
	}
	if err != nil || sent == 0 {
		return false, err
	}
	next.offset += sent
	next.last, err = ldap.NormalizeDN(nil, r.snap.Entry(last).DNBytes())
	return more, err
}
