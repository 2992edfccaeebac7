package sse

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// checkEvery is how long Nextcloud takes a password for right before it
// validates a session or app password again.
const checkEvery = 5 * time.Minute

// cloud is a Nextcloud: programs that share an address and what is in its
// database.
type cloud struct {
	*story
	workers []*php // the second one serves who comes while a request waits
	ttl     time.Duration
	tokens  []*token
	held    int // connections of requests that wait
}

// token is a session of a browser, or an app password.
type token struct {
	*cloud
	who            string
	uid            string
	name, password string // that it was made with, and is validated by
	isApp          bool
	checked        time.Time
	out            bool // a session that is logged out, or an app password that is invalid
}

// fate is what Nextcloud makes of the answers to one request.
type fate string

const (
	good    fate = "good"
	denied  fate = "denied"  // the token is invalid, the session logged out, the login refused
	trouble fate = "trouble" // status 503, and all stays as it was
)

// judge is the table of faults that Nextcloud was seen to have: what it makes
// of the login search and of the bind of the user.
func judge(answers []answer) fate {
	f := good // without a check of the password
	for _, a := range answers {
		switch a.Op {
		case "search":
			switch {
			case a.Code == 0 && a.Entries == 1:
				f = denied // unless the bind is granted
			case a.Code == 52 || a.Code == 1 || a.Code == -1:
				f = trouble // unless it goes well the second time
			default:
				f = denied
			}
		case "bind":
			switch a.Code {
			case 0:
				return good
			case 49, 50, 53:
				f = denied
			default:
				return trouble
			}
		case "exists":
			if a.Code == 52 || a.Code == 1 || a.Code == -1 {
				return trouble
			}
		}
	}
	return f
}

// codes says what the answers were, as far as something follows from them.
func codes(answers []answer) string {
	var out []string
	for _, a := range answers {
		switch {
		case a.Op == "bind":
			out = append(out, fmt.Sprint(a.Code))
		case a.Code != 0:
			out = append(out, fmt.Sprintf("%s:%d", a.Op, a.Code))
		case (a.Op == "search" || a.Op == "exists") && a.Entries != 1:
			out = append(out, fmt.Sprintf("%s:%d entries", a.Op, a.Entries))
		}
	}
	return strings.Join(out, " ")
}

// cloud starts a Nextcloud with a value of ldapCacheTTL, at an address.
func (s *story) cloud(from string, ttl time.Duration) *cloud {
	s.Helper()
	c := &cloud{story: s, ttl: ttl}
	r := s.road(from, nil)
	for range 2 {
		p := s.nextcloud(r)
		p.do(map[string]any{"do": "config", "ttl": int(ttl / time.Second)})
		c.workers = append(c.workers, p)
	}
	return c
}

// request has a worker serve a request, and waits until nothing of it is left.
func (c *cloud) request(worker int, r map[string]any) []answer {
	c.Helper()
	r["now"] = c.Now().Unix()
	answers := c.workers[worker].do(r)
	c.rest(answers)
	return answers
}

// rest waits until nothing is left of a request.
func (c *cloud) rest(answers []answer) {
	c.Helper()
	for _, a := range answers {
		if a.Op == "exists" && (a.Code != 0 || a.Entries != 1) && judge(answers) != trouble {
			c.Errorf("Nextcloud takes a user for deleted: %+v", answers)
		}
	}
	if judge(answers) != good && c.running {
		c.connections(c.held)
	}
	c.settled()
}

// login logs somebody in with the form. The token is nil if that fails.
func (c *cloud) login(who, name, password string, want fate) *token {
	c.Helper()
	return c.enter(0, "web", who, name, password, want)
}

func (c *cloud) enter(worker int, how, who, name, password string, want fate) *token {
	c.Helper()
	answers := c.request(worker, map[string]any{"do": how, "name": name, "password": password})
	got := judge(answers)
	c.tell(who, how+" login "+c.show(name)+c.with(name, password), codes(answers), outcome(got, answers))
	c.must(got, want)
	if got != good {
		return nil
	}
	uid, _, _ := strings.Cut(name, ";")
	for _, t := range c.tokens { // updatePasswords
		if t.uid == uid && (t.isApp || !t.out) {
			t.password, t.out = password, false
		}
	}
	t := &token{cloud: c, who: who, uid: uid, name: name, password: password, checked: c.Now()}
	if how == "web" {
		c.tokens = append(c.tokens, t)
	}
	return t
}

// outcome puts what becomes of a login into words.
func outcome(f fate, answers []answer) string {
	switch f {
	case good:
		return "logged in"
	case trouble:
		return "try again later"
	}
	for _, a := range answers {
		if strings.Contains(a.Text, "put it behind the login name") {
			return "refused, and told where the code belongs"
		}
	}
	return "refused"
}

// app makes an app password in a session.
func (t *token) app(who string) *token {
	t.Helper()
	n := &token{cloud: t.cloud, who: who, uid: t.uid, name: t.name, password: t.password, isApp: true, checked: t.Now()}
	t.tokens = append(t.tokens, n)
	t.tell(who, "app password made in that session, for "+t.show(t.name), "", "made")
	return n
}

// command is a request with the token.
func (t *token) command() map[string]any {
	r := map[string]any{"do": "page", "uid": t.uid, "check": nil, "token": "app-password-of-" + t.who}
	if t.isApp {
		r["do"] = "app"
	}
	if t.Now().Sub(t.checked) >= checkEvery {
		r["check"] = map[string]any{"name": t.name, "password": t.password}
	}
	return r
}

// answered says what becomes of the token.
func (t *token) answered(r map[string]any, answers []answer) fate {
	f := judge(answers)
	switch {
	case f == denied:
		t.out = true
	case f == good && r["check"] != nil:
		t.checked = t.Now()
	}
	return f
}

// use makes a request with the token, and tells of it.
func (t *token) use(want fate) {
	t.Helper()
	t.used(0, "request", want)
}

func (t *token) used(worker int, what string, want fate) {
	t.Helper()
	if t.out {
		t.Fatalf("%s is logged out", t.who)
	}
	r := t.command()
	answers := t.request(worker, r)
	t.told(what, r, answers, want)
}

func (t *token) told(what string, r map[string]any, answers []answer, want fate) {
	t.Helper()
	got := t.answered(r, answers)
	if r["check"] != nil {
		what += ", validated again by " + t.show(t.name)
	}
	t.tell(t.who, what, codes(answers), t.fared(got))
	t.must(got, want)
}

// fared puts what becomes of the token into words.
func (t *token) fared(f fate) string {
	switch {
	case f == good:
		return "served"
	case f == trouble:
		return "status 503, token kept"
	case t.isApp:
		return "app password invalid"
	}
	return "logged out"
}

// hold makes a request with the token wait between its login search and the
// bind of the user. It goes on when the function is called.
func (t *token) hold(worker int) (goOn func(want fate)) {
	t.Helper()
	r := t.command()
	r["hold"], r["now"] = true, t.Now().Unix()
	t.workers[worker].do(r)
	t.held++
	return func(want fate) {
		t.Helper()
		answers := t.workers[worker].do(map[string]any{"do": "go"})
		t.held--
		t.rest(answers)
		t.told("request that waited", r, answers, want)
	}
}

// holdLogin is hold for a login with the form.
func (c *cloud) holdLogin(worker int, who, name, password string) (goOn func(want fate)) {
	c.Helper()
	c.workers[worker].do(map[string]any{"do": "web", "name": name, "password": password, "hold": true, "now": c.Now().Unix()})
	c.held++
	return func(want fate) {
		c.Helper()
		answers := c.workers[worker].do(map[string]any{"do": "go"})
		c.held--
		c.rest(answers)
		got := judge(answers)
		c.tell(who, "web login "+c.show(name)+" that waited", codes(answers), outcome(got, answers))
		c.must(got, want)
	}
}

// stay makes a request with each token once in a while for some time, and
// tells of them together: all of them are good.
func (s *story) stay(d, every time.Duration, tokens ...*token) {
	s.Helper()
	s.stayWith(d, every, []fate{good}, tokens...)
}

// stayWith is stay with other fates that will do.
func (s *story) stayWith(d, every time.Duration, will []fate, tokens ...*token) {
	s.Helper()
	seen := make([]map[string]int, len(tokens))
	fared := make([]map[string]bool, len(tokens))
	flows := map[string]int{}
	for begin, end := s.Now(), s.Now().Add(d); begin.Before(end); begin = s.Now() {
		before := s.authentik.Counters().UserFlows
		for s.Now().Before(end) && s.Now().Sub(begin) < day {
			s.Advance(every)
			if every > checkEvery {
				s.inStep()
			}
			for i, t := range tokens {
				if seen[i] == nil {
					seen[i], fared[i] = map[string]int{}, map[string]bool{}
				}
				r := t.command()
				answers := t.request(0, r)
				f := t.answered(r, answers)
				seen[i][codes(answers)]++
				fared[i][t.fared(f)] = true
				if !slices.Contains(will, f) {
					s.Errorf("%v, %s: %s with codes %s", s.Now(), t.who, t.fared(f), codes(answers))
					t.out = false // to see what comes next
				}
			}
		}
		after := s.authentik.Counters().UserFlows
		for _, uid := range users(tokens) {
			flows[uid] = max(flows[uid], after[uid]-before[uid])
		}
	}
	for i, t := range tokens {
		var list []string
		for code, n := range seen[i] {
			list = append(list, fmt.Sprintf("%d x %s", n, code))
		}
		slices.Sort(list)
		s.tell(t.who, fmt.Sprintf("a request every %s for %s", span(every), span(d)), strings.Join(list, ", "),
			strings.Join(slices.Sorted(maps.Keys(fared[i])), "; "))
	}
	for _, uid := range users(tokens) {
		if flows[uid] > 2 {
			s.Errorf("%d flows of %s in a day", flows[uid], uid)
		}
		if n := s.authentik.Alive(uid); n > 1 {
			s.Errorf("%d sessions of %s", n, uid)
		}
		if d < day {
			continue // whether there is one is a matter of chance
		}
		n := "one or two a day"
		if flows[uid] == 0 {
			n = "none"
		}
		s.tell("authentik", fmt.Sprintf("flows of %s meanwhile: %s", uid, n), "", "")
	}
}

func users(tokens []*token) (out []string) {
	for _, t := range tokens {
		if !slices.Contains(out, t.uid) {
			out = append(out, t.uid)
		}
	}
	return out
}

// span writes a time as people do.
func span(d time.Duration) string {
	switch {
	case d == day:
		return "a day"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	text := d.String()
	for _, rest := range []string{"m0s", "h0m"} {
		if head, ok := strings.CutSuffix(text, rest); ok {
			text = head + rest[:1]
		}
	}
	return text
}
