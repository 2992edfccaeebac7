package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"ldapd/internal/check"
	"ldapd/internal/config"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and what it names",
		Long: `Read the configuration, and test what it names: addresses, certificate, state
directory, and the users file, or authentik: its host and token, the outpost,
its providers with their flows and certificates. What is wrong is printed with
its file, line and key, or with where in authentik to mend it. The exit status
is 0 if ldapd can serve with it, and 1 if not. Nothing is changed, and a server
may be running.

Run it as the user that ldapd runs as, or it tests the rights of another.`,
		Example: `  ldapd check --config ldapd.yaml
  sudo -u ldapd ldapd check --config /etc/ldapd/ldapd.yaml
  AUTHENTIK_HOST=https://auth.example.org/ AUTHENTIK_TOKEN=file:///etc/ldapd/token ldapd check`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path, os.Environ())
		if err != nil {
			return err
		}
		r := check.Run(cfg)
		for _, note := range r.Notes {
			fmt.Fprintln(cmd.OutOrStdout(), note)
		}
		for _, err := range r.Problems {
			fmt.Fprintln(cmd.ErrOrStderr(), err)
		}
		switch n := len(r.Problems); n {
		case 0:
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return err
		case 1:
			return fmt.Errorf("check: 1 problem")
		default:
			return fmt.Errorf("check: %d problems", n)
		}
	}
	return cmd
}
