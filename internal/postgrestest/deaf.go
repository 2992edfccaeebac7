package postgrestest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Deaf passes on whatever comes but notifications, as a pooler in transaction
// mode does.
type Deaf struct {
	Addr string // host:port

	hears atomic.Bool
	ln    net.Listener
	to    string

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

// Deaf starts a Deaf before the server, until the test ends. Connections must
// not be encrypted.
func (s *Server) Deaf(t testing.TB) *Deaf {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &Deaf{Addr: ln.Addr().String(), ln: ln, to: s.Addr}
	d.wg.Go(d.accept)
	t.Cleanup(func() {
		ln.Close()
		d.mu.Lock()
		for _, c := range d.conns {
			c.Close()
		}
		d.mu.Unlock()
		d.wg.Wait()
	})
	return d
}

// Hear says whether notifications are passed on as well.
func (d *Deaf) Hear(yes bool) { d.hears.Store(yes) }

func (d *Deaf) accept() {
	for {
		client, err := d.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", d.to)
		if err != nil {
			client.Close()
			continue
		}
		d.mu.Lock()
		d.conns = append(d.conns, client, server)
		d.mu.Unlock()
		d.wg.Go(func() {
			defer server.Close()
			_, _ = io.Copy(server, client)
		})
		d.wg.Go(func() {
			defer client.Close()
			d.filter(client, server)
		})
	}
}

// filter passes on messages: a letter, the length of the rest with itself, and
// the rest.
func (d *Deaf) filter(client io.Writer, server io.Reader) {
	for {
		var head [5]byte
		if _, err := io.ReadFull(server, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		const notification = 'A'
		if head[0] == notification && !d.hears.Load() {
			continue
		}
		if _, err := client.Write(bytes.Join([][]byte{head[:], body}, nil)); err != nil {
			return
		}
	}
}
