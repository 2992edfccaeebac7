package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ldapd/internal/config"
)

const healthTimeout = 4 * time.Second // Docker's HEALTHCHECK of ours gives 5

func healthcheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the running server whether it is ready",
		Long: `Ask /readyz of the running server's admin listener (listen.admin). The exit
status is 0 if it is ready, and 1 with the reason if it is not. It needs the
configuration that the server runs with.`,
		Example: `  ldapd healthcheck --config /etc/ldapd/ldapd.yaml
  LDAPD_LISTEN_ADMIN=:9300 ldapd healthcheck`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path, os.Environ())
		if err != nil {
			return err
		}
		if cfg.Listen.Admin == "" {
			return cfg.Errorf("listen.admin", "is off, so there is nothing to ask")
		}
		if err := health(cmd.Context(), config.Addresses(cfg.Listen.Admin)[0]); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), "ready")
		return err
	}
	return cmd
}

// health asks the admin listener at addr.
func health(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(addr)+"/readyz", nil)
	if err != nil {
		return err
	}
	// Not the default transport, which would ask a proxy.
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("not running? %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New("not ready: " + strings.TrimSpace(string(body)))
	}
	return nil
}

// reachable turns an address to listen on into one to connect to. All addresses
// include IPv4 ones, and a container may lack ::1.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "", err == nil && ip.IsUnspecified():
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
