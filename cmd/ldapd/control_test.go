package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/control"
	"ldapd/internal/unlock"
)

// fake is a running server.
type fake struct {
	binds  []control.Bind
	status control.Status
	err    error

	revoked, forgiven string

	asked unlock.Request
}

func (f *fake) List(context.Context) ([]control.Bind, error) { return f.binds, f.err }

func (f *fake) Revoke(_ context.Context, user string) (int, error) {
	f.revoked = user
	if user == "nobody" {
		return 0, f.err
	}
	return 2, f.err
}

func (f *fake) Forgive(_ context.Context, user string) (int, error) {
	f.forgiven = user
	if user == "nobody" {
		return 0, f.err
	}
	return 10, f.err
}

func (f *fake) RevokeAll(context.Context) (int, error) {
	f.revoked = "all"
	return 9, f.err
}

func (f *fake) Unlock(_ context.Context, r unlock.Request) (unlock.Window, error) {
	f.asked = r
	return unlock.Window{Username: "alice", Clients: r.Clients, Until: at.Add(720 * time.Hour)}, f.err
}

func (f *fake) Status(context.Context) (control.Status, error) { return f.status, f.err }

var at = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// serving runs f as the server of the configuration in the environment.
func serving(t *testing.T, f *fake) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("LDAPD_STATE_DIR", dir)
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := control.New(f, zap.NewNop())
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestCacheList(t *testing.T) {
	f := &fake{}
	serving(t, f)
	if status, out, _ := execute(t, "", "cache", "list"); status != 0 || out != "no verified binds\n" {
		t.Errorf("none: %d, %s", status, out)
	}
	if status, out, _ := execute(t, "", "cache", "list", "--json"); status != 0 || out != "[]\n" {
		t.Errorf("none as JSON: %d, %s", status, out)
	}
	f.binds = []control.Bind{
		{User: "alice", Base: "dc=a", Factored: true, First: at, Proved: at, Told: at, Until: at.Add(time.Hour),
			Proofs: []control.Proof{{Way: "name", Client: "nextcloud", At: at}, {Way: "push", At: at}, {Way: "name", Client: "nextcloud", At: at}}},
		{User: "bob", Base: "dc=a", First: at, Proved: at, Told: at},
		{User: "car\x1b[2Jol\n", Base: "dc=a", Factored: true, Doubt: true, First: at, Proved: at, Told: at},
	}
	when, later := clock(at), clock(at.Add(time.Hour))
	want := strings.Join([]string{
		"USER        SECOND FACTOR                FIRST             PROVED            KNOWN GOOD        UNTIL             BASE",
		"alice       name at nextcloud (2), push  " + when + "  " + when + "  " + when + "  " + later + "  dc=a",
		"bob         not needed                   " + when + "  " + when + "  " + when + "  -                 dc=a",
		"car?[2Jol?  to be proved                 " + when + "  " + when + "  in doubt          -                 dc=a",
	}, "\n") + "\n"
	if status, out, _ := execute(t, "", "cache", "list"); status != 0 || out != want {
		t.Errorf("%d\n%s\nwant\n%s", status, out, want)
	}
	status, out, _ := execute(t, "", "cache", "list", "--json")
	var got []control.Bind
	if err := json.Unmarshal([]byte(out), &got); status != 0 || err != nil || !reflect.DeepEqual(got, f.binds) {
		t.Errorf("%d %v\n%s", status, err, out)
	}
	f.err = errors.New("not now")
	if status, _, errOut := execute(t, "", "cache", "list"); status != 1 || errOut != "ldapd: not now\n" {
		t.Errorf("%d %s", status, errOut)
	}
}

func TestCacheRevoke(t *testing.T) {
	f := &fake{}
	serving(t, f)
	for _, tt := range []struct {
		args        []string
		status      int
		revoked     string
		out, errOut string
	}{
		{[]string{"Alice"}, 0, "Alice", "revoked the verified binds of Alice (2)\n", ""},
		{[]string{"nobody"}, 1, "nobody", "", "ldapd: no verified binds of \"nobody\" were known here\n"},
		{[]string{"--all"}, 0, "all", "revoked all verified binds (9 known here)\n", ""},
	} {
		status, out, errOut := execute(t, "", append([]string{"cache", "revoke"}, tt.args...)...)
		if status != tt.status || out != tt.out || errOut != tt.errOut || f.revoked != tt.revoked {
			t.Errorf("%q: %d, %q, %q, revoked %q", tt.args, status, out, errOut, f.revoked)
		}
	}
	f.err = errors.New("the disk is full")
	for _, arg := range []string{"alice", "--all"} {
		if status, out, errOut := execute(t, "", "cache", "revoke", arg); status != 1 || out != "" || errOut != "ldapd: the disk is full\n" {
			t.Errorf("%s: %d, %q, %q", arg, status, out, errOut)
		}
	}
}

func TestCacheForgive(t *testing.T) {
	f := &fake{}
	serving(t, f)
	for _, tt := range []struct {
		args        []string
		status      int
		out, errOut string
	}{
		{[]string{"Alice"}, 0, "forgave the wrong codes of Alice (10); other replicas follow within a minute\n", ""},
		{[]string{"nobody"}, 0, "no wrong codes of nobody were counted\n", ""},
	} {
		status, out, errOut := execute(t, "", append([]string{"cache", "forgive"}, tt.args...)...)
		if status != tt.status || out != tt.out || errOut != tt.errOut || f.forgiven != tt.args[0] {
			t.Errorf("%q: %d, %q, %q, forgiven %q", tt.args, status, out, errOut, f.forgiven)
		}
	}
	f.err = errors.New("the disk is full")
	if status, out, errOut := execute(t, "", "cache", "forgive", "alice"); status != 1 || out != "" || errOut != "ldapd: the disk is full\n" {
		t.Errorf("%d, %q, %q", status, out, errOut)
	}
	if status, _, _ := execute(t, "", "cache", "forgive"); status == 0 {
		t.Error("nobody is named, and that is fine")
	}
}

func TestStatusCommand(t *testing.T) {
	f := &fake{status: control.Status{
		Version: "1.2", Since: at, Directory: "31 users", Store: "bolt", StoreError: "disk full", VerifiedUsers: 3, GoodAnywhere: 2,
		Warnings:  []string{"mind the gap"},
		Undecided: []control.Undecided{{Client: "nextcloud", Count: 7, Last: at, Remedy: "set ldapCacheTTL to 0"}},
	}}
	serving(t, f)
	want := "version         1.2\nruns since      " + clock(at) + "\ndirectory       31 users\nverified users  3\nstore           bolt, fails: disk full\n" +
		"good anywhere   codes of 2 of them: proved before ldapd kept where, until they end or are revoked\n" +
		"warning         mind the gap\nundecided       7 binds of nextcloud, the last one at " + clock(at) + ": set ldapCacheTTL to 0\n"
	if status, out, _ := execute(t, "", "status"); status != 0 || out != want {
		t.Errorf("%d\n%s\nwant\n%s", status, out, want)
	}
	status, out, _ := execute(t, "", "status", "--json")
	var got control.Status
	if err := json.Unmarshal([]byte(out), &got); status != 0 || err != nil || !reflect.DeepEqual(got, f.status) {
		t.Errorf("%d %v\n%s", status, err, out)
	}
	f.err = errors.New("not now")
	if status, _, errOut := execute(t, "", "status"); status != 1 || errOut != "ldapd: not now\n" {
		t.Errorf("%d %s", status, errOut)
	}
}

func TestUnlockCommand(t *testing.T) {
	f := &fake{}
	serving(t, f)
	const one, two = "[{name: nextcloud, networks: [192.0.2.1/32]}]", "[{name: nextcloud, networks: [192.0.2.1/32]}, {name: office, networks: [192.0.2.2/32]}]"
	until := clock(at.Add(720 * time.Hour))
	for _, tt := range []struct {
		name, clients, in string
		args              []string
		want              unlock.Request
		out               string
	}{
		{"with a code", one, "pass word\n123 456\n", nil,
			unlock.Request{Password: "pass word", Code: "123456", Clients: []string{"nextcloud"}}, "at nextcloud\n"},
		{"by push", one, "pass word", []string{"--client", "NextCloud", "--client", "nextcloud"},
			unlock.Request{Password: "pass word", Clients: []string{"nextcloud"}}, "at nextcloud\n"},
		{"two clients", two, "p\r\n\r\n", []string{"--client", "office", "--client", "nextcloud"},
			unlock.Request{Password: "p", Clients: []string{"office", "nextcloud"}}, "at office, nextcloud\n"},
	} {
		t.Setenv("LDAPD_CLIENTS", tt.clients)
		status, out, errOut := execute(t, tt.in, append([]string{"unlock", "alice"}, tt.args...)...)
		tt.want.User, tt.want.Client = "alice", netip.MustParseAddr("127.0.0.1")
		if want := "until " + until + " the name alice and the password suffice " + tt.out; status != 0 || out != want || !reflect.DeepEqual(f.asked, tt.want) {
			t.Errorf("%s: %d, %q, %s, asked for %+v", tt.name, status, out, errOut, f.asked)
		}
	}
	for _, tt := range []struct {
		name, clients, in string
		args              []string
		err               error
		want              string
	}{
		{"no clients", "", "p\n", nil, nil, "LDAPD_CLIENTS: names none, so there is nothing to unlock"},
		{"which", two, "p\n", nil, nil, "say by --client what to unlock: nextcloud, office"},
		{"strange", one, "p\n", []string{"--client", "wiki"}, nil, `--client: the configuration has no "wiki", only: nextcloud`},
		{"no password", one, "", nil, nil, "the password is empty"},
		{"refused", one, "p\n", nil, unlock.ErrRefused, unlock.ErrRefused.Error()},
		{"busy", one, "p\n", nil, unlock.ErrBusy, unlock.ErrBusy.Error()},
		{"long password", one, strings.Repeat("p", maxPassword+1), nil, nil, "longer than 65536 bytes"},
		{"long code", one, "p\n" + strings.Repeat("1", 3*maxPassword), nil, nil, "longer than 65536 bytes"},
	} {
		t.Setenv("LDAPD_CLIENTS", tt.clients)
		f.err = tt.err
		status, out, errOut := execute(t, tt.in, append([]string{"unlock", "alice"}, tt.args...)...)
		if status != 1 || out != "" || !strings.HasSuffix(errOut, tt.want+"\n") {
			t.Errorf("%s: %d, %q, %q", tt.name, status, out, errOut)
		}
	}
}

func TestNotRunning(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("LDAPD_STATE_DIR", dir)
	t.Setenv("LDAPD_CLIENTS", "[{name: nextcloud, networks: [192.0.2.1/32]}]")
	want := "ldapd: not running (no control socket in " + dir + ")\n"
	for _, args := range [][]string{{"status"}, {"unlock", "alice"}, {"cache", "forgive", "alice"}} {
		if status, out, errOut := execute(t, "p\n", args...); status != 1 || out != "" || errOut != want {
			t.Errorf("%q: %d, %q, %q", args, status, out, errOut)
		}
	}
}
