// Command gored drives a Redoubt cluster through go-redis and rueidis: it checks commands
// on every node, writes a load whose outcomes it journals, through every node or through a
// client that follows the leader, reads through clients that cache, and verifies a journal.
//
// It is a module of its own so that the product's go.mod names no client library.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

type config struct {
	addrs    []string
	journal  string
	prefix   string
	library  string
	workers  int
	pauseMax time.Duration
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gored:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: gored check|write|follow|cache|verify --addrs host:port,... [flags]")
	}
	cfg, err := parse(args[0], args[1:])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch args[0] {
	case "check":
		return check(ctx, cfg)
	case "write":
		return write(ctx, cfg)
	case "follow":
		return follow(ctx, cfg)
	case "cache":
		return cache(ctx, cfg)
	case "verify":
		return verify(ctx, cfg)
	}
	return fmt.Errorf("unknown command %q", args[0])
}

func parse(name string, args []string) (config, error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	addrs := flags.String("addrs", "", "client addresses of the nodes, separated by commas")
	journal := flags.String("journal", "", "file of outcomes")
	prefix := flags.String("prefix", "gored", "prefix of the keys written")
	library := flags.String("library", "", "for follow: the client to use")
	workers := flags.Int("workers", 12, "concurrent writers")
	pauseMax := flags.Duration("pause-max", time.Minute, "longest time without an acknowledged write")
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	if *addrs == "" {
		return config{}, errors.New("--addrs is missing")
	}
	return config{
		addrs: strings.Split(*addrs, ","), journal: *journal, prefix: *prefix, library: *library,
		workers: *workers, pauseMax: *pauseMax,
	}, nil
}

// connect returns a client that never repeats a command by itself, so that every
// answer that the server gave or did not give is seen.
func connect(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: -1, DialTimeout: 2 * time.Second,
		ReadTimeout: 20 * time.Second, WriteTimeout: 20 * time.Second,
	})
}
