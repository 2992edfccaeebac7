package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"ldapd/internal/directory"
	"ldapd/internal/local"
	"ldapd/internal/password"
)

const (
	baseDN       = "dc=ldap,dc=goauthentik,dc=io"
	service      = "ldapservice"
	userPassword = "correct horse battery staple"
	groupsOfUser = 5
)

// dir is the directory that all servers serve.
type dir struct {
	file     string // users.yaml
	users    []string
	names    []string // of users
	groups   int
	snapshot *directory.Snapshot
}

// newDirectory writes a users file and reads it as ldapd does. The same
// number gives the same directory.
func newDirectory(file string, n int) (*dir, error) {
	hash, err := password.New(userPassword)
	if err != nil {
		return nil, err
	}
	d := &dir{file: file, groups: n / 20}
	r := rand.New(rand.NewPCG(1, uint64(n)))
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintf(w, "users:\n  - {username: %s, password: %q, search: true}\n", service, hash)
	for i := range n - 1 {
		first, last := word(r, 2), word(r, 3)
		user := fmt.Sprintf("%s.%s%d", first, last, i)
		name := title(first) + " " + title(last)
		d.users = append(d.users, user)
		d.names = append(d.names, name)
		var groups []string
		for _, g := range r.Perm(d.groups)[:min(groupsOfUser, d.groups)] {
			groups = append(groups, groupName(g))
		}
		fmt.Fprintf(w, "  - {username: %s, name: %s, email: %s@example.org, password: %q, groups: [%s]}\n",
			user, name, user, hash, strings.Join(groups, ", "))
	}
	fmt.Fprint(w, "groups:\n")
	for g := range d.groups {
		fmt.Fprintf(w, "  - {name: %s}\n", groupName(g))
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	loaded, err := local.Load(file, local.UIDUsername)
	if err != nil {
		return nil, err
	}
	var problems []directory.Problem
	d.snapshot, problems = directory.Tree{BaseDN: baseDN}.Build(loaded.Users(), loaded.Groups())
	if len(problems) > 0 {
		return nil, fmt.Errorf("the directory has a problem: %s", problems[0])
	}
	return d, nil
}

func groupName(g int) string { return fmt.Sprintf("group-%d", g) }

// word makes a word of syllables.
func word(r *rand.Rand, syllables int) string {
	const consonants, vowels = "bcdfghjklmnprstvwz", "aeiou"
	var b strings.Builder
	for range syllables {
		b.WriteByte(consonants[r.IntN(len(consonants))])
		b.WriteByte(vowels[r.IntN(len(vowels))])
		if r.IntN(3) == 0 {
			b.WriteByte(consonants[r.IntN(len(consonants))])
		}
	}
	return b.String()
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// ssha returns the password as slapd keeps it.
func ssha() string {
	salt := []byte("saltsalt")
	sum := sha1.Sum(append([]byte(userPassword), salt...))
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}

func userDN(name string) string { return "cn=" + name + ",ou=users," + baseDN }
