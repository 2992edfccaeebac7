// Command mutate says which conditions of a package its tests do not look at.
//
// It changes one thing at a time (a condition, an operator, a literal, a
// statement), runs the package's own tests over that, and lists the changes
// that no test noticed. The tree is not touched: go test reads changed files
// through an overlay.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// options are the flags.
type options struct {
	only     string        // file, or file:line
	fields   bool          // leave out fields of literals, too
	since    string        // path of the record
	accepted string        // path of the list
	parallel int           // runs at a time
	timeout  time.Duration // of a run, unless the baseline asks for more
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "change only this `file`, or its line (file.go:12)")
	flag.BoolVar(&o.fields, "fields", false, "also leave fields out of composite literals")
	flag.StringVar(&o.since, "since", "", "keep results in this `file`, and leave out what it has of files that are the same")
	flag.StringVar(&o.accepted, "accepted", "", "`file` with survivors that are known, and why")
	flag.IntVar(&o.parallel, "parallel", runtime.NumCPU(), "`number` of runs at a time")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "for the tests of a package, or five times what they took unchanged if that is more")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: mutate [flags] PACKAGE...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	n, err := run(ctx, o, flag.Args(), os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutate: %v\n", err)
		os.Exit(2)
	}
	if n > 0 {
		os.Exit(1)
	}
}

// run tries all mutants of packages, writes the report, and returns how many
// survived that are not accepted.
func run(ctx context.Context, o options, names []string, out, progress io.Writer) (unknown int, err error) {
	accepted, err := readAccepted(o.accepted)
	if err != nil {
		return 0, err
	}
	rec, err := openRecord(o.since)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rec.close()) }()
	pkgs, err := list(ctx, names)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	for _, p := range pkgs {
		n, err := runPackage(ctx, o, p, dir, rec, accepted, out, progress)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.ImportPath, err)
		}
		unknown += n
	}
	return unknown, nil
}

// job is a mutant with what is needed to try it.
type job struct {
	mutant
	src  []byte
	sum  string // of the file
	done outcome
}

// path is where the mutant's file is.
func (m mutant) path(p goPackage) string { return filepath.Join(p.Dir, filepath.Base(m.file)) }

func runPackage(ctx context.Context, o options, p goPackage, dir string, rec *record, accepted map[string]string, out, progress io.Writer) (int, error) {
	jobs, ids, err := jobsOf(p, o)
	if err != nil {
		return 0, err
	}
	t := &tester{pkg: p, dir: dir, limit: o.timeout}
	var open []*job
	for i := range jobs {
		j := &jobs[i]
		if j.done = rec.outcomes[j.sum+j.id()]; j.done != killed && j.done != broken {
			open = append(open, j)
		}
	}
	if len(open) > 0 {
		all, err := sum(p.Dir, p.files()...)
		if err != nil {
			return 0, err
		}
		took, known := rec.baseline[all]
		if !known {
			if took, err = t.baseline(ctx); err != nil {
				return 0, err
			}
			if err := rec.add(entry{Sum: all, Took: took}); err != nil {
				return 0, err
			}
		}
		t.limit = max(o.timeout, 5*took)
		if err := tryAll(ctx, t, open, o.parallel, rec, progress); err != nil {
			return 0, err
		}
	}
	return report(p, jobs, ids, accepted, out), nil
}

// jobsOf finds the mutants of a package's files that were asked for, and the
// ids of all. Files are named by their path from the working directory.
func jobsOf(p goPackage, o options) (jobs []job, ids map[string]bool, err error) {
	file, at, _ := strings.Cut(o.only, ":")
	line := 0
	if at != "" {
		if line, err = strconv.Atoi(at); err != nil {
			return nil, nil, fmt.Errorf("-only: %w", err)
		}
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, nil, err
	}
	ids = make(map[string]bool)
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return nil, nil, err
		}
		found, err := mutants(filepath.ToSlash(rel), src)
		if err != nil {
			return nil, nil, err
		}
		s, err := sum(p.Dir, name)
		if err != nil {
			return nil, nil, err
		}
		for _, m := range found {
			ids[m.id()] = true
			if (file == "" || name == filepath.Base(file)) && (line == 0 || m.line == line) && (o.fields || !m.field) {
				jobs = append(jobs, job{mutant: m, src: src, sum: s})
			}
		}
	}
	if o.only != "" && len(jobs) == 0 {
		return nil, nil, fmt.Errorf("-only: nothing to change in %s", o.only)
	}
	return jobs, ids, nil
}

// tryAll tries jobs, a few at a time, and stops at the first error.
func tryAll(ctx context.Context, t *tester, jobs []*job, parallel int, rec *record, progress io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards tried and rec
		todo = make(chan int)
	)
	tried := 0
	for range max(parallel, 1) {
		wg.Go(func() {
			for i := range todo {
				j := jobs[i]
				done, err := t.try(ctx, i, j.mutant, j.src)
				mu.Lock()
				if j.done = done; err == nil {
					err = rec.add(entry{Sum: j.sum, Mutant: j.id(), Outcome: done})
				}
				tried++
				fmt.Fprintf(progress, "%d/%d %s:%d: %s: %s\n", tried, len(jobs), j.file, j.line, j.what, done)
				mu.Unlock()
				if err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for i := range jobs {
		select {
		case todo <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(todo)
	wg.Wait()
	return context.Cause(ctx)
}

// report writes what became of a package's mutants, and returns how many
// survived that are not accepted. It also says what is accepted for nothing: a
// mutant that was killed, or is not there. One that only the time killed is
// named, as tests that are slow or hang by themselves look the same.
func report(p goPackage, jobs []job, ids map[string]bool, accepted map[string]string, out io.Writer) (unknown int) {
	count := make(map[outcome]int)
	var stale []string
	for _, j := range jobs {
		count[j.done]++
		_, known := accepted[j.id()]
		switch {
		case j.done == survived && !known:
			unknown++
			fmt.Fprintf(out, "%s:%d: %s: %s\n", j.file, j.line, cmp.Or(j.in, "package"), j.what)
		case j.done == timeout:
			fmt.Fprintf(out, "no end: %s:%d: %s: %s\n", j.file, j.line, cmp.Or(j.in, "package"), j.what)
		case j.done != survived && known:
			stale = append(stale, j.id())
		}
	}
	for id := range accepted {
		if file, _, _ := strings.Cut(id, ": "); len(jobs) > 0 && path.Dir(file) == path.Dir(jobs[0].file) && !ids[id] {
			stale = append(stale, id)
		}
	}
	slices.Sort(stale)
	for _, id := range stale {
		fmt.Fprintf(out, "accepted for nothing: %s\n", id)
	}
	fmt.Fprintf(out, "%s: %d mutants, %d killed (%d without an end), %d survived (%d accepted), %d did not compile\n", p.ImportPath,
		len(jobs)-count[broken], count[killed]+count[timeout], count[timeout], count[survived], count[survived]-unknown, count[broken])
	return unknown
}
