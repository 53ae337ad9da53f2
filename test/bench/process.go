package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"redoubt/test/bench/load"
)

// process is a server that was started, with what it printed in a file.
type process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// spawn starts a program, which ends with this run at the latest.
func (b *bench) spawn(name, log, program string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{name: name, log: log, exited: make(chan struct{})}
	p.cmd = exec.CommandContext(b.ctx, program, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended does not matter: it is killed, or missed by who talks to it
		close(p.exited)
	}()
	return p, nil
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	<-p.exited
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// failure tells that the process has exited, with the end of what it printed.
func (p *process) failure() error {
	select {
	case <-p.exited:
		text, err := os.ReadFile(p.log)
		return errors.Join(fmt.Errorf("%s exited:\n%s", p.name, text[max(0, len(text)-2000):]), err)
	default:
		return nil
	}
}

const (
	pollInterval = 20 * time.Millisecond
	readyTimeout = time.Minute
	askTimeout   = 10 * time.Second
)

// until polls until try succeeds. Its last failure is told when that takes too long.
func until(ctx context.Context, limit time.Duration, what string, try func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no %s in %v: %w", what, limit, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollInterval):
		}
	}
}

// freeAddr finds an address that nobody listens on. Its port is below those that the kernel hands to
// outgoing connections, so that a node can come back to it while clients connect.
func (b *bench) freeAddr() string {
	for {
		port := 20000 + rand.IntN(12000)
		if b.ports[port] {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			b.ports[port] = true
			return addr
		}
	}
}

// redis is a redis-server that syncs its log on every write.
type redis struct {
	*process
	ctx  context.Context // of the run
	addr string
	dir  string
}

func (b *bench) startRedis() (*redis, error) {
	dir, err := os.MkdirTemp(b.dir, "redis.")
	if err != nil {
		return nil, err
	}
	r := &redis{ctx: b.ctx, addr: b.freeAddr(), dir: dir}
	host, port, _ := strings.Cut(r.addr, ":")
	r.process, err = b.spawn("redis-server", filepath.Join(dir, "redis.out"), "redis-server", "--port", port,
		"--bind", host, "--dir", dir, "--appendonly", "yes", "--appendfsync", "always", "--save", "")
	if err != nil {
		return nil, err
	}
	err = until(b.ctx, readyTimeout, "answer of redis-server", func() error {
		_, err := load.Do(r.addr, askTimeout, "PING")
		return errors.Join(err, r.failure())
	})
	if err != nil {
		r.close()
	}
	return r, err
}

// settle waits until Redis is not rewriting its log.
func (r *redis) settle() error {
	return until(r.ctx, settleTimeout, "end of rewriting the AOF", func() error {
		reply, err := load.Do(r.addr, askTimeout, "INFO", "persistence")
		info, _ := reply.(string)
		if err == nil && (strings.Contains(info, "aof_rewrite_in_progress:1") || strings.Contains(info, "aof_rewrite_scheduled:1")) {
			err = errors.New("it goes on")
		}
		return err
	})
}

func (r *redis) close() {
	r.kill()
	_ = os.RemoveAll(r.dir) // it lies in the directory of the run, which is removed again
}
