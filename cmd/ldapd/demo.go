package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ldapd/internal/certs"
	"ldapd/internal/config"
	"ldapd/internal/daemon"
	"ldapd/internal/local"
	"ldapd/internal/mfa"
)

// demoSecret is bob's TOTP secret in the built-in directory.
const demoSecret = "JBSWY3DPEHPK3PXP"

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Serve a built-in directory, to look around",
		Long: `Serve a small built-in directory on this machine, with nothing to configure. It
prints commands to try, the accounts, and a one-time code for the account that
needs one. The passwords are known to everybody: do not use it for real.

If the state directory has a users.yaml, that is served instead, and read again
when it changes.`,
		Example: `  ldapd demo
  ldapd demo --ldap 127.0.0.1:1389 --ldaps 127.0.0.1:1636 --state /tmp/demo`,
		Args: cobra.NoArgs,
	}
	cfg := config.Default()
	flags := cmd.Flags()
	flags.StringVar(&cfg.Listen.LDAP, "ldap", cfg.Listen.LDAP, "`address` for LDAP with StartTLS")
	flags.StringVar(&cfg.Listen.LDAPS, "ldaps", cfg.Listen.LDAPS, "`address` for LDAPS")
	flags.StringVar(&cfg.Listen.Admin, "admin", "", "`address` for metrics and health (default: off)")
	flags.StringVar(&cfg.StateDir, "state", ".demo", "`directory` for the self-signed certificate and used codes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cfg.Listen.LDAP == "" || cfg.Listen.LDAPS == "" {
			return errors.New("--ldap and --ldaps must be host:port")
		}
		cfg.File.Path = filepath.Join(cfg.StateDir, "users.yaml")
		if err := cfg.Check(); err != nil {
			return err
		}
		users, err := demoUsers(cfg)
		if err != nil {
			return err
		}
		return serve(cmd.Context(), cfg, users, cmd.ErrOrStderr(), func(d *daemon.Daemon) error {
			return welcome(cmd.OutOrStdout(), cfg, d, users != nil, time.Now())
		})
	}
	return cmd
}

// demoUsers returns the built-in directory, or nil if there is a file.
func demoUsers(cfg *config.Config) (*local.File, error) {
	switch _, err := os.Stat(cfg.File.Path); {
	case err == nil:
		return nil, nil
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	return local.Demo(local.UIDFrom(cfg.Directory.UID))
}

// welcome says what to try.
func welcome(w io.Writer, cfg *config.Config, d *daemon.Daemon, builtin bool, now time.Time) error {
	ldap, ldaps := "ldap://"+d.LDAP().String(), "ldaps://"+d.LDAPS().String()
	base := cfg.BaseDN
	ca := "LDAPTLS_CACERT=" + filepath.Join(cfg.StateDir, certs.SelfSignedCert)
	if !builtin {
		_, err := fmt.Fprintf(w, "ldapd demo serves %s on %s and %s\nwith the base %s\n\n", cfg.File.Path, ldap, ldaps, base)
		return err
	}
	code, left, err := demoCode(now)
	if err != nil {
		return err
	}
	user := func(name string) string { return "cn=" + name + ",ou=users," + base }
	_, err = fmt.Fprintf(w, `ldapd demo serves %[1]s and %[2]s

Try:
  ldapsearch -x -H %[1]s -D %[4]s -w demo-ldapservice -b %[3]s '(uid=alice)'
  ldapwhoami -x -H %[1]s -D %[5]s -w demo-alice
  %[7]s ldapwhoami -x -ZZ -H %[1]s -D %[5]s -w demo-alice
  %[7]s ldapwhoami -x -H %[2]s -D %[5]s -w demo-alice
  ldapwhoami -x -H %[1]s -D %[6]s -w 'demo-bob;%[8]s'

Accounts: cn=NAME,ou=users,%[3]s
  ldapservice  demo-ldapservice  may read the whole directory
  alice        demo-alice        in staff and admins (a superuser)
  bob          demo-bob          in staff; needs a code: demo-bob;CODE, or bob;CODE as the name
  carol        demo-carol        inactive, may not bind

Bob's code is %[8]s for %[9]d more seconds; each opens one login. An authenticator
app makes more from the secret %[10]s.

Stop with Ctrl-C. The log:
`, ldap, ldaps, base, user("ldapservice"), user("alice"), user("bob"), ca, code, int(left.Seconds()), demoSecret)
	return err
}

// demoCode returns bob's code and how long it is the current one.
func demoCode(now time.Time) (code string, left time.Duration, err error) {
	t, err := mfa.NewTOTP(demoSecret, mfa.Options{})
	if err != nil {
		return "", 0, err
	}
	const period = 30 * time.Second
	code, err = t.Code(now)
	return code, now.Truncate(period).Add(period).Sub(now), err
}
