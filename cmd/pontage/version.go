package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set when a release is linked.
var version = ""

// build is what is known of how the program was built.
type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"` // of the commit
	Modified bool   `json:"modified,omitempty"`
}

// buildInfo reads what the toolchain wrote into the program.
func buildInfo() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		b.Version = first(b.Version, "unknown")
		return b
	}
	b.Version = first(b.Version, info.Main.Version, "unknown")
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func newVersionCommand(sys *system) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "Show which version this is", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := buildInfo()
			if asJSON {
				return json.NewEncoder(sys.out).Encode(b)
			}
			commit := ""
			if b.Commit != "" {
				commit = " " + b.Commit + yes(b.Modified, "+") + " " + b.Time
			}
			fmt.Fprintf(sys.out, "pontage %s%s %s %s\n", b.Version, commit, b.Go, b.Platform)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
