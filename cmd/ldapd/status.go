package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ldapd/internal/config"
	"ldapd/internal/control"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Ask the running server how it does",
		Long: `Ask the running server what it serves, how its store does, and which clients send
binds that cannot be told, with what to do about it. The admin listener shows
the same at /status. The exit status is 0 if a server runs. Times are in the
local time zone.`,
		Example: `  ldapd status --config /etc/ldapd/ldapd.yaml
  ldapd status --json`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path, os.Environ())
		if err != nil {
			return err
		}
		c, err := running(cfg)
		if err != nil {
			return err
		}
		st, err := c.Status(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), st)
		}
		return printStatus(cmd.OutOrStdout(), st)
	}
	return cmd
}

func printStatus(w io.Writer, st control.Status) error {
	store := st.Store
	if st.StoreError != "" {
		store += ", fails: " + printable(st.StoreError)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "version\t%s\nruns since\t%s\ndirectory\t%s\nverified users\t%d\nstore\t%s\n", // errors come from Flush
		st.Version, clock(st.Since), printable(st.Directory), st.VerifiedUsers, store)
	for _, warning := range st.Warnings {
		fmt.Fprintf(t, "warning\t%s\n", printable(warning))
	}
	for _, u := range st.Undecided {
		fmt.Fprintf(t, "undecided\t%d binds of %s, the last one at %s: %s\n", u.Count, printable(u.Client), clock(u.Last), printable(u.Remedy))
	}
	return t.Flush()
}
