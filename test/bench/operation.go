package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// operation is one line of the table.
type operation struct {
	name string
	// kept operations run over a connection bound as the service account,
	// others make their own.
	kept bool
	few  bool            // so long that few connections are enough
	skip map[string]bool // by server
	do   func(s *session) (entries int, err error)
}

// session is one of the clients at work on an operation.
type session struct {
	*rand.Rand
	number int // of all that are at work
	addr   string
	conn   *client // kept
}

// attributes are those that Nextcloud asks for at a login, and two more.
var attributes = []string{
	"objectClass", "cn", "uid", "mail", "displayName", "givenName", "sn",
	"memberOf", "uidNumber", "gidNumber", "homeDirectory", "entryUUID",
}

const pageSize = 500

// distinct is how many different requests of a kind are made.
const distinct = 500

// bindRequests returns the binds of those users who do.
func bindRequests(users []string) [][]byte {
	out := make([][]byte, len(users))
	for i, u := range users {
		out[i] = bindRequest(userDN(u))
	}
	return out
}

// operations returns the lines for a directory, with users who bind.
func operations(d *dir, users []string, binds [][]byte) []operation {
	bindService := bindRequest(userDN(service))
	logins := make([][]byte, len(users))
	for i, u := range users {
		logins[i] = mustSearch("(&(objectClass=inetOrgPerson)(uid=" + u + "))")
	}
	r := rand.New(rand.NewPCG(2, 2))
	var byUID, byGroup, bySubstring [][]byte
	for range distinct {
		byUID = append(byUID, mustSearch("(&(objectClass=inetOrgPerson)(uid="+d.users[r.IntN(len(d.users))]+"))"))
		group := "cn=" + groupName(r.IntN(d.groups)) + ",ou=groups," + baseDN
		byGroup = append(byGroup, mustSearch("(&(objectClass=user)(memberOf="+group+"))"))
		name := d.names[r.IntN(len(d.names))]
		at := r.IntN(3)
		abc := name[len(name)-at-3 : len(name)-at]
		bySubstring = append(bySubstring, mustSearch(fmt.Sprintf("(|(cn=*%[1]s*)(displayName=*%[1]s*)(mail=*%[1]s*))", abc)))
	}
	everybody := mustSearch("(objectClass=inetOrgPerson)")

	return []operation{
		{name: "bind, kept connection", kept: true, do: one(binds)},
		{name: "connect, bind, unbind", do: func(s *session) (int, error) {
			return 0, s.connected(pick(s, binds))
		}},
		{name: "search by uid, 12 attributes", kept: true, do: one(byUID)},
		{name: "search by memberOf", kept: true, do: one(byGroup)},
		{name: "search by substrings", kept: true, do: one(bySubstring)},
		{name: "all users in one search", kept: true, few: true, do: one([][]byte{everybody})},
		{name: "all users in pages of 500", kept: true, few: true, skip: map[string]bool{"nmcclain": true}, do: paged},
		{name: "Nextcloud's login", do: func(s *session) (int, error) {
			i := s.IntN(len(users))
			return s.login(bindService, logins[i], binds[i])
		}},
	}
}

func mustSearch(filter string) []byte {
	req, err := searchRequest(filter, attributes, 0, nil)
	if err != nil {
		panic(err) // the filters are all in this file
	}
	return req
}

func pick(s *session, requests [][]byte) []byte { return requests[s.IntN(len(requests))] }

// one sends one of some requests over the kept connection.
func one(requests [][]byte) func(*session) (int, error) {
	return func(s *session) (int, error) {
		n, _, err := s.conn.exchange(pick(s, requests))
		return n, err
	}
}

// connected sends a request over a connection of its own.
func (s *session) connected(request []byte) error {
	c, err := dial(s.addr)
	if err != nil {
		return err
	}
	_, _, err = c.exchange(request)
	return errors.Join(err, c.close())
}

// paged reads all pages over the kept connection.
func paged(s *session) (int, error) {
	var cookie []byte
	all := 0
	for {
		req, err := searchRequest("(objectClass=inetOrgPerson)", attributes, pageSize, cookie)
		if err != nil {
			return all, err
		}
		n, controls, err := s.conn.exchange(req)
		if err != nil {
			return all, err
		}
		all += n
		if n > pageSize {
			return all, fmt.Errorf("a page of %d entries", n)
		}
		if cookie, err = cookieOf(controls); err != nil || len(cookie) == 0 {
			return all, err
		}
		cookie = append([]byte(nil), cookie...)
	}
}

// login does what Nextcloud does: finds the user over a connection of the
// service account, and binds as the user over another one.
func (s *session) login(service, search, user []byte) (int, error) {
	c, err := dial(s.addr)
	if err != nil {
		return 0, err
	}
	n, err := 0, error(nil)
	if _, _, err = c.exchange(service); err == nil {
		n, _, err = c.exchange(search)
	}
	if err == nil {
		err = s.connected(user)
	}
	return n, errors.Join(err, c.close())
}
