package directory

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"testing"
	"time"

	"ldapd/internal/schema"
)

// bulk makes a directory of the size that the figures are told for.
func bulk(users, groups, each int) ([]User, []Group) {
	g := make([]Group, groups)
	for i := range g {
		g[i] = Group{UUID: id(fmt.Sprint("g", i)), Name: fmt.Sprintf("group%04d", i), NumPK: int64(i)}
	}
	u := make([]User, users)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range u {
		name := fmt.Sprintf("user%06d", i)
		u[i] = User{
			UUID: id(name), UID: fmt.Sprintf("%x", sha256.Sum256([]byte(name))), PK: int64(i),
			Username: name, Name: fmt.Sprintf("Given%06d Family%06d", i, i), Email: name + "@example.org", Active: true,
			PasswordChanged: at, Created: at, Updated: at,
		}
		for j := range each {
			u[i].Groups = append(u[i].Groups, g[(i*7+j*131)%groups].UUID)
		}
	}
	return u, g
}

func BenchmarkBuild(b *testing.B) {
	users, groups := bulk(10_000, 500, 5)
	b.ReportAllocs()
	for b.Loop() {
		build(b, users, groups)
	}
}

// BenchmarkSize tells what a snapshot of 100 000 users keeps in memory.
func BenchmarkSize(b *testing.B) {
	users, groups := bulk(100_000, 5_000, 5)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		s := build(b, users, groups)
		used := heap() - before
		var arena, grams uint64
		for _, c := range s.chunks {
			arena += uint64(cap(c))
		}
		grams = uint64(4 * (len(s.grams.ids) + len(s.grams.start)))
		b.ReportMetric(float64(used)/float64(len(users)), "B/user")
		b.ReportMetric(float64(arena)/float64(len(users)), "arena-B/user")
		b.ReportMetric(float64(8*len(s.index.posts)+4*len(s.index.dir))/float64(len(users)), "index-B/user")
		b.ReportMetric(float64(grams)/float64(len(users)), "grams-B/user")
		runtime.KeepAlive(s)
	}
}

func BenchmarkLookup(b *testing.B) {
	users, groups := bulk(10_000, 500, 5)
	s := build(b, users, groups)
	uid, dn := s.Schema.Type(schema.UID), []byte("cn=user004711,ou=users,"+lowerBase)
	value := []byte(users[4711].UID)
	buf := make([]byte, 0, 4096)
	b.Run("uid", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, _ := s.Equal(uid, value)
			for id := range p.All() {
				if a, ok := s.Entry(id).Attr(uid.ID); !ok || len(a.First()) != 64 {
					b.Fatal("not found")
				}
				break
			}
		}
	})
	b.Run("dn", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := s.Find(dn); !ok {
				b.Fatal("not found")
			}
		}
	})
	i, _ := s.Find(dn)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = s.Entry(i).AppendUser(buf[:0])
		}
	})
	b.Run("attrs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for a := range s.Entry(i).Attrs() {
				for v := range a.Values() {
					n += len(v)
				}
			}
		}
	})
	b.Run("account", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := s.AccountByName("user004711"); !ok {
				b.Fatal("not found")
			}
		}
	})
	b.Run("restrict", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := s.Restrict(users[4711].UUID); !ok {
				b.Fatal("not found")
			}
		}
	})
}
