package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/ber"
	wire "ldapd/internal/ldap"
)

// ioTimeout bounds one exchange. The slowest takes a few seconds.
const ioTimeout = 2 * time.Minute

// client is one connection. It sends requests that were encoded before and
// reads no more of the answers than it must, to leave the processors to the
// server.
type client struct {
	c   net.Conn
	r   *bufio.Reader
	buf []byte
}

func dial(addr string) (*client, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	cl := newClient(c)
	cl.c = c
	return cl, nil
}

func newClient(r io.Reader) *client { return &client{r: bufio.NewReaderSize(r, 64<<10)} }

// close sends an unbind request and waits until the server hangs up.
func (c *client) close() error {
	defer c.c.Close()
	if _, err := c.c.Write(unbindRequest); err != nil {
		return err
	}
	_, err := c.r.ReadByte()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("the server did not hang up: %w", err)
}

// hangUp closes the connection, if there is one.
func (c *client) hangUp() {
	if c != nil {
		c.c.Close()
	}
}

// exchange sends a request and reads its answers up to the last one, which
// must be success. It returns the number of entries and the response
// controls.
func (c *client) exchange(request []byte) (entries int, controls []byte, err error) {
	if err := c.c.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		return 0, nil, err
	}
	if _, err := c.c.Write(request); err != nil {
		return 0, nil, err
	}
	for {
		if err := c.read(); err != nil {
			return 0, nil, err
		}
		r := ber.NewReader(c.buf)
		if _, err := r.Int(tagInteger); err != nil {
			return 0, nil, err
		}
		op, body, err := r.Next()
		switch {
		case err != nil:
			return 0, nil, err
		case op == tagSearchEntry:
			entries++
			continue
		}
		result := ber.NewReader(body)
		code, err := result.Int(tagEnumerated)
		if err != nil || code != 0 {
			return entries, nil, fmt.Errorf("result %d (%w)", code, err)
		}
		if !r.Empty() {
			_, controls, err = r.Next()
		}
		return entries, controls, err
	}
}

// read reads the content of one message.
func (c *client) read() error {
	var head [6]byte
	if _, err := io.ReadFull(c.r, head[:2]); err != nil {
		return err
	}
	n := int(head[1])
	if n >= 0x80 {
		more := n - 0x80
		if more == 0 || more > 4 {
			return errors.New("a length of no reasonable form")
		}
		if _, err := io.ReadFull(c.r, head[6-more:]); err != nil {
			return err
		}
		head[1] = 0
		n = int(binary.BigEndian.Uint32(head[2:]) & (1<<(8*more) - 1))
	}
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	c.buf = c.buf[:n]
	_, err := io.ReadFull(c.r, c.buf)
	return err
}

// Tags of RFC 4511.
const (
	tagInteger     = 0x02
	tagOctets      = 0x04
	tagEnumerated  = 0x0a
	tagSequence    = 0x30
	tagBind        = 0x60
	tagSearch      = 0x63
	tagSearchEntry = 0x64
	tagSimple      = 0x80
	tagControls    = 0xa0
)

var unbindRequest = []byte{0x30, 5, 2, 1, 3, 0x42, 0}

func bindRequest(dn string) []byte {
	b, message := begin()
	b, op := ber.Begin(b, tagBind)
	b = ber.AppendInt(b, tagInteger, 3)
	b = ber.AppendString(b, tagOctets, dn)
	b = ber.AppendString(b, tagSimple, userPassword)
	return ber.End(ber.End(b, op), message)
}

// searchRequest encodes a search of the whole tree. A page of 0 is none.
func searchRequest(filter string, attrs []string, page int, cookie []byte) ([]byte, error) {
	f, err := ldap.CompileFilter(filter)
	if err != nil {
		return nil, err
	}
	b, message := begin()
	b, op := ber.Begin(b, tagSearch)
	b = ber.AppendString(b, tagOctets, baseDN)
	b = ber.AppendInt(b, tagEnumerated, int64(wire.ScopeSub))
	b = ber.AppendInt(b, tagEnumerated, 0)
	b = ber.AppendInt(b, tagInteger, 0)
	b = ber.AppendInt(b, tagInteger, 0)
	b = ber.AppendBool(b, 0x01, false)
	b = append(b, f.Bytes()...)
	b, list := ber.Begin(b, tagSequence)
	for _, a := range attrs {
		b = ber.AppendString(b, tagOctets, a)
	}
	b = ber.End(ber.End(b, list), op)
	if page > 0 {
		var value []byte
		value, v := ber.Begin(value, tagSequence)
		value = ber.AppendInt(value, tagInteger, int64(page))
		value = ber.End(ber.AppendTLV(value, tagOctets, cookie), v)
		var controls, control int
		b, controls = ber.Begin(b, tagControls)
		b, control = ber.Begin(b, tagSequence)
		b = ber.AppendString(b, tagOctets, wire.OIDPagedResults)
		b = ber.AppendTLV(b, tagOctets, value)
		b = ber.End(ber.End(b, control), controls)
	}
	return ber.End(b, message), nil
}

func begin() ([]byte, int) {
	b, message := ber.Begin(nil, tagSequence)
	return ber.AppendInt(b, tagInteger, 1), message
}

// cookieOf returns the cookie of a paged results control, nil behind the
// last page.
func cookieOf(controls []byte) ([]byte, error) {
	list := ber.NewReader(controls)
	control, err := list.Read(tagSequence)
	if err != nil {
		return nil, err
	}
	r := ber.NewReader(control)
	for !r.Empty() {
		tag, value, err := r.Next()
		if err != nil {
			return nil, err
		}
		if tag != tagOctets || string(value) == wire.OIDPagedResults {
			continue
		}
		outer := ber.NewReader(value)
		content, err := outer.Read(tagSequence)
		if err != nil {
			return nil, err
		}
		inner := ber.NewReader(content)
		if _, err := inner.Int(tagInteger); err != nil {
			return nil, err
		}
		return inner.Read(tagOctets)
	}
	return nil, errors.New("a paged results control without a value")
}
