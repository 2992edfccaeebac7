package sse

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// road leads from a Nextcloud to ldapd: the address on this side stays when
// ldapd is started again, and on the other side each Nextcloud has one of its
// own. Without a ldapd to lead to, connections are closed at once.
type road struct {
	ln   net.Listener
	from net.IP // in 127.0.0.0/8

	mu    sync.Mutex
	to    string // empty: nowhere
	conns map[net.Conn]bool
	last  int                           // number of the last connection
	seen  func(conn int, p *ber.Packet) // each request; nil: nobody looks
	done  sync.WaitGroup
}

func newRoad(t *testing.T, from string, seen func(conn int, p *ber.Packet)) *road {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &road{ln: ln, from: net.ParseIP(from), seen: seen, conns: map[net.Conn]bool{}}
	r.done.Go(r.run)
	t.Cleanup(func() {
		ln.Close()
		r.mu.Lock()
		for c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		r.done.Wait()
	})
	return r
}

func (r *road) url() string { return "ldap://" + r.ln.Addr().String() }

// lead sets where the road leads.
func (r *road) lead(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

func (r *road) run() {
	for {
		c, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		to := r.to
		r.last++
		n := r.last
		r.mu.Unlock()
		r.done.Go(func() { r.carry(c, to, n) })
	}
}

// carry connects a client until one side closes.
func (r *road) carry(c net.Conn, to string, n int) {
	defer c.Close()
	if to == "" {
		return
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: r.from}}
	up, err := d.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	r.mu.Lock()
	r.conns[c] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
	}()
	back := make(chan struct{})
	go func() {
		defer close(back)
		io.Copy(c, up)
		c.Close()
	}()
	r.forward(up, c, n)
	up.(*net.TCPConn).CloseWrite()
	<-back
}

// forward passes requests on, once they were seen.
func (r *road) forward(up, c net.Conn, n int) {
	if r.seen == nil {
		io.Copy(up, c)
		return
	}
	for {
		var raw bytes.Buffer
		p, err := ber.ReadPacket(io.TeeReader(c, &raw))
		if err != nil {
			return
		}
		r.seen(n, p)
		if _, err := up.Write(raw.Bytes()); err != nil {
			return
		}
	}
}
