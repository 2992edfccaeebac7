package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// outcome is what became of a mutant.
type outcome string

const (
	killed   outcome = "killed"    // a test failed
	survived outcome = "survived"  // all passed
	broken   outcome = "broken"    // does not compile
	timeout  outcome = "timed out" // twice, which counts as killed, but is reported
)

// goPackage is what `go list` says of one.
type goPackage struct {
	Dir          string
	ImportPath   string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

// list resolves the names of packages.
func list(ctx context.Context, names []string) ([]goPackage, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-json"}, names...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		pkgs = append(pkgs, p)
	}
	return pkgs, nil
}

// tester runs the tests of one package over changed files.
type tester struct {
	pkg   goPackage
	dir   string        // for overlays
	limit time.Duration // of one run
}

// baseline runs the tests of the unchanged package, and says how long they took.
func (t *tester) baseline(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	out, err := goTest(ctx, t.limit, t.pkg.ImportPath)
	if err != nil {
		return 0, fmt.Errorf("the tests of %s fail without a change: %w\n%s", t.pkg.ImportPath, err, out)
	}
	return time.Since(start), nil
}

// try runs the tests over one mutant. n sets its files apart.
func (t *tester) try(ctx context.Context, n int, m mutant, src []byte) (outcome, error) {
	changed := filepath.Join(t.dir, strconv.Itoa(n)+".go")
	overlay := filepath.Join(t.dir, strconv.Itoa(n)+".json")
	defer os.Remove(changed)
	defer os.Remove(overlay)
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{m.path(t.pkg): changed}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return "", err
	}
	for i := range m.with {
		if err := os.WriteFile(changed, m.apply(src, i), 0o600); err != nil {
			return "", err
		}
		got, err := t.test(ctx, overlay)
		if got == timeout { // a busy machine may have been the reason
			got, err = t.test(ctx, overlay)
		}
		if err != nil || got != broken {
			return got, err
		}
	}
	return broken, nil
}

// test runs the tests over an overlay.
func (t *tester) test(ctx context.Context, overlay string) (outcome, error) {
	out, err := goTest(ctx, t.limit, "-overlay", overlay, t.pkg.ImportPath)
	switch exit := (*exec.ExitError)(nil); {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err == nil:
		return survived, nil
	case !errors.As(err, &exit):
		return "", err
	case bytes.Contains(out, []byte("[build failed]")):
		return broken, nil
	case bytes.Contains(out, []byte("panic: test timed out")), bytes.Contains(out, []byte("Test killed")):
		return timeout, nil
	}
	return killed, nil
}

// goTest runs tests until the first that fails. vet has no say, as it would
// refuse mutants that compile.
func goTest(ctx context.Context, limit time.Duration, args ...string) ([]byte, error) {
	args = append([]string{"test", "-count=1", "-failfast", "-vet=off", "-timeout", limit.String()}, args...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd.CombinedOutput()
}
