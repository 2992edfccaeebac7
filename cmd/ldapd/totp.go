package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ldapd/internal/mfa"
)

func totpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "totp",
		Short: "Work with one-time codes",
		Args:  cobra.NoArgs,
		RunE:  help,
	}
	cmd.AddCommand(enrollCommand())
	return cmd
}

func enrollCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enroll USER",
		Short: "Make a TOTP secret for a user",
		Long: `Make a new TOTP secret and print it with its otpauth URL and a QR code for an
authenticator app. Nothing is stored: the secret goes to the user's entry in
users.yaml, and the user scans the code.`,
		Example: `  ldapd totp enroll bob
  ldapd totp enroll bob --issuer "Example Cloud"`,
		Args: cobra.ExactArgs(1),
	}
	issuer := cmd.Flags().String("issuer", "ldapd", "`name` of the service, as the app shows it")
	noQR := cmd.Flags().Bool("no-qr", false, "print no QR code")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := mfa.Enroll(*issuer, args[0], nil)
		if err != nil {
			return err
		}
		code := ""
		if !*noQR {
			if code, err = e.QR(); err != nil {
				return err
			}
			code += "\n"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%ssecret      %s\nURL         %s\nusers.yaml  totp: {secret: %s}\n",
			code, e.Secret, e.URL, e.Secret)
		return err
	}
	return cmd
}
