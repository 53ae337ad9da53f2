package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
)

// keyCount is how many keys the loads have that fit into any memory. All of them are there.
const keyCount = 100_000

// valueBytes is the size of most values.
const valueBytes = 64

// systems are those that are compared with each other.
type systems struct {
	redis      *redis
	one, three *cluster
}

// The order in which systems are measured, and that of their columns.
const (
	onRedis = iota
	onOne
	onThree
	systemCount
)

var systemNames = [systemCount]string{"Redis", "one node", "three nodes"}

// startShared starts the three systems, unless they run, and fills them.
func (b *bench) startShared() (*systems, error) {
	if b.shared != nil {
		return b.shared, nil
	}
	s, err := b.startSystems()
	if err != nil {
		return nil, err
	}
	b.shared = s
	for system := range systemCount {
		addr, err := s.addr(system)
		if err == nil {
			_, err = b.fill(addr, keyCount, valueBytes)
		}
		if err != nil {
			b.endShared()
			return nil, fmt.Errorf("fill %s: %w", systemNames[system], err)
		}
	}
	return s, nil
}

func (b *bench) startSystems() (_ *systems, err error) {
	s := &systems{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.redis, err = b.startRedis(); err != nil {
		return nil, err
	}
	if s.one, err = b.startCluster(1); err != nil {
		return nil, err
	}
	s.three, err = b.startCluster(3)
	return s, err
}

func (b *bench) endShared() {
	if b.shared != nil {
		b.shared.close()
		b.shared = nil
	}
}

func (s *systems) close() {
	if s.redis != nil {
		s.redis.close()
	}
	for _, c := range []*cluster{s.one, s.three} {
		if c != nil {
			c.close()
		}
	}
}

// settle waits until nobody is busy with what an earlier load left for later.
func (s *systems) settle() error {
	if err := s.redis.settle(); err != nil {
		return err
	}
	if err := s.one.settle(); err != nil {
		return err
	}
	return s.three.settle()
}

// addr is where the load of a system goes: with several nodes, to the leader of the moment.
func (s *systems) addr(system int) (string, error) {
	c := s.three
	switch system {
	case onRedis:
		return s.redis.addr, nil
	case onOne:
		c = s.one
	}
	leader, err := c.leader()
	if err != nil {
		return "", err
	}
	return leader.addr, nil
}

// trial is something to measure on a system.
type trial struct {
	name    string
	measure func(ctx context.Context, addr string) (float64, error)
}

// compare measures each trial on each system in every round, and returns the medians.
func (b *bench) compare(s *systems, trials []trial) ([][systemCount]float64, error) {
	medians := make([][systemCount]float64, len(trials))
	samples := make([][systemCount][]float64, len(trials))
	for round := range b.rounds {
		for i, trial := range trials {
			for system := range systemCount {
				if err := s.settle(); err != nil {
					return nil, err
				}
				addr, err := s.addr(system)
				if err != nil {
					return nil, err
				}
				value, err := trial.measure(b.ctx, addr)
				if err != nil {
					return nil, fmt.Errorf("%s on %s: %w", trial.name, systemNames[system], err)
				}
				b.say("round %d: %s: %s: %s", round+1, trial.name, systemNames[system], whole(value))
				samples[i][system] = append(samples[i][system], value)
				medians[i][system] = median(samples[i][system])
			}
		}
	}
	return medians, nil
}

// redisBenchmark runs redis-benchmark and returns requests per second.
func redisBenchmark(ctx context.Context, addr string, requests, size, keys int, args string) (float64, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	all := append([]string{"-h", host, "-p", port, "-n", strconv.Itoa(requests), "-d", strconv.Itoa(size),
		"-r", strconv.Itoa(keys), "--csv"}, strings.Fields(args)...)
	command := exec.CommandContext(ctx, "redis-benchmark", all...)
	var errors bytes.Buffer
	command.Stderr = &errors
	out, err := command.Output()
	if err != nil {
		return 0, fmt.Errorf("redis-benchmark: %w\n%s%s", err, out, errors.Bytes())
	}
	return benchmarkRate(out)
}

// benchmarkRate reads what redis-benchmark printed: a line of titles, and one of numbers, before which there may be one of
// what it did to prepare.
func benchmarkRate(out []byte) (float64, error) {
	lines, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil || len(lines) < 2 || len(lines) > 3 || len(lines[len(lines)-1]) < 2 {
		return 0, fmt.Errorf("redis-benchmark printed %q", out)
	}
	return strconv.ParseFloat(lines[len(lines)-1][1], 64)
}
