package authentiktest

import (
	"net/http"
	"sync"
	"time"
)

// Fault makes requests go wrong. Of the requests that match Endpoint, Method
// and Match, the first Skip are left alone, the next Times suffer.
type Fault struct {
	Endpoint Endpoint // any if empty
	Method   string   // any if empty
	Match    func(*http.Request) bool
	Skip     int
	Times    int // without end if zero

	// Do runs first, with no lock held; it may change the server's state, as
	// in page drift.
	Do func()
	// Latency passes before the answer.
	Latency time.Duration
	// Until holds the answer back until the channel is closed.
	Until <-chan struct{}
	// Hang never answers; the handler ends when the client goes away.
	Hang bool
	// Drop closes the connection without an answer.
	Drop bool
	// FlowError answers 200 ak-stage-flow-error, as the flow executor does for
	// every exception, throttling included.
	FlowError bool
	// Status answers with this code and Body. Without a body it is authentik's
	// {"detail":...} for 403, 404, 405 and 429, nothing for 400 and a proxy's
	// page of HTML for the rest.
	Status int
	Body   string
	Header http.Header
}

// Injected is a fault in force.
type Injected struct {
	f    Fault
	in   *faults
	seen int
	hits int
}

// Remove ends the fault. Requests that it holds are not released.
func (i *Injected) Remove() {
	i.in.mu.Lock()
	defer i.in.mu.Unlock()
	for n, other := range i.in.list {
		if other == i {
			i.in.list = append(i.in.list[:n:n], i.in.list[n+1:]...)
			return
		}
	}
}

// Hits returns how many requests suffered so far.
func (i *Injected) Hits() int {
	i.in.mu.Lock()
	defer i.in.mu.Unlock()
	return i.hits
}

type faults struct {
	mu   sync.Mutex
	list []*Injected
}

// Inject puts a fault in force. Of several that match, the oldest applies.
func (s *Server) Inject(f Fault) *Injected {
	i := &Injected{f: f, in: &s.faults}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, i)
	return i
}

// ClearFaults removes every fault.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
}

// pick returns the fault for a request and counts it.
func (f *faults) pick(c *call) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.list {
		if i.f.Endpoint != "" && i.f.Endpoint != c.endpoint ||
			i.f.Method != "" && i.f.Method != c.r.Method ||
			i.f.Match != nil && !i.f.Match(c.r) {
			continue
		}
		i.seen++
		if i.seen <= i.f.Skip || i.f.Times > 0 && i.hits >= i.f.Times {
			continue
		}
		i.hits++
		return i.f, true
	}
	return Fault{}, false
}

// fault applies the fault for a call and reports whether it is answered.
func (s *Server) fault(c *call) bool {
	f, ok := s.faults.pick(c)
	if !ok {
		return false
	}
	if f.Do != nil {
		f.Do()
	}
	if f.Latency > 0 {
		t := time.NewTimer(f.Latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.ctx.Done():
			abort()
		}
	}
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-c.ctx.Done():
			abort()
		}
	}
	for k, v := range f.Header {
		c.w.Header()[k] = v
	}
	switch {
	case f.Hang:
		<-c.ctx.Done()
		abort()
	case f.Drop:
		abort()
	case f.FlowError:
		c.w.Header().Set("X-authentik-id", c.id)
		c.json(http.StatusOK, flowError(c.id))
	case f.Status != 0:
		s.refuse(c, f)
	default:
		return false
	}
	return true
}

func (s *Server) refuse(c *call, f Fault) {
	if f.Body != "" {
		c.raw(f.Status, "application/json", []byte(f.Body))
		return
	}
	switch f.Status {
	case http.StatusBadRequest:
		c.raw(f.Status, "", nil)
	case http.StatusForbidden:
		c.detail(f.Status, "Token invalid/expired")
	case http.StatusNotFound:
		c.detail(f.Status, "Not found.")
	case http.StatusMethodNotAllowed:
		c.detail(f.Status, `Method "`+c.r.Method+`" not allowed.`)
	case http.StatusTooManyRequests:
		if c.w.Header().Get("Retry-After") == "" {
			c.w.Header().Set("Retry-After", "1")
		}
		c.detail(f.Status, "Request was throttled. Expected available in 1 second.")
	default:
		c.html(f.Status, http.StatusText(f.Status))
	}
}

// abort ends the connection, or the HTTP/2 stream, without an answer; the panic
// is net/http's own means to that end.
func abort() { panic(http.ErrAbortHandler) }
