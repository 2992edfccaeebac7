package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ldapd/internal/config"
	"ldapd/internal/control"
)

func cacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "See and revoke verified binds, and forgive wrong codes",
		Long: `See and revoke verified binds: the users whose password and second factor were
proved, and who are let in by that until it is proved again; and forgive the
wrong codes that somebody tried with a user's password. The running server is
asked or, if there is none, its store.`,
		Args: cobra.NoArgs,
		RunE: help,
	}
	cmd.AddCommand(cacheListCommand(), cacheRevokeCommand(), cacheForgiveCommand())
	return cmd
}

func cacheListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the verified binds",
		Long: `List the verified binds, one line for each password that was proved: how the
second factor came and for which client, when the backend proved it last, when
it was last known to be good, and when the second factor is asked for again.
Passwords and codes are not known here. Times are in the local time zone.`,
		Example: `  ldapd cache list --config /etc/ldapd/ldapd.yaml
  ldapd cache list --json | jq '.[] | select(.doubt) | .user'`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withBinds(cmd.Context(), *path, func(ctx context.Context, s control.Service) error {
			binds, err := s.List(ctx)
			switch {
			case err != nil:
				return err
			case *asJSON:
				if binds == nil {
					binds = []control.Bind{} // not null
				}
				return printJSON(cmd.OutOrStdout(), binds)
			}
			return printBinds(cmd.OutOrStdout(), binds)
		})
	}
	return cmd
}

func cacheRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke USER | --all",
		Short: "Revoke the verified binds of a user, or of all",
		Long: `Revoke the verified binds of a user, named by user name or UUID, or of all
users. From then on each of them has to prove password and second factor again,
also in sessions that are open. The wrong codes of the user that a running
server counted are forgiven, as by "ldapd cache forgive".`,
		Example: `  ldapd cache revoke alice --config /etc/ldapd/ldapd.yaml
  ldapd cache revoke --all`,
		Args: cobra.MaximumNArgs(1),
	}
	path := configFlag(cmd)
	all := cmd.Flags().Bool("all", false, "revoke those of all users")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *all == (len(args) == 1) || len(args) == 1 && args[0] == "" {
			return errors.New("name a user, or say --all")
		}
		return withBinds(cmd.Context(), *path, func(ctx context.Context, s control.Service) error {
			if *all {
				n, err := s.RevokeAll(ctx)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "revoked all verified binds (%d known here)\n", n)
				return err
			}
			n, err := s.Revoke(ctx, args[0])
			if err != nil {
				return err
			}
			if n == 0 {
				return fmt.Errorf("no verified binds of %q were known here", args[0])
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "revoked the verified binds of %s (%d)\n", printable(args[0]), n)
			return err
		})
	}
	return cmd
}

func cacheForgiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forgive USER",
		Short: "Have codes of a user compared again",
		Long: `Have codes of a user, named by user name or UUID, compared again. Of the wrong
ones that come with the right password ten are compared in a day, in all trees
and by all replicas together; then logins by code are answered 51 (busy) where
those came from, until they are a day old, the user has another password, or
this says so. Before you do, let the user change the password: somebody has it.
The server must run; other replicas that share its store follow within a minute.`,
		Example: `  ldapd cache forgive alice --config /etc/ldapd/ldapd.yaml`,
		Args:    cobra.ExactArgs(1),
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := config.Load(*path, os.Environ())
		if err != nil {
			return err
		}
		c, err := running(cfg)
		if err != nil {
			return err
		}
		n, err := c.Forgive(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if n == 0 {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "no wrong codes of %s were counted\n", printable(args[0]))
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "forgave the wrong codes of %s (%d); other replicas follow within a minute\n", printable(args[0]), n)
		return err
	}
	return cmd
}

func printBinds(w io.Writer, binds []control.Bind) error {
	if len(binds) == 0 {
		_, err := fmt.Fprintln(w, "no verified binds")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tSECOND FACTOR\tFIRST\tPROVED\tKNOWN GOOD\tUNTIL\tBASE") // errors come from Flush
	for _, b := range binds {
		good := clock(b.Told)
		if b.Doubt {
			good = "in doubt"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			printable(b.User), printable(factor(b)), clock(b.First), clock(b.Proved), good, clock(b.Until), printable(b.Base))
	}
	return t.Flush()
}

// factor says how the second factor was proved.
func factor(b control.Bind) string {
	switch {
	case !b.Factored:
		return "not needed"
	case len(b.Proofs) == 0:
		return "to be proved"
	}
	var parts []string
	count := make(map[string]int)
	for _, p := range b.Proofs {
		part := p.Way
		if p.Client != "" {
			part += " at " + p.Client
		}
		if count[part]++; count[part] == 1 {
			parts = append(parts, part)
		}
	}
	for i, part := range parts {
		if n := count[part]; n > 1 {
			parts[i] = fmt.Sprintf("%s (%d)", part, n)
		}
	}
	return strings.Join(parts, ", ")
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
