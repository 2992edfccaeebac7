package main

import (
	"fmt"
	"time"

	"ldapd/internal/authentik/authentiktest"
)

// fake is an authentik in this process, so that its processor time is nobody's.
type fake struct {
	*authentiktest.Server
	cleanups []func()
}

// Helper, Fatalf and Cleanup implement authentiktest.TB.
func (f *fake) Helper() {}

func (f *fake) Fatalf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

func (f *fake) Cleanup(do func()) { f.cleanups = append(f.cleanups, do) }

// newFake returns one with the users of a directory, of whom some need a code.
func newFake(d *dir, coded []string) (f *fake, err error) {
	f = &fake{}
	defer func() {
		if r := recover(); r != nil {
			wrong, ok := r.(error) // of Fatalf
			if !ok {
				panic(r)
			}
			f, err = nil, wrong
		}
	}()
	f.Server = authentiktest.New(f, authentiktest.Options{})
	devices := map[string][]authentiktest.Device{}
	for i, u := range coded {
		secret := fmt.Sprintf("JBSWY3DPEHPK3P%c%c", 'A'+i/26%26, 'A'+i%26)
		devices[u] = []authentiktest.Device{{Class: authentiktest.ClassTOTP, Secret: secret}}
	}
	changed := time.Now().Add(-24 * time.Hour)
	f.AddUser(authentiktest.User{Username: service, Password: userPassword, SearchAll: true, PasswordChanged: changed})
	for i, u := range d.users {
		f.AddUser(authentiktest.User{
			Username: u, Name: d.names[i], Email: u + "@example.org", Password: userPassword, Devices: devices[u], PasswordChanged: changed,
		})
	}
	return f, nil
}

func (f *fake) close() {
	for _, do := range f.cleanups {
		do()
	}
}
