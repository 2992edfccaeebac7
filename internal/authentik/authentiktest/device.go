package authentiktest

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// The classes of MFA devices.
const (
	ClassDuo      = "duo"
	ClassEmail    = "email"
	ClassSMS      = "sms"
	ClassStatic   = "static"
	ClassTOTP     = "totp"
	ClassWebAuthn = "webauthn"
)

// classes is the order in which authentik lists and tries devices.
var classes = [...]string{ClassDuo, ClassEmail, ClassSMS, ClassStatic, ClassTOTP, ClassWebAuthn}

// DuoAnswer is what a Duo device does with a push.
type DuoAnswer int

const (
	DuoAsk   DuoAnswer = iota // the test decides, see Server.Pushes
	DuoAllow                  // allowed at once
	DuoDeny                   // denied at once
)

// Device is an MFA device of a user.
type Device struct {
	Class       string
	ID          int // unique, derived if 0
	Unconfirmed bool
	LastUsed    time.Time

	// Secret of a TOTP device in base32; Digits, Step (seconds), Tolerance
	// (steps either way) as in authentik, where zero means 6, 30 and 1, and a
	// negative Tolerance means none.
	Secret    string
	Digits    int
	Step      int
	Tolerance int
	Drift     int

	// Tokens of a static device; each disappears when used.
	Tokens []string

	Duo DuoAnswer
}

// deviceState is what verification changes.
type deviceState struct {
	lastT    int64
	failures int
	failedAt time.Time
}

type device struct {
	Device
	state deviceState
}

func (d *device) view() Device {
	v := d.Device
	v.Tokens = slices.Clone(v.Tokens)
	return v
}

func (s *Server) newDevice(user, index int, d Device) *device {
	s.tb.Helper()
	if !slices.Contains(classes[:], d.Class) {
		s.tb.Fatalf("authentiktest: unknown device class %q", d.Class)
	}
	if d.ID == 0 {
		d.ID = user*10 + index
	}
	d.Tokens = slices.Clone(d.Tokens)
	if d.Digits == 0 {
		d.Digits = 6
	}
	if d.Step == 0 {
		d.Step = 30
	}
	if d.Tolerance == 0 {
		d.Tolerance = 1
	}
	return &device{Device: d, state: deviceState{lastT: -1}}
}

func (d *device) uid() string { return strconv.Itoa(d.ID) }

// code is the TOTP code of time step t.
func (d *device) code(t int64) (string, error) {
	return hotp.GenerateCodeCustom(d.Secret, uint64(t), hotp.ValidateOpts{
		Digits:    otp.Digits(d.Digits),
		Algorithm: otp.AlgorithmSHA1,
	})
}

// Code returns the code that a user's first TOTP device shows now.
func (s *Server) Code(username string) string {
	s.tb.Helper()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, d := range s.mustUser(username).devices {
		if d.Class == ClassTOTP {
			code, err := d.code(s.now().Unix()/int64(d.Step) + int64(d.Drift))
			if err != nil {
				s.tb.Fatalf("authentiktest: TOTP secret of %q: %v", username, err)
			}
			return code
		}
	}
	s.tb.Fatalf("authentiktest: %q has no TOTP device", username)
	return ""
}

// throttled tells whether a device refuses to look at a code: 1, 2, 4, 8 ...
// seconds after the first, second, third failure in a row.
func (d *device) throttled(now time.Time) bool {
	if d.state.failures == 0 {
		return false
	}
	wait := time.Duration(1<<min(d.state.failures-1, 30)) * time.Second
	return now.Sub(d.state.failedAt) < wait
}

// verify tries a code. A failure is counted unless the device is throttled.
func (d *device) verify(code string, now time.Time) bool {
	if d.Class != ClassTOTP && d.Class != ClassStatic || d.throttled(now) {
		return false
	}
	ok := false
	if d.Class == ClassStatic {
		if i := slices.Index(d.Tokens, code); i >= 0 {
			d.Tokens = slices.Delete(d.Tokens, i, i+1)
			ok = true
		}
	} else {
		ok = d.verifyTOTP(code, now)
	}
	if !ok {
		d.state.failures++
		d.state.failedAt = now
		return false
	}
	d.state.failures = 0
	d.LastUsed = now
	return true
}

func (d *device) verifyTOTP(code string, now time.Time) bool {
	want, err := strconv.ParseUint(strings.TrimSpace(code), 10, 32)
	if err != nil {
		return false
	}
	t := now.Unix()/int64(d.Step) + int64(d.Drift)
	for offset := -d.Tolerance; offset <= d.Tolerance; offset++ {
		at := t + int64(offset)
		if at <= d.state.lastT || at < 0 {
			continue
		}
		text, err := d.code(at)
		if err != nil {
			return false
		}
		if have, err := strconv.ParseUint(text, 10, 32); err == nil && have == want {
			d.state.lastT = at
			d.Drift += offset
			return true
		}
	}
	return false
}

// matchCode tries a code on every confirmed device, in authentik's order.
func (u *user) matchCode(code string, now time.Time) *device {
	for _, class := range classes {
		for _, d := range u.devices {
			if d.Class == class && !d.Unconfirmed && d.verify(code, now) {
				return d
			}
		}
	}
	return nil
}

// Push is a Duo push that waits for the user. One of Allow and Deny must be
// called, once.
type Push struct {
	Username string
	decided  chan bool
}

// Allow lets the login pass.
func (p *Push) Allow() { p.decided <- true }

// Deny refuses it.
func (p *Push) Deny() { p.decided <- false }

// Pushes delivers the pushes to DuoAsk devices. The POST that caused one blocks
// until it was received here and decided, or its client left.
func (s *Server) Pushes() <-chan *Push { return s.pushes }

// push asks the user of a Duo device; s.mu must not be held.
func (s *Server) push(ctx context.Context, username string, answer DuoAnswer) (bool, error) {
	if answer != DuoAsk {
		return answer == DuoAllow, nil
	}
	p := &Push{Username: username, decided: make(chan bool, 1)}
	select {
	case s.pushes <- p:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case ok := <-p.decided:
		return ok, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
