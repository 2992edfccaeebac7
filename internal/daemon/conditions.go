package daemon

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"ldapd/internal/auth/guard"
	"ldapd/internal/policy"
	"ldapd/internal/verified"
)

const (
	// maxTold bounds the conditions of a kind that are told: who has the
	// passwords of many should not bury what else is amiss.
	maxTold = 20
	// awayFor is for how long it is told that a client moved.
	awayFor = 24 * time.Hour
)

// more says how many were left out of a list of conditions.
func more(list []string, n int, what string) []string {
	if n <= maxTold {
		return list
	}
	return append(list, fmt.Sprintf("and %d more %s", n-maxTold, what))
}

// guessed tells of the users whose password somebody has who tries codes.
// nameOf returns the name of the user with a UUID, or the UUID.
func guessed(all []guard.Guessed, nameOf func(uuid string) string) (list []string) {
	for i := range all[:min(len(all), maxTold)] {
		list = append(list, guessedOne(&all[i], nameOf))
	}
	return more(list, len(all), "users whose password somebody has who tries codes")
}

func guessedOne(g *guard.Guessed, nameOf func(uuid string) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "somebody has the password of %s and tries codes: %d wrong ones ", g.Name, g.Codes)
	if g.First.IsZero() {
		b.WriteString("within a day")
	} else {
		fmt.Fprintf(&b, "since %s, the last one at %s", stamp(g.First), stamp(g.Last))
	}
	if g.Closed {
		fmt.Fprintf(&b, "; no more are compared until %s where %s has no remembered login", stamp(g.Until), g.Name)
		if where := places(g.Homes, nameOf); where != "" {
			fmt.Fprintf(&b, ", nor where they came from (%s)", where)
		}
	}
	fmt.Fprintf(&b, ": let %s change the password, or: ldapd cache forgive %s", g.Name, word(g.Name))
	return b.String()
}

// places puts some homes of codes in words.
func places(homes []string, nameOf func(uuid string) string) string {
	const most = 5
	var list []string
	for _, h := range homes[:min(len(homes), most)] {
		if uuid, ok := policy.Searcher(h); ok {
			h = "logins that " + nameOf(uuid) + " searched for"
		}
		list = append(list, h)
	}
	if n := len(homes) - most; n > 0 {
		list = append(list, fmt.Sprintf("%d more", n))
	}
	return strings.Join(list, ", ")
}

// away tells of the clients at which logins fail that were proved at others.
func away(clients map[string]time.Time, now time.Time) (list []string) {
	maps.DeleteFunc(clients, func(_ string, at time.Time) bool { return now.Sub(at) > awayFor })
	latest := slices.SortedFunc(maps.Keys(clients), func(a, b string) int {
		return cmp.Or(clients[b].Compare(clients[a]), cmp.Compare(a, b))
	})
	for _, client := range latest[:min(len(latest), maxTold)] {
		name := "it is named in the configuration, so "
		if network, err := netip.ParsePrefix(client); err == nil {
			name = fmt.Sprintf("name it in the configuration (clients: [{name: nextcloud, networks: [%q]}]), or ", network)
		} else if addr, err := netip.ParseAddr(client); err == nil {
			name = fmt.Sprintf("name it in the configuration (clients: [{name: nextcloud, networks: [%q]}]), or ", netip.PrefixFrom(addr, addr.BitLen()))
		}
		list = append(list, fmt.Sprintf("logins with the right password and a code that is not live are answered 52 at %s, the last one at %s, as the user's logins were proved elsewhere: "+
			"if a Nextcloud of yours moved there, %slet it search with the account that it had; if none did, somebody there has the password of a user",
			client, stamp(clients[client]), name))
	}
	return more(list, len(latest), "clients at which such logins fail")
}

// goodAnywhere counts the users with a remembered code of which nobody knows
// where it was proved.
func goodAnywhere(all []verified.Entry, rules *policy.Rules, now time.Time) (n int) {
	for _, e := range all {
		if slices.ContainsFunc(e.Record.Credentials, func(c verified.Credential) bool {
			return slices.ContainsFunc(c.Proofs, func(f verified.Proof) bool {
				return f.Code.Key != "" && f.Home == "" && now.Before(rules.Until(&f))
			})
		}) {
			n++
		}
	}
	return n
}

// nameOf returns the name of the user with a UUID, or the UUID.
func (s service) nameOf(uuid string) string {
	for _, a := range s.accounts(uuid) {
		return a.Username
	}
	return uuid
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

var plainWord = regexp.MustCompile(`^[A-Za-z0-9._@+][A-Za-z0-9._@+-]*$`)

// word writes a name as a word of a shell: users may choose their names.
func word(name string) string {
	if plainWord.MatchString(name) {
		return name
	}
	return "-- '" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
