package authentiktest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// The instructions of the websocket.
const (
	Ack              = 0
	HelloInstruction = 1
	TriggerUpdate    = 2
	ProviderSpecific = 3
	SessionEnd       = 4
)

// Message is one frame of the websocket.
type Message struct {
	Instruction int            `json:"instruction"`
	Args        map[string]any `json:"args"`
}

// Hello is a hello of an outpost.
type Hello struct {
	Instance string // instance_uuid of the connection
	Attempt  string // attempt of the connection, "" if absent
	Message  Message
	At       time.Time
}

// queueLimit is how many messages may wait for one outpost, which is cut off
// if it lets more pile up.
const queueLimit = 4096

type hub struct {
	hubMu  sync.Mutex
	peers  map[*peer]bool
	hellos []Hello
	silent bool
	refuse bool
}

type peer struct {
	queue  chan Message
	cancel context.CancelFunc
}

func (h *hub) init() { h.peers = make(map[*peer]bool) }

// TriggerUpdate tells every connected outpost to refresh, as saving a provider
// does.
func (h *hub) TriggerUpdate() { h.Broadcast(Message{TriggerUpdate, map[string]any{}}) }

// SessionEnd tells every connected outpost that a session ended; the hash need
// not be of a known session.
func (h *hub) SessionEnd(hash string) {
	h.Broadcast(Message{SessionEnd, map[string]any{"type": "event.session.end", "session_id": hash}})
}

// Broadcast sends any message to every connected outpost, unless the websocket
// is silent.
func (h *hub) Broadcast(m Message) {
	h.hubMu.Lock()
	defer h.hubMu.Unlock()
	if h.silent {
		return
	}
	for p := range h.peers {
		h.enqueue(p, m)
	}
}

func (h *hub) enqueue(p *peer, m Message) {
	select {
	case p.queue <- m:
	default:
		p.cancel()
	}
}

// SilenceWebsocket stops acknowledgements and messages without closing
// connections, as a connection that died unnoticed.
func (h *hub) SilenceWebsocket(silent bool) {
	h.hubMu.Lock()
	defer h.hubMu.Unlock()
	h.silent = silent
}

// RefuseWebsocket makes every handshake fail with 403.
func (h *hub) RefuseWebsocket(refuse bool) {
	h.hubMu.Lock()
	defer h.hubMu.Unlock()
	h.refuse = refuse
}

// DropWebsockets cuts every connection without a closing handshake.
func (h *hub) DropWebsockets() {
	h.hubMu.Lock()
	defer h.hubMu.Unlock()
	for p := range h.peers {
		p.cancel()
	}
}

// Websockets returns how many outposts are connected.
func (h *hub) Websockets() int {
	h.hubMu.Lock()
	defer h.hubMu.Unlock()
	return len(h.peers)
}

// Hellos returns every hello received.
func (h *hub) Hellos() []Hello {
	h.hubMu.Lock()
	defer h.hubMu.Unlock()
	return slices.Clone(h.hellos)
}

func (h *hub) join(p *peer) {
	h.hubMu.Lock()
	defer h.hubMu.Unlock()
	h.peers[p] = true
}

func (h *hub) leave(p *peer) {
	h.hubMu.Lock()
	defer h.hubMu.Unlock()
	delete(h.peers, p)
}

// hello stores a hello and acknowledges it.
func (h *hub) hello(p *peer, hello Hello) {
	h.hubMu.Lock()
	defer h.hubMu.Unlock()
	h.hellos = append(h.hellos, hello)
	if !h.silent {
		h.enqueue(p, Message{Ack, map[string]any{}})
	}
}

func (h *hub) refuses() bool {
	h.hubMu.Lock()
	defer h.hubMu.Unlock()
	return h.refuse
}

func (s *Server) websocket(c *call) {
	s.mu.RLock()
	_, valid := s.bearer(c.r)
	known := slices.ContainsFunc(s.visible(), func(o Outpost) bool { return o.PK == c.arg })
	s.mu.RUnlock()
	if !valid || !known || s.refuses() {
		c.raw(http.StatusForbidden, "", nil)
		return
	}
	conn, err := websocket.Accept(c.w, c.r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(c.ctx)
	p := &peer{queue: make(chan Message, queueLimit), cancel: cancel}
	s.hub.join(p)
	var writer sync.WaitGroup
	writer.Go(func() { p.write(ctx, conn) })
	defer s.changed()
	defer s.hub.leave(p)
	defer writer.Wait()
	defer cancel()
	s.changed()
	for {
		_, b, err := conn.Read(ctx)
		if err != nil {
			return
		}
		hello := Hello{Instance: c.r.URL.Query().Get("instance_uuid"), Attempt: c.r.URL.Query().Get("attempt"), At: s.now()}
		if err := json.Unmarshal(b, &hello.Message); err != nil || hello.Message.Instruction != HelloInstruction {
			s.complain("websocket: not a hello: %.100s", b)
			continue
		}
		s.hub.hello(p, hello)
		s.changed()
	}
}

func (p *peer) write(ctx context.Context, conn *websocket.Conn) {
	defer p.cancel()
	for {
		select {
		case m := <-p.queue:
			b, err := json.Marshal(m)
			if err != nil || conn.Write(ctx, websocket.MessageText, b) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
