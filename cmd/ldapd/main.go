// Command ldapd is an LDAP server; "ldapd --help" says how to use it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the linker; see the Makefile.
var version = "dev"

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes a command line and returns the exit status. The end of ctx
// stops a server as a signal does.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := command()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(errOut, "ldapd: %v\n", err)
		return 1
	}
	return 0
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "ldapd",
		Short: "An LDAP and LDAPS server",
		Long: `ldapd serves users and groups over LDAP and LDAPS, and checks passwords and
one-time codes.

To look around, "ldapd demo" needs nothing else. To run it, copy
ldapd.example.yaml, which explains every key, and say "ldapd check", then
"ldapd serve".`,
		Args:          cobra.NoArgs,
		RunE:          help,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		serveCommand(), demoCommand(), checkCommand(), hashCommand(), totpCommand(), certsCommand(),
		healthcheckCommand(), statusCommand(), cacheCommand(), unlockCommand(), versionCommand(),
	)
	return root
}

// help is for commands that only hold others. Having it makes cobra refuse
// unknown ones.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// configFlag adds --config to a command.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "", "`file` with the configuration (default: the environment alone)")
}
