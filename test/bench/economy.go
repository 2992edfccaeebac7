package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"ldapd/test/bench/economy"
)

const economyLine = "flows, simulated"

// runEconomy counts flows by simulation, and prints them.
func runEconomy(ctx context.Context, o options, users int, out io.Writer) error {
	if !strings.Contains(economyLine, o.only) {
		return nil
	}
	r, err := economy.Run(ctx, economy.Options{Users: users, Days: o.days, Seed: 1})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `
%s: %d users with 3 sync clients and a visit a day, %d days; 70%% have TOTP, 15%% TOTP
that authentik remembers, 15%% no factor. %d logins with a new code or password, %d right binds.
Every client goes on when it was answered 49, though Nextcloud ends its login at the first.

%-24s %12s %12s %14s %14s %14s
`, economyLine, r.Users, r.Days, r.Logins, r.Binds, "", "flows/user/h", "events/day", "sessions left", "right, but 49", "logins ended")
	for _, c := range []struct {
		name string
		economy.Cost
	}{{"ldapd", r.Ldapd}, {"authentik's, cached", r.Cached}, {"authentik's, direct", r.Direct}} {
		fmt.Fprintf(out, "%-24s %12.3f %12d %14d %14d %14d\n", c.name, r.PerUserHour(c.Flows), r.PerDay(c.Events), c.Sessions, c.Denied, c.Lost)
	}
	fmt.Fprintf(out, "ldapd ran %d flows without a reason for one user on one day, at most; %d times that could not be determined.\n", r.Most, r.Undecided)
	return nil
}
