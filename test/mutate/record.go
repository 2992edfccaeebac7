package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// record keeps what earlier runs found, one JSON value a line. It holds for as
// long as the file with the mutant is the same. Survivors are tried again, as
// there may be new tests.
type record struct {
	path     string
	outcomes map[string]outcome       // by the file's sum and the mutant's id
	baseline map[string]time.Duration // by the sum of a package with its tests
	out      *os.File                 // nil: nothing is kept
}

// entry is a line of a record.
type entry struct {
	Sum     string        `json:"sum"`
	Mutant  string        `json:"mutant,omitempty"`
	Outcome outcome       `json:"outcome,omitempty"`
	Took    time.Duration `json:"took,omitempty"` // ns, of a package's tests
}

// openRecord reads a record, or starts one; without a path none is kept.
func openRecord(path string) (*record, error) {
	r := &record{path: path, outcomes: make(map[string]outcome), baseline: make(map[string]time.Duration)}
	if path == "" {
		return r, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	r.out = f
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e entry
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // cut off when a run was stopped
		}
		if e.Mutant == "" {
			r.baseline[e.Sum] = e.Took
		} else {
			r.outcomes[e.Sum+e.Mutant] = e.Outcome
		}
	}
	return r, nil
}

func (r *record) add(e entry) error {
	if r.out == nil {
		return nil
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = r.out.Write(append(b, '\n'))
	return err
}

func (r *record) close() error {
	if r.out == nil {
		return nil
	}
	return r.out.Close()
}

// sum is over the contents of files.
func sum(dir string, files ...string) (string, error) {
	h := sha256.New()
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(b), b)
	}
	return hex.EncodeToString(h.Sum(nil)[:12]), nil
}

// files are those of a package, tests too.
func (p goPackage) files() []string { return slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) }

// readAccepted reads the survivors that are known, each with its reason:
//
//	internal/mfa/totp.go: TOTP.Match: c < 0 → c <= 0 # the counter 0 was in 1970
func readAccepted(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	reasons := make(map[string]string)
	for i, line := range strings.Split(string(b), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " # ")
		if at < 0 {
			return nil, fmt.Errorf("%s:%d: no reason after \" # \"", path, i+1)
		}
		reasons[strings.TrimSpace(line[:at])] = strings.TrimSpace(line[at+3:])
	}
	return reasons, nil
}
