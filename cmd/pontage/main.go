// Command pontage runs and operates a Pontage gateway.
//
//	pontage dev                 start one to play with
//	pontage serve --config …    start one in earnest
//	pontage help                everything else
//
// It exits with 0 if all is well, with 1 if something is wrong, and with 2 if it
// was used wrongly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/client"
)

// Exit codes.
const (
	exitWell  = 0
	exitWrong = 1 // something was found wrong, or went wrong
	exitUsage = 2 // the command was used wrongly
)

// system is the world around a command.
type system struct {
	in       io.Reader
	out, err io.Writer
	lookup   func(string) (string, bool) // an environment variable
	now      func() time.Time
	terminal bool         // in is a terminal, with a person at it
	http     *http.Client // nil: the clients' own
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	stat, err := os.Stdin.Stat()
	code := run(ctx, &system{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, lookup: os.LookupEnv, now: time.Now,
		terminal: err == nil && stat.Mode()&os.ModeCharDevice != 0,
	}, os.Args[1:])
	stop()
	os.Exit(code)
}

// usageError is the error of a command that was used wrongly.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef returns an error that exits with 2.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errFound says that something was found wrong, and that what it is was
// printed.
var errFound = errors.New("something is wrong")

// run runs one command line and returns the exit code. Commands end with ctx.
func run(ctx context.Context, sys *system, args []string) int {
	root := newRoot(sys)
	root.SetArgs(args)
	started := false
	watch(root, &started)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitWell
	case errors.Is(err, errFound):
		return exitWrong
	}
	fmt.Fprintln(sys.err, "pontage: "+printable(err.Error()))
	if !started || usedWrongly(err) {
		return exitUsage
	}
	return exitWrong
}

// usedWrongly reports whether it was the caller's mistake: ours, or that which
// the gateway found.
func usedWrongly(err error) bool {
	var e *client.Error
	if errors.As(err, &e) {
		return e.Status == http.StatusBadRequest || e.Status == http.StatusUnprocessableEntity
	}
	return errors.As(err, new(usageError))
}

// watch notes when a command begins to run: until then every error is one of
// its flags or arguments. How many arguments it wants, it says by their names.
func watch(c *cobra.Command, started *bool) {
	refuseEmpty(c)
	if f := c.Args; f != nil && !c.HasSubCommands() {
		c.Args = func(c *cobra.Command, args []string) error {
			if f(c, args) != nil {
				return usagef("want %s", c.UseLine())
			}
			return nil
		}
	}
	if f := c.RunE; f != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			*started = true
			return f(c, args)
		}
	}
	for _, sub := range c.Commands() {
		watch(sub, started)
	}
}

func newRoot(sys *system) *cobra.Command {
	root := &cobra.Command{
		Use:           "pontage",
		Short:         "A prepaid gateway for LLM APIs",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          showHelp,
	}
	root.SetIn(sys.in)
	root.SetOut(sys.out)
	root.SetErr(sys.err)
	root.AddGroup(&cobra.Group{ID: "run", Title: "Run a gateway:"}, &cobra.Group{ID: "operate", Title: "Operate a gateway, over its admin API:"}, &cobra.Group{ID: "use", Title: "Use a gateway:"})
	root.SetHelpCommandGroupID("use")
	root.SetCompletionCommandGroupID("use")
	in := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	in("run", newDevCommand(sys), newServeCommand(sys), newCheckCommand(sys), newMigrateCommand(sys), newRestoreCommand(sys), newVersionCommand(sys))
	in("operate",
		newAccountCommand(sys), newKeyCommand(sys), newCreditCommand(sys), newUsageCommand(sys), newRequestCommand(sys),
		newTargetCommand(sys), newWebhookCommand(sys), newConfigCommand(sys), newLedgerCommand(sys), newVerifyCommand(sys), newBackupCommand(sys), newDoctorCommand(sys))
	in("use", newModelCommand(sys), newChatCommand(sys))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() { // what cobra adds takes any word
		switch c.Name() {
		case "help":
			c.Run, c.RunE = nil, helpOn
		case "completion":
			c.RunE = showHelp
		}
	}
	return root
}

// helpOn shows the help of the command that args name.
func helpOn(c *cobra.Command, args []string) error {
	of, rest, err := c.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return usagef("there is no command %q", strings.Join(args, " "))
	}
	of.InitDefaultHelpFlag()
	return of.Help()
}

// group makes a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: showHelp}
	c.AddCommand(commands...)
	return c
}

// showHelp answers a command that is none by itself.
func showHelp(c *cobra.Command, _ []string) error {
	c.SetOut(c.ErrOrStderr())
	_ = c.Help()
	return usagef("say which command of %s", c.CommandPath())
}

// printable takes control characters out of text that others wrote, so that it
// cannot move the cursor or change what stands above. Line ends stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if (r < ' ' && r != '\n' && r != '\t') || (r >= 0x7f && r < 0xa0) {
			return '·'
		}
		return r
	}, s)
}

// getenv returns an environment variable; empty: it is not set.
func (s *system) getenv(name string) string {
	v, _ := s.lookup(name)
	return v
}
