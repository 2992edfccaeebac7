// Command bench measures the processor time that an operation takes of ldapd,
// of slapd and of a server made with github.com/nmcclain/ldap, over the same
// entries in the same run. Client and servers share the machine, so this is
// the figure to compare, not the operations a second.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ldapd/test/build"
)

// options is what is measured.
type options struct {
	sizes []int         // numbers of users
	time  time.Duration // for each figure, at least
	conns int           // at a time
	only  string        // operations with this in their name
	ldapd string        // binary
	old   string        // another one, to set beside it; empty: none
	days  int           // to simulate
}

// binders is how many users bind.
const binders = 32

func main() {
	var o options
	sizes := flag.String("users", "1000,10000", "`numbers` of users, with commas between")
	flag.DurationVar(&o.time, "time", 1600*time.Millisecond, "for each figure, at least")
	flag.IntVar(&o.conns, "conns", 16, "connections at a time")
	flag.StringVar(&o.only, "only", "", "measure only operations with this `text` in their name")
	flag.StringVar(&o.ldapd, "ldapd", "", "`binary` to measure (default: built from this tree)")
	flag.StringVar(&o.old, "old", "", "another `binary` of ldapd, to set beside")
	flag.IntVar(&o.days, "days", 2, "`number` of days to simulate")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	for _, s := range strings.Split(*sizes, ",") {
		n, convErr := strconv.Atoi(s)
		if convErr != nil || n < 2*groupsOfUser {
			err = fmt.Errorf("-users %s: must be numbers of at least %d", *sizes, 2*groupsOfUser)
		}
		o.sizes = append(o.sizes, n)
	}
	if err == nil {
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// run measures and prints.
func run(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "ldapd-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.ldapd == "" {
		o.ldapd = filepath.Join(dir, "ldapd")
		if err := build.Ldapd(ctx, o.ldapd); err != nil {
			return err
		}
	}
	baseline := filepath.Join(dir, "nmcclain")
	if err := build.Static(ctx, ".", baseline, "ldapd/test/bench/nmcclain"); err != nil {
		return err
	}
	fmt.Fprint(out, notes)
	for _, n := range o.sizes {
		if err := runSize(ctx, o, baseline, filepath.Join(dir, strconv.Itoa(n)), n, out); err != nil {
			return err
		}
	}
	if err := runVerified(ctx, o, dir, o.sizes[0], out); err != nil {
		return err
	}
	return runEconomy(ctx, o, o.sizes[0], out)
}

const notes = `Processor time of the server per operation, in microseconds, and how many times
ldapd's it is. Passwords: ldapd argon2id, already in its memory; slapd {SSHA};
nmcclain a SHA-1 compared. No log per operation, but in the column "logging",
which is ldapd with its default log, to a file.
`

// runSize measures one size of directory.
func runSize(ctx context.Context, o options, baseline, dir string, n int, out io.Writer) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	d, err := newDirectory(filepath.Join(dir, "users.yaml"), n)
	if err != nil {
		return err
	}
	users := d.users[:min(binders, len(d.users))]
	binds := bindRequests(users)
	lines := slices.DeleteFunc(operations(d, users, binds), func(op operation) bool { return !strings.Contains(op.name, o.only) })
	if len(lines) == 0 {
		return nil
	}
	var servers []*target
	defer func() {
		for _, s := range servers {
			if stopErr := s.stop(); err == nil {
				err = stopErr
			}
		}
	}()
	starts := []func() (*target, error){
		func() (*target, error) { return startLdapd(ctx, "ldapd", o.ldapd, dir, d, "warn") },
		func() (*target, error) { return startSlapd(ctx, d) },
		func() (*target, error) { return startBaseline(ctx, baseline, dir, d) },
		func() (*target, error) { return startLdapd(ctx, "logging", o.ldapd, dir, d, "info") },
	}
	if o.old != "" {
		starts = append(starts, func() (*target, error) { return startLdapd(ctx, "old", o.old, dir, d, "warn") })
	}
	for _, start := range starts {
		s, err := start()
		if err != nil {
			return err
		}
		servers = append(servers, s)
	}
	for _, s := range servers {
		if err := warm(s, append(binds, bindRequest(userDN(service)))); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%d users, %d groups, %d groups a user, %d connections\n", n, d.groups, groupsOfUser, o.conns)
	fmt.Fprintf(out, "%-28s %8s", "", "entries")
	for _, s := range servers {
		fmt.Fprintf(out, " %9s", s.name)
	}
	fmt.Fprintf(out, "   %s/%s %s/%s\n", servers[1].name, servers[0].name, servers[2].name, servers[0].name)
	for _, op := range lines {
		if err := runOperation(ctx, o, op, servers, out); err != nil {
			return err
		}
	}
	return nil
}

// rounds is how often all servers are measured in turn, so that what else the
// machine does meanwhile hits all of them.
const rounds = 4

// runOperation measures one operation with all servers and prints its line.
func runOperation(ctx context.Context, o options, op operation, servers []*target, out io.Writer) error {
	probed := -1
	for _, s := range servers {
		if op.skip[s.name] {
			continue
		}
		n, err := probe(s, op)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", s.name, op.name, err)
		}
		if probed >= 0 && n != probed {
			return fmt.Errorf("%s, %s: %d entries, where %s finds %d", s.name, op.name, n, servers[0].name, probed)
		}
		probed = n
	}
	cells := make([]cell, len(servers))
	for range rounds {
		for i, s := range servers {
			if op.skip[s.name] {
				continue
			}
			c, err := measure(ctx, s, op, o.conns, o.time/rounds)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, op.name, err)
			}
			cells[i].add(c)
		}
	}
	fmt.Fprintf(out, "%-28s %8.1f", op.name, cells[0].entriesEach())
	for _, c := range cells {
		fmt.Fprintf(out, " %9s", figure(c.cpuEach()))
	}
	fmt.Fprintf(out, "   %*s %*s\n", len("slapd/ldapd"), ratio(cells[1], cells[0]), len("nmcclain/ldapd"), ratio(cells[2], cells[0]))
	return nil
}

func figure(us float64) string {
	switch {
	case us == 0:
		return "-"
	case us < 100:
		return fmt.Sprintf("%.1f", us)
	}
	return fmt.Sprintf("%.0f", us)
}

func ratio(a, b cell) string {
	if a.cpu == 0 || b.cpu == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", a.cpuEach()/b.cpuEach())
}
