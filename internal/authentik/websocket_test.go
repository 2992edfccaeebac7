package authentik

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ldapd/internal/authentik/authentiktest"
)

// online waits until the websocket is connected and said so many hellos.
func (r *rig) online(hellos int) {
	r.t.Helper()
	if err := r.fake.Wait(r.t.Context(), func() bool { return r.fake.Websockets() == 1 && len(r.fake.Hellos()) >= hellos }); err != nil {
		r.t.Fatal(err)
	}
}

func TestHello(t *testing.T) {
	for name, o := range map[string]authentiktest.Options{
		"plain":     {},
		"base path": {BasePath: "/sso/"},
		"unix":      {Socket: "socket"},
	} {
		t.Run(name, func(t *testing.T) {
			if o.Socket != "" {
				o.Socket = filepath.Join(t.TempDir(), o.Socket)
			}
			r := newRig(t, o).started()
			r.online(1)
			r.clock.fire(t, helloEvery)
			r.online(2)
			r.fake.DropWebsockets()
			r.clock.fire(t, reconnectMin)
			r.online(3)
			hellos := r.fake.Hellos()
			args := hellos[0].Message.Args
			if args["version"] != "1.2.3" || args["buildHash"] != "ldapd" || args["uuid"] != hellos[0].Instance || args["hostname"] == "" ||
				!strings.HasPrefix(args["golangVersion"].(string), "go") {
				t.Errorf("hello %v", args)
			}
			for i, attempt := range []string{"0", "0", "1"} {
				if hellos[i].Attempt != attempt || hellos[i].Instance != hellos[0].Instance {
					t.Errorf("hello %d: attempt %s, instance %s", i, hellos[i].Attempt, hellos[i].Instance)
				}
			}
			r.stop()
			if err := r.fake.Wait(t.Context(), func() bool { return r.fake.Websockets() == 0 }); err != nil {
				t.Error(err)
			}
			if c := r.fake.Complaints(); len(c) > 0 {
				t.Errorf("complaints: %q", c)
			}
		})
	}
}

func TestWebsocketTLS(t *testing.T) {
	fake := authentiktest.New(t, authentiktest.Options{TLS: true})
	for _, insecure := range []bool{true, false} {
		c := newClient(t, Config{Host: fake.URL, Token: StaticToken(fake.Token), Insecure: insecure})
		s := &socket{client: c, outpost: authentiktest.DefaultOutpost, instance: "x"}
		conn, err := s.dial(t.Context(), 0)
		if (err == nil) != insecure {
			t.Errorf("insecure %v: %v", insecure, err)
		}
		if conn != nil {
			conn.CloseNow()
		}
	}
}

func TestWebsocketRefused(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.RefuseWebsocket(true)
	r.started()
	for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256} {
		r.clock.fire(t, wait*time.Second)
	}
	if r.c.State().Connected {
		t.Error("connected")
	}
	if n := r.logs.FilterMessage("websocket to authentik lost").Len(); n < 9 {
		t.Errorf("%d lines in the log", n)
	}
	for _, e := range r.logs.FilterMessage("websocket to authentik lost").All() {
		if s := e.ContextMap()["error"].(string); !strings.Contains(s, "403") || strings.Contains(s, r.fake.Token) {
			t.Errorf("error %s", s)
		}
	}
}

func TestRow6SilentWebsocket(t *testing.T) {
	r := newRig(t, authentiktest.Options{}).started()
	r.online(1)
	r.fake.SilenceWebsocket(true)
	for range silentHellos + 1 { // one may have been answered before
		r.clock.mu.Lock()
		lost := len(r.clock.waiting[reconnectMin]) > 0
		r.clock.mu.Unlock()
		if lost {
			break
		}
		n := len(r.fake.Hellos())
		r.clock.fire(t, helloEvery)
		if err := r.fake.Wait(t.Context(), func() bool {
			return len(r.fake.Hellos()) > n || r.fake.Websockets() == 0
		}); err != nil {
			t.Fatal(err)
		}
	}
	r.clock.await(t, reconnectMin)
	lost := r.logs.FilterMessage("websocket to authentik lost").All()
	if len(lost) != 1 || lost[0].ContextMap()["error"] != errSilent.Error() {
		t.Errorf("lost: %v", lost)
	}
	if r.c.State().Connected {
		t.Error("still said to be connected")
	}
	r.fake.SilenceWebsocket(false)
	n := len(r.fake.Hellos())
	r.clock.fire(t, reconnectMin)
	r.online(n + 1)
}

func TestRow6SessionEnd(t *testing.T) {
	r := newRig(t, authentiktest.Options{}).started()
	r.online(1)
	hash := strings.Repeat("0123456789abcdef", 4)
	for _, bad := range []string{"", "short", strings.ToUpper(hash), hash + "00"} {
		r.fake.SessionEnd(bad)
	}
	r.fake.Broadcast(authentiktest.Message{Instruction: authentiktest.SessionEnd})
	r.fake.Broadcast(authentiktest.Message{Instruction: authentiktest.ProviderSpecific, Args: map[string]any{"x": 1}})
	r.fake.Broadcast(authentiktest.Message{Instruction: 99})
	r.fake.SessionEnd(hash)
	if got := r.ended(); got != hash {
		t.Errorf("session %q", got)
	}
	if n := value(t, r.c.o.Metrics.sessionEnds); n != 1 {
		t.Errorf("%v sessions are counted", n)
	}
	if !r.c.State().Connected {
		t.Error("a strange message ended the connection")
	}
}

// ended waits for word of a session that ended.
func (r *rig) ended() string {
	r.t.Helper()
	select {
	case hash := <-r.sessions:
		return hash
	case <-r.t.Context().Done():
		r.t.Fatal("no session ended")
	}
	return ""
}

// hold keeps a request for users from being answered until the test releases
// it, or ends.
func (r *rig) hold() (held *authentiktest.Injected, release func()) {
	until := make(chan struct{})
	release = sync.OnceFunc(func() { close(until) })
	r.t.Cleanup(release)
	return r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Until: until}), release
}

// The end of a session waits for nothing that is being read.
func TestSessionEndWhileReading(t *testing.T) {
	hash := strings.Repeat("0123456789abcdef", 4)
	for name, begin := range map[string]func(*rig){
		"a refresh": func(r *rig) { r.c.Refresh() },
		"a look":    func(r *rig) { r.clock.fire(r.t, testInterval) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, authentiktest.Options{}).started()
			r.online(1)
			held, release := r.hold()
			begin(r)
			if err := r.fake.Wait(t.Context(), func() bool { return held.Hits() > 0 }); err != nil {
				t.Fatal(err)
			}
			r.fake.SessionEnd(hash)
			if got := r.ended(); got != hash {
				t.Errorf("session %q", got)
			}
			held.Remove()
			release()
			r.clock.await(t, testInterval)
		})
	}
}

// Sessions that end while the websocket is down are not told of, nor is it
// repeated. A user who was disabled is seen by the next look all the same.
func TestSessionEndMissed(t *testing.T) {
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		r := newRig(t, o)
		for _, name := range []string{"alice", "bob"} {
			r.fake.AddUser(authentiktest.User{Username: name, Password: plantedPassword})
		}
		r.started()
		r.online(1)
		r.fake.RefuseWebsocket(true)
		r.fake.DropWebsockets()
		if err := r.fake.Wait(t.Context(), func() bool { return r.fake.Websockets() == 0 }); err != nil {
			t.Fatal(err)
		}
		missed, hash := strings.Repeat("00112233", 8), strings.Repeat("44556677", 8)
		r.fake.SessionEnd(missed)
		r.fake.Deactivate("bob")
		if !r.look() || r.values("users", "bob", "ak-active")[0] != "FALSE" || r.values("users", "alice", "ak-active")[0] != "TRUE" {
			t.Error("bob is active")
		}
		n := len(r.fake.Hellos())
		r.fake.RefuseWebsocket(false)
		r.clock.fire(t, reconnectMin)
		r.online(n + 1)
		r.fake.SessionEnd(hash)
		if got := r.ended(); got != hash {
			t.Errorf("session %q, want %q", got, hash)
		}
	})
}

func TestRow6TriggerUpdateBurst(t *testing.T) {
	r := newRig(t, authentiktest.Options{}).started()
	r.online(1)
	r.fake.ResetCounters()
	r.fake.SetProvider(authentiktest.Provider{PK: authentiktest.DefaultProvider, Name: "ldap", Application: "ldap", BaseDN: "dc=new"})
	for range 100 {
		r.fake.TriggerUpdate()
	}
	hash := strings.Repeat("0", 64)
	r.fake.SessionEnd(hash) // comes after all of them
	select {
	case <-r.sessions:
	case <-t.Context().Done():
		t.Fatal("no session ended")
	}
	r.clock.await(t, testSpread)
	if n := r.fake.Counters().Requests[authentiktest.Outposts]; n != 0 {
		t.Errorf("%d refreshes at once", n)
	}
	r.clock.fire(t, testSpread)
	if r.next(); r.last[0].Snapshot.BaseDN != "dc=new" {
		t.Errorf("base DN %s", r.last[0].Snapshot.BaseDN)
	}
	r.refresh() // all others would come before this one
	if n := r.fake.Counters().Requests[authentiktest.Outposts]; n > 3 {
		t.Errorf("%d refreshes of a burst", n-1)
	}
}

func TestPublicVersion(t *testing.T) {
	for v, want := range map[string]string{
		"1.2.3": "1.2.3", "2026.5.0rc1": "2026.5.0rc1", "7": "7",
		"": "0", "dev": "0", "v1.2.3": "0", "1.2.3-5-gabcdef": "0", "1.2\n": "0",
	} {
		if got := publicVersion(v); got != want {
			t.Errorf("%q: %s, want %s", v, got, want)
		}
	}
}

func FuzzWebsocketMessage(f *testing.F) {
	f.Add([]byte(`{"instruction":4,"args":{"type":"event.session.end","session_id":"` + strings.Repeat("a", 64) + `"}}`))
	f.Add([]byte(`{"instruction":2,"args":{}}`))
	f.Add([]byte(`{"instruction":4,"args":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &socket{log: NewController(ControllerOptions{}).log, update: func() {}, sessionEnd: func(hash string) {
			if len(hash) != 64 {
				t.Errorf("hash %q", hash)
			}
		}}
		s.message(data)
	})
}
