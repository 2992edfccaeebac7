package bind

import (
	"context"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth/guard"
	"ldapd/internal/directory"
)

// lookEvery is how often Run asks what other replicas know of guesses.
const lookEvery = time.Minute

// Guessed returns the users whose password somebody has who does not have
// their codes, the latest first.
func (p *Pipeline) Guessed() []guard.Guessed { return p.guesses.All() }

// Forgive lets codes of a user be tried anew, and returns how many wrong ones
// are forgotten. Other replicas that share the store know within a minute.
func (p *Pipeline) Forgive(ctx context.Context, a directory.Account) (n int, err error) {
	stamp := ""
	if p.stamper != nil {
		stamp, _ = p.stamper.Stamps(a)
	}
	return p.guesses.Forgive(ctx, a.UUID, stamp)
}

// warn has a line in the log when half of the codes of a user that are compared
// in a day were wrong, and when all were.
func (p *Pipeline) warn(t guard.Try) {
	user := zap.String("user", t.Name)
	switch p.guesses.Alert(t) {
	case guard.HalfTried:
		p.Log.Warn("somebody has the password of this user and tries codes: half of those that are compared in a day were wrong; let the user change the password, or, if it was the user: ldapd cache forgive USER", user)
	case guard.AllTried:
		p.Log.Warn("somebody has the password of this user and tries codes: no more are compared for a day where these came from; let the user change the password, or: ldapd cache forgive USER", user)
	}
}
