package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/internal/app"
	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/contract"
)

func newServeCommand(sys *system) *cobra.Command {
	var path, level string
	var test bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a gateway with a configuration file",
		Long: `Run a gateway. SIGHUP, or a change of the file, puts the new configuration in
force without dropping a request; a file with an error changes nothing. SIGTERM
drains: answers go on for as long as server.drain says.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := loadConfig(path)
			if err != nil {
				return err
			}
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return usagef("--log-level %q: want debug, info, warn or error", level)
			}
			abs, err := filepath.Abs(path)
			if err != nil {
				return err
			}
			a, err := app.New(c.Context(), app.Options{
				Config: conf, Dir: filepath.Dir(abs), Test: test,
				Log: sys.err, LogLevel: l, Version: version, Failpoints: sys.getenv("PONTAGE_FAILPOINTS"),
			})
			if err != nil {
				return err
			}
			a.Logger().Info("serving", "api", a.Addr(), "admin", a.AdminAddr(), "config", path, "version", version)
			return serve(c.Context(), a, func() error {
				conf, err := loadConfig(path)
				if err != nil {
					return err
				}
				return a.Reload(conf)
			}, path)
		},
	}
	f := c.Flags()
	f.StringVar(&path, "config", "pontage.yaml", "configuration `file`")
	f.StringVar(&level, "log-level", "info", "least `level` that is logged: debug, info, warn or error")
	f.BoolVar(&test, "test", false, "allow the test clock, fault points and simulator scripts in the admin API")
	return c
}

// loadConfig reads a configuration and checks it whole.
func loadConfig(path string) (*config.Config, error) {
	c, err := config.Load(path, os.LookupEnv, contract.Embedded()...)
	if _, gone := os.Stat(path); err != nil && errors.Is(gone, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; --config names the file, examples/pontage.yaml is one to start from, and pontage dev needs none", err)
	}
	if err != nil {
		return nil, err
	}
	if err := app.Check(c); err != nil {
		return nil, err
	}
	return c, nil
}

// serve serves until ctx ends, and reloads on SIGHUP and when the file at path
// changes. An empty path is not watched.
func serve(ctx context.Context, a *app.App, reload func() error, path string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	again := func() {
		if err := reload(); err != nil {
			a.Logger().Error("the configuration was not reloaded, the old one stays in force", "error", err.Error())
			return
		}
		a.Logger().Info("the configuration was reloaded")
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	changed := make(chan struct{}, 1)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		if path == "" {
			return
		}
		err := config.Watch(ctx, path, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			a.Logger().Warn("changes of the configuration file are not seen; send SIGHUP instead", "error", err.Error())
		}
	}()
	reloading := make(chan struct{})
	go func() {
		defer close(reloading)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				again()
			case <-changed:
				again()
			}
		}
	}()
	err := a.Serve(ctx)
	cancel()
	<-watching
	<-reloading
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
