package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// write runs the writers until ctx ends and fails when the cluster acknowledged
// nothing for longer than cfg.pauseMax.
func write(ctx context.Context, cfg config) error {
	file, err := os.OpenFile(cfg.journal, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	var clients []*redis.Client
	for _, addr := range cfg.addrs {
		client := connect(addr)
		defer client.Close()
		clients = append(clients, client)
	}
	out := &journal{file: file}
	pulse := &pulse{last: time.Now(), counts: map[outcome]int{}}
	errs := make(chan error, cfg.workers)
	var running sync.WaitGroup
	for id := range cfg.workers {
		w := writer{cfg: cfg, id: id, clients: clients, journal: out, pulse: pulse}
		running.Go(func() { errs <- w.run(ctx) })
	}
	running.Wait()
	for range cfg.workers {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, pulse.report(cfg.pauseMax))
}

// writer makes one write after the other: SETs of keys of its own, and every
// fourth time an INCR of its counter.
type writer struct {
	cfg     config
	id      int
	clients []*redis.Client
	journal *journal
	pulse   *pulse
}

func (w writer) run(ctx context.Context) error {
	node := w.id % len(w.clients)
	for n := 0; ctx.Err() == nil; n++ {
		r := record{key: fmt.Sprintf("%s:count:%d", w.cfg.prefix, w.id)}
		if n%4 != 0 {
			r.key = fmt.Sprintf("%s:%d:%d", w.cfg.prefix, w.id, n)
			r.value = fmt.Sprintf("value-%d-%d", w.id, n)
		}
		r.outcome = outcomeOf(send(w.clients[node], r))
		w.pulse.beat(r.outcome)
		if err := w.journal.add(r); err != nil {
			return err
		}
		if r.outcome != done {
			node = (node + 1) % len(w.clients)
			time.Sleep(10 * time.Millisecond) // a node that is down must not fill the journal
		}
	}
	return nil
}

// send does not end with the run: what was begun gets its answer.
func send(client *redis.Client, r record) error {
	if r.value == "" {
		return client.Incr(context.Background(), r.key).Err()
	}
	return client.Set(context.Background(), r.key, r.value, 0).Err()
}

// pulse measures the longest time without an acknowledged write.
type pulse struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
	counts  map[outcome]int
}

func (p *pulse) beat(o outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[o]++
	if o != done {
		return
	}
	now := time.Now()
	p.longest = max(p.longest, now.Sub(p.last))
	p.last = now
}

func (p *pulse) report(pauseMax time.Duration) error {
	fmt.Printf("%d done, %d refused, %d unknown, longest pause %v\n",
		p.counts[done], p.counts[refused], p.counts[unknown], p.longest.Round(time.Millisecond))
	if p.longest > pauseMax {
		return fmt.Errorf("no write was acknowledged for %v (limit %v)", p.longest, pauseMax)
	}
	return nil
}
