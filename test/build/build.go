// Package build makes the binary of ldapd that tests and benchmarks start.
package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Ldapd builds the static binary. It does so in the module ldapd, whose go.mod
// has the versions that ship: the tests' own may ask for newer ones. The path
// of the binary must be absolute.
func Ldapd(ctx context.Context, binary string) error {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "ldapd").Output()
	if err != nil {
		return fmt.Errorf("build ldapd: find its module: %w", err)
	}
	return Static(ctx, strings.TrimSpace(string(dir)), binary, "./cmd/ldapd")
}

// Static builds a command without cgo, for a package as seen from dir.
func Static(ctx context.Context, dir, binary, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-C", dir, "-trimpath", "-o", binary, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
