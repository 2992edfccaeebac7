package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ldapd/internal/config"
	"ldapd/internal/secret"
	"ldapd/internal/unlock"
)

func unlockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unlock USER",
		Short: "Prove a second factor, so that the password suffices for a while",
		Long: `Ask for the password and a code of a user, and have the running server prove
them. After that the plain name and password suffice at the clients named, for
as long as mfa.remember.for says. Without a code the user confirms on the phone
(Duo). Users can do the same by themselves at /unlock of listen.unlock.

On a terminal password and code are asked for and not shown; otherwise they are
the first two lines of the standard input.`,
		Example: `  ldapd unlock alice --config /etc/ldapd/ldapd.yaml
  ldapd unlock alice --client nextcloud --client office`,
		Args: cobra.ExactArgs(1),
	}
	path := configFlag(cmd)
	clients := cmd.Flags().StringArray("client", nil, "`name` of a client from the configuration, may be repeated (default: the only one)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := config.Load(*path, os.Environ())
		if err != nil {
			return err
		}
		if *clients, err = chosen(cfg, *clients); err != nil {
			return err
		}
		c, err := running(cfg) // before anybody types a password for nothing
		if err != nil {
			return err
		}
		password, code, err := readCredentials(cmd.InOrStdin(), cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		w, err := c.Unlock(cmd.Context(), unlock.Request{
			User: args[0], Password: password, Code: code, Clients: *clients, Client: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "until %s the name %s and the password suffice at %s\n",
			clock(w.Until), printable(w.Username), printable(strings.Join(w.Clients, ", ")))
		return err
	}
	return cmd
}

// chosen returns the clients to unlock, as the configuration writes them.
func chosen(cfg *config.Config, names []string) ([]string, error) {
	var known []string
	for _, c := range cfg.Clients {
		known = append(known, c.Name)
	}
	switch {
	case len(known) == 0:
		return nil, cfg.Errorf("clients", "names none, so there is nothing to unlock")
	case len(names) > 0:
	case len(known) == 1:
		return known, nil
	default:
		return nil, fmt.Errorf("say by --client what to unlock: %s", strings.Join(known, ", "))
	}
	var list []string
	for _, name := range names {
		i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) })
		if i < 0 {
			return nil, fmt.Errorf("--client: the configuration has no %q, only: %s", name, strings.Join(known, ", "))
		}
		if !slices.Contains(list, known[i]) {
			list = append(list, known[i])
		}
	}
	return list, nil
}

// readCredentials reads a password and a code, which may be empty.
func readCredentials(in io.Reader, prompt io.Writer) (password, code secret.String, err error) {
	next := lines(in)
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		next = func(question string) (string, error) { return ask(int(f.Fd()), prompt, question) }
	}
	p, err := next("Password: ")
	if err != nil {
		return "", "", err
	}
	if p == "" {
		return "", "", errors.New("the password is empty")
	}
	c, err := next("Code (empty: confirm on the phone): ")
	return secret.String(p), secret.String(strings.Join(strings.Fields(c), "")), err
}

// lines returns a function that reads the next line, for any question.
func lines(in io.Reader) func(question string) (string, error) {
	r := bufio.NewReader(io.LimitReader(in, 2*maxPassword))
	return func(string) (string, error) { return readLine(r) }
}
