package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"ldapd/internal/config"
	"ldapd/internal/daemon"
	"ldapd/internal/local"
)

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until SIGTERM or SIGINT. On SIGHUP or SIGUSR1 the users file, the
certificate and what authentik has are read again, which also happens by itself
when they change; the configuration is read once.

ldapd.example.yaml explains every key. Each has an environment variable, which
wins over the file: listen.ldap is LDAPD_LISTEN_LDAP. Without --config
everything comes from the environment, which may be that of authentik's LDAP
outpost (AUTHENTIK_HOST, AUTHENTIK_TOKEN, ...).`,
		Example: `  ldapd serve --config /etc/ldapd/ldapd.yaml
  LDAPD_BASE_DN=dc=example,dc=org LDAPD_FILE_PATH=users.yaml LDAPD_STATE_DIR=state ldapd serve`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path, os.Environ())
		if err != nil {
			return err
		}
		return serve(cmd.Context(), cfg, nil, cmd.ErrOrStderr(), nil)
	}
	return cmd
}

// serve runs a daemon until a signal ends it. Started, if not nil, is called
// once the daemon listens.
func serve(ctx context.Context, cfg *config.Config, users *local.File, logTo io.Writer, started func(*daemon.Daemon) error) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal drains, a second one kills.
	context.AfterFunc(ctx, stop)
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP, syscall.SIGUSR1) // the latter is that of authentik's outpost
	defer signal.Stop(reload)

	log, flush, err := daemon.NewLogger(cfg.Log, logTo)
	if err != nil {
		return err
	}
	defer func() {
		if flushErr := flush(); err == nil {
			err = flushErr
		}
	}()
	d, err := daemon.Open(daemon.Options{Config: cfg, Log: log, Version: version, Users: users})
	if err != nil {
		return err
	}
	if started != nil {
		if err := started(d); err != nil {
			return errors.Join(err, d.Close())
		}
	}
	return d.Run(ctx, reload)
}
