package directory

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"sort"

	"ldapd/internal/schema"
)

// index finds entries by attribute and value. Each posting is the hash of
// both in the high half and the ID in the low one, so that the postings of a
// value are a run of a sorted slice. Two values with one hash share a run.
type index struct {
	seed  maphash.Seed
	posts []uint64
	dir   []uint32 // where the postings begin whose hash has these top bits
	shift uint
}

// indexed reports whether equality of an attribute is indexed: not for those
// that nobody looks for, or that all entries have alike.
func indexed(at *schema.AttributeType) bool {
	switch at.ID {
	case schema.ObjectClass, schema.UniqueMember, // answered otherwise
		schema.StructuralObjectClass, schema.SubschemaSubentry, schema.HasSubordinates,
		schema.PwdChangedTime, schema.CreateTimestamp, schema.ModifyTimestamp:
		return false
	}
	return at.Equality != nil
}

func (x *index) hash(id uint16, norm []byte) uint32 {
	h := maphash.Bytes(x.seed, norm) ^ uint64(id)*0x9e3779b97f4a7c15
	h *= 0xff51afd7ed558ccd
	return uint32(h >> 32)
}

// Equal returns the entries that have a value of an attribute, in normal
// form, and perhaps some others; or that the attribute is not indexed.
func (s *Snapshot) Equal(at *schema.AttributeType, norm []byte) (p Posting, ok bool) {
	id := at.ID
	switch {
	case s.index == nil:
		return Posting{}, false
	case id == schema.ObjectClass:
		return Posting{spans: s.classes[string(norm)], exact: true}, true
	case id == schema.UniqueMember:
		id = schema.Member
	case !indexed(at):
		return Posting{}, false
	}
	return Posting{run: s.index.find(s.index.hash(id, norm))}, true
}

func (x *index) find(hash uint32) []uint64 {
	b := hash >> x.shift
	run := x.posts[x.dir[b]:x.dir[b+1]]
	lo := sort.Search(len(run), func(i int) bool { return uint32(run[i]>>32) >= hash })
	run = run[lo:]
	hi := sort.Search(len(run), func(i int) bool { return uint32(run[i]>>32) > hash })
	return run[:hi]
}

// buildIndex builds all indexes from the encoded entries.
func (s *Snapshot) buildIndex() {
	s.buildClasses()
	x := &index{seed: maphash.MakeSeed()}
	count := 0
	for i := range s.records {
		for a := range s.Entry(ID(i)).Attrs() {
			if indexed(a.Type) {
				for range a.Values() {
					count++
				}
			}
		}
	}
	x.posts = make([]uint64, 0, count)
	g := newGrams(len(s.records))
	var norm []byte
	for i := range s.records {
		g.begin()
		for a := range s.Entry(ID(i)).Attrs() {
			if !indexed(a.Type) {
				continue
			}
			for v := range a.Values() {
				var ok bool
				if norm, ok = a.Type.Equality.Normalize(norm[:0], v); ok {
					x.posts = append(x.posts, uint64(x.hash(a.Type.ID, norm))<<32|uint64(i))
					g.add(a.Type, norm)
				}
			}
		}
		g.count()
	}
	slices.Sort(x.posts)
	x.posts = slices.Compact(x.posts)
	x.buildDir()
	s.index = x

	g.allocate()
	for i := range s.records {
		g.begin()
		for a := range s.Entry(ID(i)).Attrs() {
			if a.Type.PrefixLike && indexed(a.Type) {
				for v := range a.Values() {
					var ok bool
					if norm, ok = a.Type.Equality.Normalize(norm[:0], v); ok {
						g.add(a.Type, norm)
					}
				}
			}
		}
		g.store(ID(i))
	}
	g.done()
	s.grams = g
}

// buildDir makes the directory, for about 16 postings a bucket.
func (x *index) buildDir() {
	n := min(bits.Len(uint(len(x.posts)/16)), 28)
	x.shift = uint(32 - n)
	x.dir = make([]uint32, 1<<n+1)
	at := 0
	for b := range x.dir {
		for at < len(x.posts) && uint64(uint32(x.posts[at]>>32))>>x.shift < uint64(b) {
			at++
		}
		x.dir[b] = uint32(at)
	}
}

// buildClasses finds the ranges of IDs that have each object class.
func (s *Snapshot) buildClasses() {
	s.classes = make(map[string][]Span)
	for lo := 0; lo < len(s.records); {
		k := s.forms[s.records[lo].form].kind
		hi := lo + 1
		for hi < len(s.records) && s.forms[s.records[hi].form].kind == k {
			hi++
		}
		for _, class := range k.classes {
			spans := s.classes[class]
			if n := len(spans); n > 0 && spans[n-1].Hi == ID(lo) {
				spans[n-1].Hi = ID(hi)
			} else {
				s.classes[class] = append(spans, Span{ID(lo), ID(hi)})
			}
		}
		lo = hi
	}
}
