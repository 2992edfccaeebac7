package ldap

import (
	"fmt"
	"math"

	"ldapd/internal/ber"
)

// Op is the tag of a protocolOp (RFC 4511 section 4.2 and later).
type Op byte

const (
	OpBindRequest           Op = 0x60
	OpBindResponse          Op = 0x61
	OpUnbindRequest         Op = 0x42
	OpSearchRequest         Op = 0x63
	OpSearchResultEntry     Op = 0x64
	OpSearchResultDone      Op = 0x65
	OpSearchResultReference Op = 0x73
	OpModifyRequest         Op = 0x66
	OpModifyResponse        Op = 0x67
	OpAddRequest            Op = 0x68
	OpAddResponse           Op = 0x69
	OpDeleteRequest         Op = 0x4a
	OpDeleteResponse        Op = 0x6b
	OpModifyDNRequest       Op = 0x6c
	OpModifyDNResponse      Op = 0x6d
	OpCompareRequest        Op = 0x6e
	OpCompareResponse       Op = 0x6f
	OpAbandonRequest        Op = 0x50
	OpExtendedRequest       Op = 0x77
	OpExtendedResponse      Op = 0x78
)

// String returns the operation's name, as logs and metrics use it.
func (o Op) String() string {
	switch o {
	case OpBindRequest:
		return "bind"
	case OpUnbindRequest:
		return "unbind"
	case OpSearchRequest:
		return "search"
	case OpModifyRequest:
		return "modify"
	case OpAddRequest:
		return "add"
	case OpDeleteRequest:
		return "delete"
	case OpModifyDNRequest:
		return "modifydn"
	case OpCompareRequest:
		return "compare"
	case OpAbandonRequest:
		return "abandon"
	case OpExtendedRequest:
		return "extended"
	}
	return fmt.Sprintf("op %#02x", byte(o))
}

// Response returns the tag that answers a request, 0 where nothing does.
func (o Op) Response() Op {
	switch o {
	case OpBindRequest:
		return OpBindResponse
	case OpSearchRequest:
		return OpSearchResultDone
	case OpModifyRequest:
		return OpModifyResponse
	case OpAddRequest:
		return OpAddResponse
	case OpDeleteRequest:
		return OpDeleteResponse
	case OpModifyDNRequest:
		return OpModifyDNResponse
	case OpCompareRequest:
		return OpCompareResponse
	case OpExtendedRequest:
		return OpExtendedResponse
	}
	return 0
}

// Message is an LDAPMessage (RFC 4511 section 4.1.1) with its operation not
// yet parsed.
type Message struct {
	ID       int32
	Op       Op
	Body     []byte // content of the protocolOp
	Controls []byte // content of the controls, nil without
}

const controlsTag = 0xa0

// ParseMessage parses one whole LDAPMessage. An error means that the stream
// can't be trusted any more.
func ParseMessage(b []byte) (Message, error) {
	var m Message
	outer := ber.NewReader(b)
	content, err := outer.Read(ber.Sequence)
	if err != nil {
		return m, err
	}
	if err := outer.End(); err != nil {
		return m, err
	}
	r := ber.NewReader(content)
	id, err := r.Int(ber.Integer)
	if err != nil {
		return m, fmt.Errorf("messageID: %w", err)
	}
	if id < 0 || id > math.MaxInt32 {
		return m, fmt.Errorf("messageID %d out of range", id)
	}
	m.ID = int32(id)
	tag, body, err := r.Next()
	if err != nil {
		return m, fmt.Errorf("protocolOp: %w", err)
	}
	m.Op, m.Body = Op(tag), body
	if r.Peek() == controlsTag {
		if m.Controls, err = r.Read(controlsTag); err != nil {
			return m, fmt.Errorf("controls: %w", err)
		}
	}
	// The sequence is extensible (section 4): what follows is ignored.
	return m, nil
}

// AbandonID parses the body of an AbandonRequest.
func AbandonID(body []byte) (int32, error) {
	id, err := ber.ParseInt(body)
	if err != nil || id < 0 || id > math.MaxInt32 {
		return 0, fmt.Errorf("abandon: bad messageID")
	}
	return int32(id), nil
}
