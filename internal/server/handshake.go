package server

import (
	"context"
	"net"

	"ldapd/internal/fair"
)

// handshaking is the socket during a TLS handshake. The handshake has one of
// its network's turns while it computes, and none while it waits for the
// client: who is silent is in nobody's way.
type handshaking struct {
	net.Conn
	ctx   context.Context
	queue *fair.Queue // nil when the handshake is over
	turn  bool
}

// begin waits for a turn.
func (h *handshaking) begin() error {
	err := h.queue.Begin(h.ctx)
	h.turn = err == nil
	return err
}

// pause gives up the turn, if there is one.
func (h *handshaking) pause() {
	if h.turn {
		h.queue.End()
		h.turn = false
	}
}

// end is for when the handshake is over.
func (h *handshaking) end() {
	h.pause()
	h.queue.Leave()
	h.queue = nil
}

func (h *handshaking) Read(b []byte) (int, error) {
	if h.queue == nil {
		return h.Conn.Read(b)
	}
	h.pause()
	n, err := h.Conn.Read(b)
	if err == nil {
		err = h.begin()
	}
	return n, err
}

func (h *handshaking) Write(b []byte) (int, error) {
	if h.queue == nil {
		return h.Conn.Write(b)
	}
	h.pause()
	n, err := h.Conn.Write(b)
	if err == nil {
		err = h.begin()
	}
	return n, err
}
