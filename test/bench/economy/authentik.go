package economy

import (
	"fmt"
	"ldapd/internal/auth"
	"strconv"
	"time"
)

const (
	// session is how long a session lasts that ends with the browser, as the
	// default flow makes them.
	session   = 24 * time.Hour
	threshold = 30 * 24 * time.Hour // of the validation stage, where it has one
	step      = 30 * time.Second    // of TOTP
)

// person is a user of authentik.
type person struct {
	id       int
	name     string
	dn       string
	password string
	changed  int // times that the password was
	factor   factor

	proved string        // the password, at a login
	wakes  time.Duration // since midnight
	free   time.Time     // when the last code was used

	flows, reasons int // today, of ldapd
}

// code is a one-time code of a user: here the number of its period.
func code(at time.Time) string { return fmt.Sprintf("%06d", at.Unix()/int64(step/time.Second)%1e6) }

// authentik runs flows. There is one for each way of answering binds, since
// each sees other flows.
type authentik struct {
	end      time.Time // of the simulation
	lastCode []int64   // used, by user
	flows    int
	events   int
	alive    int // sessions that outlive the simulation
}

func newAuthentik(users int, end time.Time) *authentik {
	return &authentik{end: end, lastCode: make([]int64, users)}
}

// flow runs one. The cookie is what is remembered of the factor.
func (a *authentik) flow(now time.Time, p *person, password, given, cookie string) (reason auth.Reason, newCookie string) {
	a.flows++
	if password != p.password {
		a.events++ // login_failed
		return auth.WrongPassword, ""
	}
	until, err := strconv.ParseInt(cookie, 10, 64)
	skipped := p.factor == none || p.factor == remembered && err == nil && now.Unix() < until
	switch {
	case skipped:
		newCookie = cookie
	case given == "":
		return auth.CodeMissing, "" // the flow is left where it asks
	case !a.accept(now, p, given):
		a.events++ // login_failed
		return auth.WrongCode, ""
	case p.factor == remembered:
		newCookie = strconv.FormatInt(now.Add(threshold).Unix(), 10)
	}
	a.events++ // login
	if now.Add(session).After(a.end) {
		a.alive++
	}
	return "", newCookie
}

// accept takes a code of the period, or of a neighbour of it, that was not
// used.
func (a *authentik) accept(now time.Time, p *person, given string) bool {
	period := now.Unix() / int64(step/time.Second)
	for n := period - 1; n <= period+1; n++ {
		if n > a.lastCode[p.id] && code(time.Unix(n*int64(step/time.Second), 0)) == given {
			a.lastCode[p.id] = n
			return true
		}
	}
	return false
}

// outpost answers binds as authentik's own does: each by a flow, or, in the
// cached mode, out of memory for a DN and a password as typed until the session
// of the flow ends. Codes come behind the password.
type outpost struct {
	*authentik
	memory map[string]time.Time // nil: it has none
}

// bind reports whether a bind is granted.
func (o *outpost) bind(now time.Time, p *person, password, given string) bool {
	var key string
	if o.memory != nil {
		key = p.dn + "\x00" + password + ";" + given
		if now.Before(o.memory[key]) {
			return true
		}
	}
	reason, _ := o.flow(now, p, password, given, "")
	if reason != "" {
		return false
	}
	if o.memory != nil {
		o.memory[key] = now.Add(session)
	}
	return true
}
