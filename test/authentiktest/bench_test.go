package authentiktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"

	ak "ldapd/internal/authentik/authentiktest"
)

func TestPopulate(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice"})
	s.Populate(250, 12, 3)
	c := newClient(t, s)
	seen := make(map[any]bool)
	members := 0
	for page := 1; page != 0; {
		a := c.get(fmt.Sprintf("core/users/?ordering=pk&page_size=100&page=%d", page))
		for _, pk := range a.column("pk") {
			seen[pk] = true
		}
		page = a.pagination("next")
	}
	want(t, "users", len(seen), 252)
	groups := c.get("core/groups/?page_size=100")
	for _, users := range groups.column("users") {
		members += len(users.([]any))
	}
	want(t, "groups", groups.pagination("count"), 12)
	want(t, "memberships", members, 750)
	want(t, "login", c.login("user000249", ak.PopulatePassword).component(), "xak-flow-redirect")

	s.PopulateTOTP(249)
	codes := make(map[string]bool)
	for i := range 249 {
		name := fmt.Sprintf("user%06d", i)
		codes[s.User(name).Devices[0].Secret] = true
	}
	want(t, "secrets", len(codes), 249)
	clear(c.cookies)
	want(t, "without a code", c.login("user000248", ak.PopulatePassword).component(), validate)
	want(t, "with a code", c.code(s.Code("user000248")).component(), "xak-flow-redirect")
	clear(c.cookies)
	want(t, "without a device", c.login("user000249", ak.PopulatePassword).component(), "xak-flow-redirect")
}

// BenchmarkScan reads a directory of 100 000 users and 5 000 groups.
func BenchmarkScan(b *testing.B) {
	for _, version := range []string{ak.V2026_5, ak.V2025_10} {
		b.Run(version, func(b *testing.B) {
			s := ak.New(b, ak.Options{Version: version})
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			s.Populate(100_000, 5_000, 3)
			runtime.GC()
			runtime.ReadMemStats(&after)
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			requests := 0
			for b.Loop() {
				requests += scan(b, tr, s, "core/users/?include_groups=false&include_roles=false&ordering=pk&page_size=100")
				requests += scan(b, tr, s, "core/groups/?include_users=false&page_size=100")
			}
			b.ReportMetric(float64(requests)/b.Elapsed().Seconds(), "requests/s")
			b.ReportMetric(float64(requests)/float64(b.N), "requests/op")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		})
	}
}

func scan(b *testing.B, tr *http.Transport, s *ak.Server, path string) (requests int) {
	b.Helper()
	for page := 1; page != 0; requests++ {
		r, err := http.NewRequest("GET", fmt.Sprintf("%s/api/v3/%s&page=%d", s.URL, path, page), nil)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.Token)
		resp, err := tr.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		var v struct {
			Pagination struct{ Next int }
		}
		d := json.NewDecoder(resp.Body)
		// The envelope comes first: no need to read the rows.
		for range 2 {
			if _, err := d.Token(); err != nil {
				b.Fatal(err)
			}
		}
		if err := d.Decode(&v.Pagination); err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, d.Buffered())
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		page = v.Pagination.Next
	}
	return requests
}
