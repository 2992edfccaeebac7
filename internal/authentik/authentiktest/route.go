package authentiktest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
)

// Endpoint names a kind of request, for counters and faults.
type Endpoint string

// The endpoints of the server. Unknown is everything else.
const (
	Outposts       Endpoint = "outposts/instances"
	Providers      Endpoint = "outposts/ldap"
	CheckAccess    Endpoint = "outposts/ldap/check_access"
	RootConfig     Endpoint = "root/config"
	KeyPair        Endpoint = "crypto/certificatekeypairs"
	KeyPairCert    Endpoint = "crypto/view_certificate"
	KeyPairKey     Endpoint = "crypto/view_private_key"
	Users          Endpoint = "core/users"
	OneUser        Endpoint = "core/users/pk"
	Me             Endpoint = "core/users/me"
	SetPassword    Endpoint = "core/users/set_password"
	Groups         Endpoint = "core/groups"
	OneGroup       Endpoint = "core/groups/pk"
	AppCheckAccess Endpoint = "core/applications/check_access"
	Executor       Endpoint = "flows/executor"
	Websocket      Endpoint = "ws/outpost"
	Unknown        Endpoint = "unknown"
)

// maxBody bounds a request body, in bytes.
const maxBody = 1 << 20

type handler func(s *Server, c *call)

// routes maps the path under api/v3/, with * for one element, to its handler.
var routes = []struct {
	method, path string
	endpoint     Endpoint
	handle       handler
}{
	{"GET", "outposts/instances/", Outposts, (*Server).listOutposts},
	{"GET", "outposts/ldap/", Providers, (*Server).listProviders},
	{"GET", "outposts/ldap/*/check_access/", CheckAccess, (*Server).checkAccess},
	{"GET", "root/config/", RootConfig, (*Server).rootConfig},
	{"GET", "crypto/certificatekeypairs/*/", KeyPair, (*Server).keyPair},
	{"GET", "crypto/certificatekeypairs/*/view_certificate/", KeyPairCert, (*Server).keyPairCert},
	{"GET", "crypto/certificatekeypairs/*/view_private_key/", KeyPairKey, (*Server).keyPairKey},
	{"GET", "core/users/", Users, (*Server).listUsers},
	{"GET", "core/users/me/", Me, (*Server).me},
	{"GET", "core/users/*/", OneUser, (*Server).oneUser},
	{"POST", "core/users/*/set_password/", SetPassword, (*Server).setPassword},
	{"GET", "core/groups/", Groups, (*Server).listGroups},
	{"GET", "core/groups/*/", OneGroup, (*Server).oneGroup},
	{"GET", "core/applications/*/check_access/", AppCheckAccess, (*Server).appCheckAccess},
	{"GET POST", "flows/executor/*/", Executor, (*Server).executor},
}

// call is one request on its way to an answer.
type call struct {
	w        http.ResponseWriter
	r        *http.Request
	ctx      context.Context // ends with the request and with Stop
	endpoint Endpoint
	arg      string // the path's variable element
	body     []byte
	id       string // X-authentik-id

	status int // of the answer, which is sent once no lock is held
	answer []byte
}

func (s *Server) serve(runCtx context.Context, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(runCtx, cancel)()

	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	c := &call{w: w, r: r, ctx: ctx, endpoint: Unknown, body: body, id: randomHex(16)}
	var handle handler
	allowed := ""
	if rest, ok := strings.CutPrefix(r.URL.Path, s.base); ok {
		if pk, ok := match("ws/outpost/*/", rest); ok {
			c.endpoint, c.arg, handle, allowed = Websocket, pk, (*Server).websocket, "GET"
		} else if rest, ok := strings.CutPrefix(rest, "api/v3/"); ok {
			for _, route := range routes {
				if arg, ok := match(route.path, rest); ok {
					c.endpoint, c.arg, handle, allowed = route.endpoint, arg, route.handle, route.method
					break
				}
			}
		}
	}
	defer s.changed()
	s.record(c)
	defer c.send()
	s.cleanUp()
	if s.fault(c) {
		return
	}
	w.Header().Set("X-authentik-id", c.id)
	switch {
	case handle == nil:
		s.complain("%s %s: no such path", r.Method, r.URL.Path)
		c.html(http.StatusNotFound, "Not Found")
	case !strings.Contains(allowed, r.Method):
		c.detail(http.StatusMethodNotAllowed, `Method "`+r.Method+`" not allowed.`)
	default:
		handle(s, c)
	}
}

// match compares a path with a pattern in which * stands for one element.
func match(pattern, path string) (arg string, ok bool) {
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return "", pattern == path
	}
	rest, ok := strings.CutPrefix(path, before)
	if !ok {
		return "", false
	}
	arg, ok = strings.CutSuffix(rest, after)
	return arg, ok && arg != "" && !strings.Contains(arg, "/")
}

// json answers with a document as Django REST framework renders it.
func (c *call) json(status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		c.html(http.StatusInternalServerError, "Server Error")
		return
	}
	c.raw(status, "application/json", bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func (c *call) detail(status int, msg string) {
	c.json(status, map[string]string{"detail": msg})
}

func (c *call) html(status int, msg string) {
	c.raw(status, "text/html; charset=utf-8", []byte("<!doctype html><html><body><h1>"+msg+"</h1></body></html>"))
}

func (c *call) raw(status int, contentType string, b []byte) {
	if len(b) > 0 {
		c.w.Header().Set("Content-Type", contentType)
	}
	c.status, c.answer = status, b
}

// send writes the answer, if there is one; a websocket has none.
func (c *call) send() {
	if c.status != 0 {
		c.w.WriteHeader(c.status)
		c.w.Write(c.answer) // a client that left is no concern of the server
	}
}

// peer is the address of the client as the server sees it.
func (c *call) peer() string {
	host, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		return "127.0.0.1"
	}
	return host
}
