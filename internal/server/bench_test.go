package server_test

import (
	"net"
	"testing"

	"go.uber.org/zap"

	"ldapd/internal/server"
)

// benchServer serves without a log and returns a function that exchanges
// octets: it writes a request and reads until size octets have come.
func benchServer(b *testing.B) (*fixture, func(nc net.Conn, request []byte, size int)) {
	f := start(b, server.Config{Log: zap.NewNop()})
	buf := make([]byte, 4<<10)
	b.ReportAllocs()
	return f, func(nc net.Conn, request []byte, size int) {
		if _, err := nc.Write(request); err != nil {
			b.Fatal(err)
		}
		for size > 0 {
			n, err := nc.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			size -= n
		}
	}
}

func (f *fixture) benchDial(b *testing.B) net.Conn {
	nc, err := net.Dial("tcp", f.addr)
	if err != nil {
		b.Fatal(err)
	}
	return nc
}

func BenchmarkConnectBindUnbind(b *testing.B) {
	f, exchange := benchServer(b)
	bind, end, answer := lit(b, bindAlice), lit(b, unbind), len(lit(b, okBind))
	for b.Loop() {
		nc := f.benchDial(b)
		exchange(nc, bind, answer)
		exchange(nc, end, 0)
		nc.Close()
	}
}

func BenchmarkBind(b *testing.B) {
	f, exchange := benchServer(b)
	nc := f.benchDial(b)
	defer nc.Close()
	bind, answer := lit(b, bindAlice), len(lit(b, okBind))
	for b.Loop() {
		exchange(nc, bind, answer)
	}
}

func BenchmarkSearch(b *testing.B) {
	f, exchange := benchServer(b)
	nc := f.benchDial(b)
	defer nc.Close()
	exchange(nc, lit(b, bindAlice), len(lit(b, okBind)))
	search, answer := lit(b, searchO), len(lit(b, searchEntry+searchDone))
	for b.Loop() {
		exchange(nc, search, answer)
	}
}
