// Command apps runs well known libraries that keep their state in Redis, unchanged and as an
// application would: the job queue asynq, the locks redsync and redislock, the rate limiter redis_rate.
// Each program works until it is told to stop (SIGTERM), then brings what it began to its end, and
// exits with 0 only if everything that the library promises has been kept. Meanwhile servers may die.
//
// It is a module of its own so that the product's go.mod names none of them.
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

	"github.com/redis/go-redis/v9"
)

type config struct {
	addrs   []string
	face    string
	prefix  string
	calm    bool
	journal *journal
}

// programs are what can be run. Each works until ctx ends, and returns what it found wrong.
var programs = map[string]func(ctx context.Context, cfg config) error{
	"asynq":      runQueue,
	"redsync":    func(ctx context.Context, cfg config) error { return runLocks(ctx, cfg, newRedsync) },
	"redislock":  func(ctx context.Context, cfg config) error { return runLocks(ctx, cfg, newRedislock) },
	"redis_rate": runLimiter,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "apps:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || programs[args[0]] == nil {
		return errors.New("usage: apps asynq|redsync|redislock|redis_rate --addrs host:port,... [flags]")
	}
	cfg, err := parse(args[0], args[1:])
	if err != nil {
		return err
	}
	defer cfg.journal.close()
	redis.SetLogger(quiet{})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	return programs[args[0]](ctx, cfg)
}

func parse(name string, args []string) (config, error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	addrs := flags.String("addrs", "", "client addresses of the nodes, separated by commas")
	face := flags.String("face", "plain", "how clients find a node: plain, sentinel or cluster")
	path := flags.String("journal", "", "file that gets a line for each piece of work that is done")
	prefix := flags.String("prefix", "apps", "prefix of the keys written, or name of the queue")
	calm := flags.Bool("calm", false, "no server will die: then nothing at all may happen twice")
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	if *addrs == "" || *path == "" {
		return config{}, errors.New("--addrs and --journal must be given")
	}
	if *face != "plain" && *face != "sentinel" && *face != "cluster" {
		return config{}, fmt.Errorf("unknown face %q", *face)
	}
	out, err := newJournal(*path)
	return config{addrs: strings.Split(*addrs, ","), face: *face, prefix: *prefix, calm: *calm, journal: out}, err
}
