package sse

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the tables anew")

// story is what happens at a site, in rows.
type story struct {
	*site
	rows  []string
	codes map[string]string // one-time codes -> what they are called in the table
}

func newStory(t *testing.T, o siteOptions) *story {
	t.Helper()
	return &story{site: newSite(t, o), codes: map[string]string{}}
}

// tell adds a row.
func (s *story) tell(who, what, codes, fate string) {
	since := s.Now().Sub(began.Truncate(day))
	s.rows = append(s.rows, row(fmt.Sprint(int(since/day)), s.Now().Format("15:04:05"), who, what, codes, fate))
}

func row(day, time, who, what, codes, fate string) string {
	return strings.TrimRight(fmt.Sprintf("%3s %-8s  %-18s %-66s %-24s %s", day, time, who, what, codes, fate), " ")
}

// must is about a fate that is not as it has to be, whatever the table says.
func (s *story) must(got, want fate) {
	s.Helper()
	if got != want {
		s.Errorf("%s, want %s:\n%s", got, want, s.rows[len(s.rows)-1])
	}
}

// code returns the one-time code of alice, which was not used yet.
func (s *story) code() string {
	s.Helper()
	s.Advance(time.Minute)
	c := s.authentik.Code(alice)
	s.codes[c] = fmt.Sprintf("CODE%d", len(s.codes)+1)
	return c
}

// show replaces the one-time code in a text by its name.
func (s *story) show(text string) string {
	if head, code, ok := strings.Cut(text, ";"); ok && s.codes[code] != "" {
		return head + ";" + s.codes[code]
	}
	return text
}

// with says which password it is, if it is not the first one.
func (s *story) with(name, password string) string {
	uid, _, _ := strings.Cut(name, ";")
	first := "Passw0rd-" + uid
	switch rest, ok := strings.CutPrefix(password, first); {
	case ok && rest == "":
		return ""
	case ok:
		return " with password" + s.show(rest)
	}
	return " with " + s.show(password)
}

// compare compares the rows with the table in testdata.
func (s *story) compare(name string) {
	s.Helper()
	got := row("day", "time", "who", "what", "codes", "Nextcloud") + "\n" +
		strings.Join(s.rows, "\n") + "\n"
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			s.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(file)
	if err != nil {
		s.Fatal(err)
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(text), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			s.Fatalf("differs from %s at line %d\n--- want\n%s\n--- got\n%s", file, i+1,
				strings.Join(w[min(i, len(w)):min(i+5, len(w))], "\n"), strings.Join(g[min(i, len(g)):min(i+5, len(g))], "\n"))
		}
	}
}
