package verified

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"ldapd/internal/verified/keyring"
)

// grain is the difference in time that alone makes no change: when callers
// that shared one flow each note when that was, the first one is enough.
const grain = time.Second

// clone returns a copy that shares nothing but verifiers; of nil an empty one.
func (r *Record) clone() *Record {
	if r == nil {
		return &Record{}
	}
	c := *r
	c.Credentials = slices.Clone(r.Credentials)
	for i := range c.Credentials {
		c.Credentials[i] = c.Credentials[i].clone()
	}
	return &c
}

func (c *Credential) clone() Credential {
	n := *c
	n.Proofs = slices.Clone(c.Proofs)
	n.Places = slices.Clone(c.Places)
	if c.Session != nil {
		s := *c.Session
		n.Session = &s
	}
	return n
}

// index returns where the credential is, -1 if it is not there.
func (r *Record) index(id string) int {
	return slices.IndexFunc(r.Credentials, func(c Credential) bool { return c.ID == id })
}

// trim drops the credentials proved least lately, and of each the proofs and
// places used least lately, if there are too many. A proof is used when it is
// made, when it admits, and when the backend is asked with its cookie.
func (r *Record) trim() {
	if len(r.Credentials) > maxCredentials {
		r.Credentials = slices.Clip(r.Credentials[:maxCredentials])
	}
	for i := range r.Credentials {
		c := &r.Credentials[i]
		if len(c.Places) > maxPlaces {
			c.Places = slices.Clip(c.Places[:maxPlaces])
		}
		c.dropProofs(maxCodes, func(p *Proof) bool { return p.Code.Key != "" })
		c.dropProofs(maxOthers, func(p *Proof) bool { return p.Code.Key == "" })
	}
}

// dropProofs leaves so many proofs of a kind, those used last.
func (c *Credential) dropProofs(most int, kind func(*Proof) bool) {
	for {
		n, oldest := 0, -1
		for i := range c.Proofs {
			p := &c.Proofs[i]
			if !kind(p) {
				continue
			}
			if n++; oldest < 0 || p.used().Before(c.Proofs[oldest].used()) {
				oldest = i
			}
		}
		if n <= most {
			return
		}
		c.Proofs = slices.Delete(c.Proofs, oldest, oldest+1)
	}
}

func (p *Proof) used() time.Time {
	last := p.At
	for _, t := range []time.Time{p.Asked, p.Used} {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// adopt takes over what this process knows of the passwords.
func (r *Record) adopt(from *Record) {
	if r == nil || from == nil {
		return
	}
	for i := range r.Credentials {
		v := r.Credentials[i].verifier
		if j := from.index(r.Credentials[i].ID); j >= 0 && v.cold() {
			v.fast.Store(from.Credentials[j].fast.Load()) // an ID means one password forever
		}
	}
}

// canon returns the record as the store would give it back; nil if it is
// empty.
func (c codec) canon(r *Record) (*Record, error) {
	r.trim()
	plain := marshal(r)
	if len(plain) > maxValue-keyring.Overhead {
		return nil, errSize
	}
	n, err := c.unmarshal(plain)
	n.adopt(r)
	return n, err
}

// alike reports that a change made no difference but in the names of proofs
// and in times, and in those a small one.
func alike(before, after *Record) bool {
	if before == nil || after == nil {
		return before == after
	}
	after = after.clone()
	for i := range min(len(before.Credentials), len(after.Credentials)) {
		b, a := &before.Credentials[i], &after.Credentials[i]
		round(&a.First, b.First)
		round(&a.Proved, b.Proved)
		round(&a.Told, b.Told)
		if b.Session != nil && a.Session != nil {
			round(&a.Session.Begin, b.Session.Begin)
			round(&a.Session.Asked, b.Session.Asked)
		}
		for j := range min(len(b.Proofs), len(a.Proofs)) {
			round(&a.Proofs[j].At, b.Proofs[j].At)
			round(&a.Proofs[j].Asked, b.Proofs[j].Asked)
			round(&a.Proofs[j].Used, b.Proofs[j].Used)
			a.Proofs[j].ID = b.Proofs[j].ID
		}
	}
	return bytes.Equal(marshal(before), marshal(after))
}

func round(t *time.Time, before time.Time) {
	if t.Sub(before).Abs() < grain { // never of none and a time
		*t = before
	}
}

// mark says what the store does not know of a credential yet.
type mark uint8

const (
	changed mark = iota + 1 // if it is there still
	proved                  // it is to be there, in front
	removed
)

// marks are by the IDs of credentials.
type marks map[string]mark

// add takes what came later into account.
func (m marks) add(later marks) marks {
	out := make(marks, len(m)+len(later))
	maps.Copy(out, m)
	for id, k := range later {
		if k == changed && out[id] == proved {
			continue
		}
		out[id] = k
	}
	return out
}

// merge returns the record of the store with what it does not know yet: the
// last writer wins, for each credential. What others removed meanwhile does
// not come back, unless it was proved here.
func merge(stored, own *Record, unsaved marks) *Record {
	if len(unsaved) == 0 {
		return stored
	}
	rest := stored.clone()
	var front []Credential
	if own != nil {
		rest.Username = own.Username
		for i := range own.Credentials {
			c := own.Credentials[i].clone()
			what := unsaved[c.ID]
			if what == 0 {
				continue
			}
			at := rest.index(c.ID)
			if at < 0 && what == proved {
				at = slices.IndexFunc(rest.Credentials, func(o Credential) bool {
					return o.scheme == c.scheme && equal(&o.slow, &c.slow)
				})
			}
			switch {
			case at >= 0 && what == proved:
				c.ID = rest.Credentials[at].ID
				rest.Credentials = slices.Delete(rest.Credentials, at, at+1)
				front = append(front, c)
			case at >= 0:
				rest.Credentials[at] = c
			case what == proved:
				front = append(front, c)
			}
		}
	}
	rest.Credentials = slices.DeleteFunc(rest.Credentials, func(c Credential) bool { return unsaved[c.ID] == removed })
	rest.Credentials = append(front, rest.Credentials...)
	rest.trim()
	if len(rest.Credentials) == 0 {
		return nil
	}
	return rest
}
