package server

import (
	"bytes"
	"errors"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ldapd/internal/ldap"
)

// event is what the log says of an operation beyond its result. It refers to
// the request, so it is written out at once or never.
type event struct {
	identity Identity
	dn       []byte // bind
	base     []byte // compare
	oid      []byte // extended
	search   *ldap.SearchRequest
	entries  int
}

// A describer is an identity that tells the log how it was proved.
type describer interface{ LogFields() []zap.Field }

// A reasoner is an error that gives the log a word for why.
type reasoner interface{ Reason() string }

// log writes a line about a connection. What is not for debugging anybody can
// cause, so beyond so many lines it is only counted.
func (c *Conn) log(level zapcore.Level, msg string, fields ...zap.Field) {
	ce := c.srv.cfg.Log.Check(level, msg)
	if ce == nil || level >= zapcore.InfoLevel && !c.srv.lines.Admit(c.network, msg) {
		return
	}
	ce.Write(append([]zap.Field{zap.Uint64("conn", c.id), zap.Stringer("client", c.addr)}, fields...)...)
}

// expected says of a result that it is an ordinary answer to somebody bound.
func expected(code ldap.ResultCode) bool {
	switch code {
	case ldap.ResultSuccess, ldap.ResultCompareTrue, ldap.ResultCompareFalse, ldap.ResultNoSuchObject, ldap.ResultSizeLimitExceeded:
		return true
	}
	return false
}

// finished counts and logs one operation. Each has a line if somebody is bound
// and it went well, others until there are too many.
func (c *Conn) finished(op ldap.Op, id int32, start time.Time, res *ldap.Error, err error, ev event) {
	took := time.Since(start)
	code := code(res)
	c.srv.cfg.Metrics.operation(op, code, took)
	ce := c.srv.cfg.Log.Check(zapcore.InfoLevel, op.String())
	if ce == nil || (ev.identity == nil || !expected(code)) && !c.srv.lines.Admit(c.network, op.String()) {
		return
	}
	ce.Write(c.fields(id, took, code, err, ev)...)
}

func (c *Conn) fields(id int32, took time.Duration, code ldap.ResultCode, err error, ev event) []zap.Field {
	redact := c.srv.cfg.Redact
	fields := make([]zap.Field, 0, 14)
	fields = append(fields, zap.Uint64("conn", c.id), zap.Int32("op", id), zap.Stringer("client", c.addr))
	switch {
	case ev.dn != nil:
		fields = append(fields, zap.ByteString("dn", short(redact(nil, ev.dn))))
	case ev.identity != nil:
		fields = append(fields, zap.String("dn", ev.identity.DN()))
	}
	if ev.base != nil {
		fields = append(fields, zap.ByteString("base", short(redact(nil, ev.base))))
	}
	if ev.oid != nil {
		fields = append(fields, zap.ByteString("oid", short(ev.oid)))
	}
	if s := ev.search; s != nil {
		fields = append(fields,
			zap.ByteString("base", short(redact(nil, s.Base))),
			zap.Stringer("scope", s.Scope),
			zap.ByteString("filter", short(s.Filter.AppendText(nil, redact))),
			zap.ByteString("attrs", short(bytes.Join(s.Attributes, []byte{' '}))),
			zap.Int("entries", ev.entries))
	}
	fields = append(fields, zap.Int("code", int(code)), zap.Stringer("result", code), zap.Duration("took", took))
	if how, ok := ev.identity.(describer); ok && ev.dn != nil {
		fields = append(fields, how.LogFields()...)
	}
	var why reasoner
	if errors.As(err, &why) {
		fields = append(fields, zap.String("reason", why.Reason()))
	}
	if err != nil && err.Error() != code.String() { // some results say it all
		fields = append(fields, zap.NamedError("error", err))
	}
	return fields
}

// maxText bounds a piece of a request in the log, in octets: requests may have
// a megabyte.
const maxText = 1 << 10

func short(b []byte) []byte {
	if len(b) <= maxText {
		return b
	}
	return append(bytes.Clone(b[:maxText]), "..."...)
}
