package sse

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"
)

// php runs nextcloud.php.
type php struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

// answer is what became of an LDAP operation.
type answer struct {
	Op      string // agent, search, exists, bind, read
	Code    int    // -1: no answer
	Entries int
	Text    string
}

func startPHP(t *testing.T) *php {
	t.Helper()
	cmd := exec.Command("php", "nextcloud.php")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("nextcloud.php: %v", err)
		}
	})
	return &php{t, in, bufio.NewReader(out)}
}

// do sends a command, and returns the answers of its operations.
func (p *php) do(command map[string]any) []answer {
	p.t.Helper()
	b, err := json.Marshal(command)
	if err == nil {
		_, err = p.in.Write(append(b, '\n'))
	}
	if err != nil {
		p.t.Fatalf("nextcloud.php: %v", err)
	}
	line, err := p.out.ReadBytes('\n')
	var r struct{ Answers []answer }
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		p.t.Fatalf("nextcloud.php answers %q to %s: %v", line, b, err)
	}
	return r.Answers
}
