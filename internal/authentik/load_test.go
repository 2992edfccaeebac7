package authentik

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"ldapd/internal/authentik/authentiktest"
)

// The child of TestLoad gets these.
const (
	loadHost  = "LDAPD_TEST_LOAD_HOST"
	loadToken = "LDAPD_TEST_LOAD_TOKEN"
	loadDir   = "LDAPD_TEST_LOAD_DIR"
)

// TestLoad measures what reading a directory, building it and, after a change,
// building it again beside the one in use, takes of memory. That is of a
// process, so the reader is a child: this test, with an environment.
func TestLoad(t *testing.T) {
	if os.Getenv(loadHost) != "" {
		load(t)
		return
	}
	fake := authentiktest.New(t, authentiktest.Options{})
	fake.Populate(loadUsers, loadGroups, 5)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLoad$", "-test.v")
	cmd.Env = append(os.Environ(), loadHost+"="+fake.URL, loadToken+"="+fake.Token, loadDir+"="+t.TempDir())
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak := 0
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		line := lines.Text()
		if line == "loaded" {
			fake.Deactivate("user000005")
		}
		if kib, ok := strings.CutPrefix(line, "peak KiB "); ok {
			if peak, err = strconv.Atoi(kib); err != nil {
				t.Fatal(err)
			}
		}
		t.Log(line)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	if peak == 0 || peak > loadLimit {
		t.Errorf("%d KiB of memory, at most %d", peak, loadLimit)
	}
	t.Logf("%d users, %d groups: %d KiB, %v", loadUsers, loadGroups, peak, fake.Counters().Requests)
}

func load(t *testing.T) {
	client := newClient(t, Config{Host: os.Getenv(loadHost), Token: StaticToken(os.Getenv(loadToken))})
	published := make(chan []Published, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := time.Now()
	c := NewController(ControllerOptions{
		Client: client, StateDir: os.Getenv(loadDir), Interval: 100 * time.Millisecond,
		Publish: func(p []Published) { published <- p },
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	// What is served stays until its successor is there.
	serving := <-published
	fmt.Println("read in", time.Since(start))
	fmt.Println(peak(t))
	fmt.Println("loaded")
	start = time.Now()
	next := <-published
	fmt.Println("change in", time.Since(start))
	if n := entries(loadUsers+1, loadGroups); serving[0].Snapshot.Len() != n || next[0].Snapshot.Len() != n {
		t.Errorf("%d and %d entries, want %d", serving[0].Snapshot.Len(), next[0].Snapshot.Len(), n)
	}
	cancel()
	<-done
	fmt.Println(peak(t))
}

// peak returns the most memory that this process had resident.
func peak(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return "peak KiB " + strings.TrimSuffix(strings.TrimSpace(kib), " kB")
		}
	}
	t.Fatal("no VmHWM")
	return ""
}
