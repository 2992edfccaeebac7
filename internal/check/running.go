package check

import (
	"context"
	"errors"
	"slices"
	"time"

	"ldapd/internal/config"
	"ldapd/internal/control"
)

// running asks the server that runs with the state directory, if one does.
func (r *Report) running(cfg *config.Config) {
	c, err := control.Dial(cfg.StateDir)
	if errors.Is(err, control.ErrNotRunning) {
		return
	}
	var s control.Status
	if err == nil {
		s, err = c.Status(context.Background())
	}
	if err != nil {
		r.note("running: an ldapd runs, and does not say how it does: %v", err)
		return
	}
	r.status(s, warnings(cfg))
}

// status says how a server does, but for the warnings that were given already.
func (r *Report) status(s control.Status, given []string) {
	r.note("running: ldapd %s since %s serves %s, with verified binds of %d users in %s",
		s.Version, s.Since.UTC().Format(time.DateTime), s.Directory, s.VerifiedUsers, s.Store)
	if s.GoodAnywhere > 0 {
		r.note("running: %d of them have codes that are good at every client, as they were proved before ldapd kept where: until they end, or by ldapd cache revoke", s.GoodAnywhere)
	}
	if s.StoreError != "" {
		r.warn("running: verified binds: " + s.StoreError)
	}
	for _, u := range s.Undecided {
		r.note("warning: running: %d binds of %s with the right password were answered 52, as it cannot be determined which login they belong to, the last one at %s: %s",
			u.Count, u.Client, u.Last.UTC().Format(time.DateTime), u.Remedy)
	}
	for _, w := range s.Warnings {
		if !slices.Contains(given, w) {
			r.warn("running: " + w)
		}
	}
}
