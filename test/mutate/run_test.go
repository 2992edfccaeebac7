package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sample = "testdata/sample/sample.go"

// The changes that the tests of the sample do not notice.
var survivors = []string{
	":15: Door.Knock: d.Knocks++ → dropped",
	`:17: Door.Knock: name == "" → false`,
	":20: Door.Knock: d.names = append(d.names, name) → dropped",
}

func sampleOptions(t *testing.T) options {
	dir := t.TempDir()
	return options{parallel: 2, timeout: time.Minute, since: filepath.Join(dir, "since"), accepted: filepath.Join(dir, "accepted")}
}

// runSample returns the report without its last line, that line, and how many
// mutants were tried.
func runSample(t *testing.T, o options) (report []string, totals string, tried int) {
	t.Helper()
	var out, progress bytes.Buffer
	n, err := run(t.Context(), o, []string{"./testdata/sample"}, &out, &progress)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	report, totals = lines[:len(lines)-1], lines[len(lines)-1]
	unknown := 0
	for _, l := range report {
		if !strings.HasPrefix(l, "accepted for nothing") {
			unknown++
		}
	}
	if n != unknown {
		t.Errorf("%d survivors returned, %d reported", n, unknown)
	}
	return report, totals, strings.Count(progress.String(), "\n")
}

// TestRun goes through the whole life of a list of survivors.
func TestRun(t *testing.T) {
	before, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	o := sampleOptions(t)
	report, totals, tried := runSample(t, o)
	want := strings.Join([]string{sample + survivors[0], sample + survivors[1], sample + survivors[2]}, "\n")
	if got := strings.Join(report, "\n"); got != want {
		t.Errorf("report\n%s\nwant\n%s", got, want)
	}
	const all = "ldapd/test/mutate/testdata/sample: 15 mutants, 12 killed (0 without an end), 3 survived (0 accepted), 0 did not compile"
	if totals != all || tried != 15 {
		t.Errorf("%d tried: %s", tried, totals)
	}

	// Only survivors are tried again; one is accepted, and one that is not there.
	list := "# why\n" +
		sample + ": Door.Knock: d.Knocks++ → dropped # nobody counts\n" +
		sample + ": Door.Knock: gone → true # it was there\n" +
		"testdata/other/other.go: f: x → true # another package's\n"
	if err := os.WriteFile(o.accepted, []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	report, totals, tried = runSample(t, o)
	want = strings.Join([]string{sample + survivors[1], sample + survivors[2], "accepted for nothing: " + sample + ": Door.Knock: gone → true"}, "\n")
	if got := strings.Join(report, "\n"); got != want || tried != 3 {
		t.Errorf("%d tried, report\n%s\nwant\n%s", tried, got, want)
	}
	if !strings.Contains(totals, "15 mutants, 12 killed (0 without an end), 3 survived (1 accepted)") {
		t.Error(totals)
	}

	// A single line, whose survivor is accepted.
	o.only = "sample.go:15"
	if report, totals, tried = runSample(t, o); len(report) != 1 || tried != 1 {
		t.Errorf("%d tried, report %q, %s", tried, report, totals)
	}
	if after, err := os.ReadFile(sample); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the sample was changed, %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	o := sampleOptions(t)
	o.only = "nothing.go"
	if _, err := run(t.Context(), o, []string{"./testdata/sample"}, io.Discard, io.Discard); err == nil {
		t.Error("no error for a file that is not there")
	}
	o = sampleOptions(t)
	if err := os.WriteFile(o.accepted, []byte("a.go: f: x → true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t.Context(), o, []string{"./testdata/sample"}, io.Discard, io.Discard); err == nil {
		t.Error("no error for an acceptance without a reason")
	}
	if _, err := run(t.Context(), sampleOptions(t), []string{"./no/such/package"}, io.Discard, io.Discard); err == nil {
		t.Error("no error for a package that is not there")
	}
}

// TestOutcomes has the ends that the sample does not have.
func TestOutcomes(t *testing.T) {
	pkgs, err := list(t.Context(), []string{"./testdata/sample"})
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old string, with ...string) mutant {
		at := bytes.Index(src, []byte(old))
		return mutant{file: sample, start: at, end: at + len(old), with: with}
	}
	run := &tester{pkg: pkgs[0], dir: t.TempDir()}
	for _, tt := range []struct {
		mutant mutant
		want   outcome
	}{
		{replace("age < 18", "unknown"), broken},
		{replace("age < 18", "unknown", "age < 16"), killed},
		{replace("age < 18", "unknown", "age <= 17"), survived},
		{replace("from++", "_ = from"), timeout},
	} {
		run.limit = time.Minute
		if tt.want == timeout {
			run.limit = time.Second
		}
		got, err := run.try(t.Context(), 0, tt.mutant, src)
		if err != nil || got != tt.want {
			t.Errorf("%q: %s, %v; want %s", tt.mutant.with, got, err, tt.want)
		}
	}
}
