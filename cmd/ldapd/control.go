package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"
	"unicode"

	"ldapd/internal/config"
	"ldapd/internal/control"
	"ldapd/internal/daemon"
)

// running returns the server that runs with a configuration.
func running(cfg *config.Config) (*control.Client, error) { return control.Dial(cfg.StateDir) }

// withBinds calls f with the server that runs with a configuration or, if there
// is none, with its store of verified binds.
func withBinds(ctx context.Context, path string, f func(context.Context, control.Service) error) (err error) {
	cfg, err := config.Load(path, os.Environ())
	if err != nil {
		return err
	}
	c, err := running(cfg)
	if err == nil {
		return f(ctx, c)
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	s, closer, err := daemon.OpenOffline(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	return f(ctx, s)
}

// clock writes a time for tables, in the local time zone.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// printable takes out of a text from elsewhere what a terminal or table would
// act upon.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
