// Command redoubt runs a node, asks a running one how it is, and moves data in and out.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"redoubt"
)

// version is set by the linker in releases.
var version = "dev"

// cli is the command line. Every flag can also be given as an environment variable, REDOUBT_ and the
// flag's name in upper case with _ for -, and in the file that --config names, one a line: the name, a
// space, the value. Flags win over the environment, and that over the file.
type cli struct {
	Config  kong.ConfigFlag  `help:"Read settings from this file, one a line: name value."`
	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`
	Node    nodeFlags        `embed:""`

	Serve  serveCmd  `cmd:"" default:"1" help:"Run a node. This is what happens without a command."`
	Health healthCmd `cmd:"" help:"Ask a node whether it answers and is not corrupt; exit with 0 if so."`

	Status  statusCmd  `cmd:"" help:"Show all nodes of a cluster; exit with 0 if it has a leader."`
	Backup  backupCmd  `cmd:"" help:"Back a running cluster up, or check a backup."`
	Restore restoreCmd `cmd:"" help:"Make the data directory (--data-dir, --id, --cluster) of a new cluster's node from a backup."`
	Recover recoverCmd `cmd:"" help:"Give up a cluster that lost its majority for good: make a new one of a stopped node's --data-dir."`
	Import  importCmd  `cmd:"" help:"Write the keys of an RDB file of Redis into a running cluster."`
	Export  exportCmd  `cmd:"" help:"Write the keys of a running cluster as commands for redis-cli --pipe."`
}

func main() {
	var c cli
	parser, err := kong.New(&c, kong.Name("redoubt"),
		kong.Description("A replicated, durable Redis-protocol server."),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"version": "redoubt " + version},
		kong.DefaultEnvars("REDOUBT"), kong.Configuration(loadConfig))
	if err != nil {
		panic(err) // the definition above is wrong
	}
	ctx, err := parser.Parse(os.Args[1:])
	if err != nil { // one line, instead of kong's page of usage in front of it
		fail(fmt.Errorf("%w (see redoubt --help)", err))
	}
	if err := ctx.Run(&c.Node); err != nil {
		fail(err)
	}
}

// exitRemoved tells whoever starts nodes that this one is not to be started again.
const exitRemoved = 3

func fail(err error) {
	fmt.Fprintln(os.Stderr, "redoubt:", err)
	if removed := (*redoubt.RemovedError)(nil); errors.As(err, &removed) {
		os.Exit(exitRemoved)
	}
	os.Exit(1)
}
