// Package cache keeps what must outlive a bind: the codes that were used.
// Every store passes the suite of package cachetest.
package cache

import (
	"errors"
	"fmt"
	"time"
)

// maxUser is the longest user id that a store takes, in bytes.
const maxUser = 256

// purgeMost is how many expired claims one claim clears away. As it is more
// than one, a store holds no more than the claims that are still of use, and
// what a pause left over.
const purgeMost = 16

// ErrClosed is returned by a store after Close.
var ErrClosed = errors.New("the store is closed")

// Clock returns the time; stores take it as a parameter for tests.
type Clock func() time.Time

func checkUser(user string) error {
	if user == "" || len(user) > maxUser {
		return fmt.Errorf("user id of %d bytes, must have 1 to %d", len(user), maxUser)
	}
	return nil
}
