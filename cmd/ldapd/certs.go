package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"ldapd/internal/certs"
)

func certsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "certs DIR [NAME...]",
		Short: "Make a throw-away CA and server certificate",
		Long: `Make a throw-away CA and a server certificate of it, for trying TLS with clients
that check. DIR gets ca.crt for the clients, and server.crt and server.key for
tls.cert and tls.key. The certificate is for localhost, this machine's name and
each NAME, a host name or an address. What is in DIR under these names is
replaced.`,
		Example: "  ldapd certs certs ldap.example.org",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			if err := certs.ThrowAway(dir, args[1:]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "wrote %s, %s and %s\n",
				filepath.Join(dir, certs.CAFile), filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile))
			return err
		},
	}
}
