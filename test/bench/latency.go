package main

import (
	"fmt"
	"time"

	"redoubt/test/bench/load"
)

// percentiles that the latency is told of.
var percentiles = []float64{50, 99, 99.9}

// latency compares how long SETs take when they come at a rate that three nodes bear with ease.
func latency(b *bench, t *table) error {
	t.title = "Latency of SET"
	t.head = []string{"microseconds", "Redis", "one node", "three nodes", "one / Redis", "three / Redis", "mark"}
	s, err := b.startShared()
	if err != nil {
		return err
	}
	var rates []float64
	var samples [systemCount][3][]float64 // by percentile
	var late [systemCount][]float64
	for range b.rounds {
		peak, err := s.three.run(load.Load{Conns: 50, Duration: b.duration(5*time.Second, time.Second),
			Request: load.Set(load.Random(keyCount), valueBytes)})
		if err != nil {
			return err
		}
		rate := peak.PerSecond() / 2
		rates = append(rates, rate)
		for system := range systemCount {
			if err := s.settle(); err != nil {
				return err
			}
			addr, err := s.addr(system)
			if err != nil {
				return err
			}
			result, err := load.Run(b.ctx, load.Load{Addr: addr, Conns: 50, Rate: rate,
				Duration: b.duration(15*time.Second, 3*time.Second), Request: load.Set(load.Random(keyCount), valueBytes)})
			if err != nil {
				return err
			}
			for i, p := range percentiles {
				samples[system][i] = append(samples[system][i], result.Micros(p))
			}
			late[system] = append(late[system], float64(result.Late.ValueAtPercentile(99)))
			b.say("latency: %s at %s/s: median %s µs, 99 %% %s µs, worst %v", systemNames[system], whole(rate),
				whole(result.Micros(50)), whole(result.Micros(99)), result.Max())
		}
	}
	t.note = fmt.Sprintf("Open loop on 50 connections, at half of what three nodes bear: %s requests a second. "+
		"Time counts from when a request was due.", whole(median(rates)))
	for i, p := range percentiles {
		name := fmt.Sprintf("p%g", p)
		redis, one, three := median(samples[onRedis][i]), median(samples[onOne][i]), median(samples[onThree][i])
		var m mark
		if p == 99 {
			m = atMost(2)
		}
		t.row(name, whole(redis), whole(one), whole(three), ratio(one/redis), ratio(three/redis),
			t.check("latency of SET, "+name, three/redis, m))
	}
	t.row("of that, p99 of the generator's own delay", whole(median(late[onRedis])), whole(median(late[onOne])),
		whole(median(late[onThree])), "", "", "")
	return nil
}
