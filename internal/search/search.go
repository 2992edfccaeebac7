// Package search answers searches and compares from a snapshot of the
// directory: it picks candidates by the indexes, checks the filter, selects
// attributes, sorts and pages. It keeps no state between requests.
package search

import (
	"errors"
	"sync"
	"time"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
	"ldapd/internal/schema"
)

// Writer takes entries as they are found. server.SearchWriter is one.
type Writer interface {
	MessageID() int32
	Buf() []byte             // to append one whole SearchResultEntry to
	Commit(buf []byte) error // takes it back
	Err() error              // non-nil once the search is not wanted any more
	Slow()                   // the search will take long
}

// Config is what an Engine needs.
type Config struct {
	// Forest returns the directory as it is now, nil if it was never loaded.
	Forest func() *directory.Forest
	// CookieKey authenticates paging cookies. Replicas share it.
	CookieKey []byte
	Entries   int           // most entries that one search or page returns, 0 for no limit
	Time      time.Duration // most time that one search takes, 0 for no limit
	// Extensions and Version are named by the root DSE.
	Extensions []string
	Version    string
	Login      login.Config
	Now        func() time.Time // nil: time.Now
}

// Engine answers searches. It is safe for concurrent use.
type Engine struct {
	cfg     Config
	logins  *login.Detector
	queries sync.Pool
}

// New returns an Engine.
func New(cfg Config) *Engine {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Engine{cfg: cfg, logins: login.NewDetector(cfg.Login), queries: sync.Pool{New: func() any { return new(query) }}}
}

var (
	// Nextcloud takes all but this code for the absence of what it looked for.
	errUnbound   = ldap.Errorf(ldap.ResultOperationsError, "bind first: this directory is not for anonymous searches")
	errNotLoaded = ldap.Errorf(ldap.ResultUnavailable, "the directory has not been loaded yet, try again later")
	errSize      = ldap.Errorf(ldap.ResultSizeLimitExceeded, "")
	errTime      = ldap.Errorf(ldap.ResultTimeLimitExceeded, "")
	errTooMany   = ldap.Errorf(ldap.ResultSizeLimitExceeded, "more entries than this server returns at once, use paged results")
)

// Result is what was found out while a search was answered.
type Result struct {
	Controls []byte // that go with the final response, also with that of an error

	// Of a search by a viewer who may read the whole tree.
	Login *login.Search // nil: it was no login search
	Read  []byte        // UUID of the user whose entry was the base of a base read; part of the snapshot
}

// Search answers one search. v is nil for a connection that is not bound.
func (e *Engine) Search(v *Viewer, req *ldap.SearchRequest, w Writer) (Result, error) {
	opts, err := parseControls(req.Controls)
	if err != nil {
		return Result{}, err
	}
	forest := e.cfg.Forest()
	if forest == nil {
		return Result{}, errNotLoaded
	}
	q := e.queries.Get().(*query)
	defer e.release(q)
	base, err := ldap.NormalizeDN(q.base[:0], req.Base)
	if err != nil {
		return Result{}, err
	}
	q.base = base[:0]
	q.work.start(w, e.cfg.Now, e.timeLimit(req))
	// Trees differ in custom attributes alone, and those are of the users that
	// they share.
	first := forest.Trees()[0]
	switch string(base) {
	case "":
		return Result{}, q.single(first.Schema, e.rootDSE(forest), req)
	case directory.SubschemaDN:
		return Result{}, q.single(first.Schema, first.Subschema(), req)
	}
	if v == nil {
		return Result{}, errUnbound
	}
	snap, err := v.see(forest, base)
	if err != nil {
		return Result{}, err
	}
	id, ok := snap.Find(base)
	if !ok {
		return Result{}, noSuchObject(snap, base)
	}
	run := run{e: e, q: q, snap: snap, all: v.all, req: req, w: w, base: id, opts: opts}
	if opts.paged {
		run.query = fingerprint(base, req)
	}
	return run.do()
}

// release keeps a query for the next search, without what it refers to.
func (e *Engine) release(q *query) {
	clear(q.nodes)
	q.schema, q.snap, q.chains, q.chainedIDs = nil, nil, nil, 0
	q.work = meter{}
	e.queries.Put(q)
}

// single answers a search whose base is an entry outside of the trees, which
// anybody may read and which has nothing below. It looks at that entry and at
// nothing else: what is in a tree must make no difference to how long it takes.
func (q *query) single(sch *schema.Schema, entry directory.Entry, req *ldap.SearchRequest) error {
	if req.Scope == ldap.ScopeOne {
		return nil
	}
	q.work.limit = outsideLimit
	if err := q.compileOutside(sch, req.Filter); err != nil {
		return err
	}
	q.pick.set(sch, req)
	if t := q.match(0, 0, entry); q.work.err != nil || t != yes {
		return q.work.err
	}
	// To send it is no work of the filter's.
	w := q.work.w
	return w.Commit(q.pick.append(w.Buf(), w.MessageID(), entry))
}

// noSuchObject names the nearest entry above that exists.
func noSuchObject(snap *directory.Snapshot, base []byte) error {
	// Nothing is deeper than an entry in a container in the base. Longer names
	// are not looked for: a request may have hundreds of them.
	const depth = 3
	var above [depth][]byte
	n := 0
	for dn, ok := ldap.ParentDN(base); ok && len(dn) >= len(snap.BaseNorm()); dn, ok = ldap.ParentDN(dn) {
		above[n%depth] = dn
		n++
	}
	err := &ldap.Error{Code: ldap.ResultNoSuchObject, Message: "no such entry"}
	for i := max(n-depth, 0); i < n; i++ {
		if id, ok := snap.Find(above[i%depth]); ok {
			err.MatchedDN = snap.Entry(id).DN()
			break
		}
	}
	return err
}

// run is one search of the tree under way.
type run struct {
	e     *Engine
	q     *query
	snap  *directory.Snapshot
	all   bool // the viewer may read the whole tree
	req   *ldap.SearchRequest
	w     Writer
	base  directory.ID
	opts  options
	query [querySize]byte

	found int          // matches so far
	last  directory.ID // of them
}

// slowSearch is how many candidates make a search worth a goroutine of its own.
const slowSearch = 2048

func (r *run) do() (res Result, err error) {
	if err := r.q.compile(r.snap, r.req.Filter); err != nil {
		return res, err
	}
	r.q.pick.set(r.snap.Schema, r.req)
	var found *login.Search
	switch {
	case !r.all:
	case r.req.Scope == ldap.ScopeBase:
		res.Read = r.user(r.base)
	default:
		if found, err = r.login(); err != nil {
			return res, err
		}
	}
	if res.Controls, err = r.answer(); err != nil || found == nil || r.found > 1 {
		return res, err
	}
	if r.found == 1 {
		found.User = string(r.user(r.last))
	}
	res.Login = found
	return res, nil
}

// answer sends what is found.
func (r *run) answer() ([]byte, error) {
	if len(r.opts.sort) > 0 {
		return r.sorted()
	}
	if r.opts.paged {
		return r.paged(nil)
	}
	return nil, r.stream()
}

// timeLimit returns how much time a search may take, 0 for any.
func (e *Engine) timeLimit(req *ldap.SearchRequest) time.Duration {
	limit := time.Duration(req.TimeLimit) * time.Second
	if max := e.cfg.Time; limit == 0 || max > 0 && max < limit {
		limit = max
	}
	return limit
}

// scope returns the IDs that the scope spans. Only for a one-level search
// does the parent matter, too.
func (r *run) scope() (lo, hi directory.ID) {
	end := r.snap.Entry(r.base).End()
	switch r.req.Scope {
	case ldap.ScopeBase:
		return r.base, r.base + 1
	case ldap.ScopeOne:
		return r.base + 1, end
	}
	return r.base, end
}

// matches calls yield for each entry of [lo, hi) that the scope and filter
// select, ascending, until yield says stop.
func (r *run) matches(lo, hi directory.ID, yield func(directory.ID, directory.Entry) bool) error {
	if lo >= hi {
		return nil
	}
	ids, all := []directory.ID(nil), true
	if hi-lo > 1 {
		ids, all = r.q.candidates(lo, hi)
	}
	if err := r.q.work.err; err != nil {
		return err
	}
	n := len(ids)
	if all {
		n = int(hi - lo)
	}
	if n > slowSearch {
		r.w.Slow()
	}
	each := entryCost + nodeCost*len(r.q.nodes)
	for i := range n {
		id := lo + directory.ID(i)
		if !all {
			id = ids[i]
		}
		if !r.q.work.spend(each) {
			return r.q.work.err
		}
		entry := r.snap.Entry(id)
		if r.req.Scope == ldap.ScopeOne && entry.Parent() != r.base {
			continue
		}
		t := r.q.match(0, id, entry)
		if r.q.work.err != nil {
			return r.q.work.err
		}
		if t != yes {
			continue
		}
		r.found, r.last = r.found+1, id
		if !yield(id, entry) {
			return nil
		}
	}
	return nil
}

func (r *run) send(entry directory.Entry) error {
	buf := r.w.Buf()
	had := len(buf)
	buf = r.q.pick.append(buf, r.w.MessageID(), entry)
	size := len(buf) - had
	if err := r.w.Commit(buf); err != nil {
		return err
	}
	if !r.q.work.spend(size) {
		return r.q.work.err
	}
	return nil
}

// stream answers a search without controls.
func (r *run) stream() error {
	limit, over := r.sizeLimit()
	sent := 0
	var err error
	lo, hi := r.scope()
	scanErr := r.matches(lo, hi, func(_ directory.ID, entry directory.Entry) bool {
		if sent == limit && limit > 0 {
			err = over
			return false
		}
		sent++
		err = r.send(entry)
		return err == nil
	})
	return errors.Join(scanErr, err)
}

// sizeLimit returns how many entries may be sent, 0 for any number, and what
// to answer when there are more.
func (r *run) sizeLimit() (limit int, over error) {
	limit, over = r.req.SizeLimit, errSize
	if max := r.e.cfg.Entries; max > 0 && (limit == 0 || max < limit) {
		limit, over = max, errTooMany
	}
	return limit, over
}
