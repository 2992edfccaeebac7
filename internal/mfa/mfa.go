// Package mfa takes the second factor out of a credential and checks it.
package mfa

import (
	"context"
	"time"
)

// UsedCodes remembers the codes that were used, so that each opens one login.
type UsedCodes interface {
	// Claim marks a user's counter as used. It is fresh for exactly one
	// caller, however many ask at the same instant, until the time given,
	// also across a crash if the store is durable. An error says nothing
	// about the code, and the login that it belongs to cannot be determined.
	Claim(ctx context.Context, user string, counter int64, until time.Time) (fresh bool, err error)
}
