// Command bench compares one redis-server that syncs its log on every write with one Redoubt node and
// with three, as real processes on this machine and in one run. It prints Markdown tables, draws the
// ratios as an SVG, and tells which marks were missed.
//
// Data lies below --dir, which must be on a disk for the comparison to mean anything. Needs Go,
// redis-server and redis-benchmark; reads /proc, so it needs Linux.
//
// It is a module of its own so that the product's go.mod names neither charts nor histograms.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	rounds    int
	scale     int
	quick     bool
	only      []string
	redoubt   string
	nodeFlags []string
	svg       string
	dir       string
}

// section is a part of the run that fills one table.
type section struct {
	name string
	run  func(*bench, *table) error
	// alone: it starts systems of its own, and those that other sections share have ended before.
	alone bool
}

var sections = []section{
	{name: "throughput", run: throughput},
	{name: "types", run: types},
	{name: "mixed", run: mixed},
	{name: "follower", run: follower},
	{name: "values", run: values},
	{name: "latency", run: latency},
	{name: "pubsub", run: pubSub},
	{name: "large", run: large, alone: true},
	{name: "failover", run: failover, alone: true},
	{name: "growth", run: growth, alone: true},
	{name: "restart", run: restart, alone: true},
	{name: "catchup", run: catchup, alone: true},
	{name: "snapshot", run: snapshots, alone: true},
	{name: "amplification", run: amplification, alone: true},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	var only, nodeFlags string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 3, "how often each load is measured on each system; the table has medians")
	flags.IntVar(&o.scale, "scale", 100, "percent of the usual amounts of requests, data and time")
	flags.BoolVar(&o.quick, "quick", false, "everything small: one round, a few percent of the amounts")
	flags.StringVar(&only, "only", "", "sections to run, separated by commas: "+strings.Join(names(), ", "))
	flags.StringVar(&o.redoubt, "redoubt", "", "program to measure, instead of one built from ./cmd/redoubt")
	flags.StringVar(&nodeFlags, "node-flags", "", "further flags for all nodes")
	flags.StringVar(&o.svg, "svg", "", "file for a chart of the ratios to Redis")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "directory below which all data lies")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.nodeFlags = strings.Fields(nodeFlags)
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for i, name := range o.only {
		if name == "elections" { // they are counted while the throughput is measured
			o.only[i] = "throughput"
		} else if !slices.Contains(names(), name) {
			return o, fmt.Errorf("there is no section %q, only %s", name, strings.Join(names(), ", "))
		}
	}
	if o.rounds < 1 || o.scale < 1 || flags.NArg() > 0 {
		return o, errors.New("usage: bench [flags], with at least one round and one percent")
	}
	if o.quick {
		o.rounds, o.scale = 1, 5
	}
	return o, nil
}

func names() (list []string) {
	for _, s := range sections {
		list = append(list, s.name)
	}
	return list
}

// bench is one run.
type bench struct {
	options
	ctx    context.Context
	dir    string // of this run
	bin    string
	start  time.Time
	ports  map[int]bool
	shared *systems // nil when they don't run
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := &bench{options: o, ctx: ctx, start: time.Now(), ports: map[int]bool{}}
	if b.dir, err = os.MkdirTemp(o.dir, "redoubt-bench."); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	defer b.endShared()
	if err := b.build(); err != nil {
		return err
	}
	if err := b.title(os.Stdout); err != nil {
		return err
	}
	tables, err := b.sections(os.Stdout)
	if o.svg != "" {
		err = errors.Join(err, drawChart(tables, o.svg))
	}
	for _, t := range tables {
		for _, missed := range t.missed {
			b.say("missed: %s", missed)
		}
	}
	return err
}

// sections runs what was asked for and prints each table as soon as it is known. A section that fails
// does not keep the others from running.
func (b *bench) sections(out io.Writer) (tables []*table, failed error) {
	for _, s := range sections {
		if len(b.only) > 0 && !slices.Contains(b.only, s.name) {
			continue
		}
		if s.alone {
			b.endShared()
		}
		b.say("%s", s.name)
		t := &table{}
		if err := s.run(b, t); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
			b.say("%s failed: %v", s.name, err)
		}
		if b.ctx.Err() != nil {
			return tables, context.Cause(b.ctx)
		}
		if _, err := io.WriteString(out, t.String()); err != nil {
			return tables, err
		}
		tables = append(tables, t)
	}
	return tables, failed
}

// build makes the program to measure as `make build` does.
func (b *bench) build() error {
	if b.bin = b.redoubt; b.bin != "" {
		return nil
	}
	b.bin = filepath.Join(b.dir, "redoubt")
	command := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-o", b.bin, "./cmd/redoubt")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build redoubt, in the directory of its go.mod: %w\n%s", err, out)
	}
	return nil
}

// title says what the tables below were measured with.
func (b *bench) title(out io.Writer) error {
	version, err := exec.CommandContext(b.ctx, "redis-server", "--version").Output()
	if err != nil {
		return fmt.Errorf("redis-server: %w", err)
	}
	words := strings.Fields(string(version))
	if len(words) < 3 {
		return fmt.Errorf("redis-server --version says %q", version)
	}
	busy, err := busyShare(time.Second)
	if err != nil {
		return err
	}
	extra := ""
	if len(b.nodeFlags) > 0 {
		extra = ", nodes with " + strings.Join(b.nodeFlags, " ")
	}
	_, err = fmt.Fprintf(out, "%d cores, of which other programs used %s %% just before; Redis %s with appendfsync "+
		"always; %s, scale %d %%%s. A mark is what is wanted of the ratio or the value.\n", runtime.NumCPU(),
		whole(busy*100), strings.TrimPrefix(words[2], "v="), plural(b.rounds, "round"), b.scale, extra)
	return err
}

// say tells what goes on.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(b.start).Seconds(), fmt.Sprintf(format, args...))
}

// count scales an amount, which does not become less than least.
func (b *bench) count(n, least int) int { return max(n*b.scale/100, least) }

// duration scales a time, which does not become less than least.
func (b *bench) duration(d, least time.Duration) time.Duration {
	return max(d*time.Duration(b.scale)/100, least)
}
