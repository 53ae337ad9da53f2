package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"redoubt/test/bench/load"
)

const (
	subscriberCount = 100
	publisherCount  = 10
	pubSubRate      = 200 // messages a second, where latency is measured
	pubSubChannel   = "bench"
	// messageBytes is what a subscriber gets of a message: its text has 8 bytes, the time when it was sent.
	messageBytes = len("*3\r\n$7\r\nmessage\r\n$5\r\nbench\r\n$8\r\n12345678\r\n")
)

// pubSub compares how fast messages reach a hundred subscribers, which with three nodes are spread over them.
func pubSub(b *bench, t *table) error {
	t.title = "PUBLISH to 100 subscribers"
	t.head = []string{"", "Redis", "one node", "three nodes", "one / Redis", "three / Redis"}
	t.note = fmt.Sprintf("Deliveries: %d connections publish until a number of messages is sent; the time is until all subscribers "+
		"have all. Latency: one connection sends %d messages a second; the time is from there to each subscriber.", publisherCount, pubSubRate)
	s, err := b.startShared()
	if err != nil {
		return err
	}
	var deliveries [systemCount][]float64
	var micros [systemCount][3][]float64
	for range b.rounds {
		for system := range systemCount {
			addrs := []string{s.redis.addr}
			switch system {
			case onOne:
				addrs = s.one.addrs()
			case onThree:
				addrs = s.three.addrs()
			}
			rate, result, err := b.measurePubSub(addrs)
			if err != nil {
				return fmt.Errorf("%s: %w", systemNames[system], err)
			}
			deliveries[system] = append(deliveries[system], rate)
			for i, p := range percentiles {
				micros[system][i] = append(micros[system][i], result.Micros(p))
			}
			b.say("pubsub: %s delivers %s/s, median %s µs", systemNames[system], whole(rate), whole(result.Micros(50)))
		}
	}
	row := func(name string, of func(system int) []float64) {
		redis, one, three := median(of(onRedis)), median(of(onOne)), median(of(onThree))
		t.row(name, whole(redis), whole(one), whole(three), ratio(one/redis), ratio(three/redis))
	}
	row("deliveries a second", func(system int) []float64 { return deliveries[system] })
	for i, p := range percentiles {
		row(fmt.Sprintf("latency, p%g, microseconds", p), func(system int) []float64 { return micros[system][i] })
	}
	return nil
}

// measurePubSub returns the deliveries a second at full load, and the latency at a low one.
func (b *bench) measurePubSub(addrs []string) (rate float64, latency load.Result, err error) {
	var subscribers []net.Conn
	defer func() {
		for _, c := range subscribers {
			_ = c.Close()
		}
	}()
	for i := range subscriberCount {
		c, err := subscribe(addrs[i%len(addrs)])
		if err != nil {
			return 0, latency, err
		}
		subscribers = append(subscribers, c)
	}
	messages := max(publisherCount, int(b.duration(20*time.Second, time.Second)/time.Millisecond)) / publisherCount * publisherCount
	began := time.Now()
	if _, err = b.deliver(addrs, subscribers, messages, publisherCount, 0); err != nil {
		return 0, latency, err
	}
	rate = float64(messages*subscriberCount) / time.Since(began).Seconds()
	latency, err = b.deliver(addrs, subscribers, int(b.duration(5*time.Second, time.Second).Seconds()*pubSubRate), 1, time.Second/pubSubRate)
	return rate, latency, err
}

// deliver publishes so many messages, one every so often on each connection, and waits until all subscribers have them.
func (b *bench) deliver(addrs []string, subscribers []net.Conn, messages, publishers int, every time.Duration) (load.Result, error) {
	group, ctx := errgroup.WithContext(b.ctx)
	results := make([]load.Result, len(subscribers))
	for i, c := range subscribers {
		group.Go(func() error { return results[i].Listen(bufio.NewReader(c), messages, messageBytes, sentAt) })
	}
	for i := range publishers {
		group.Go(func() error {
			c, err := load.Dial(addrs[i%len(addrs)], 10*time.Second)
			if err != nil {
				return err
			}
			defer c.Close()
			due := time.Now()
			for range messages / publishers {
				due = due.Add(every)
				time.Sleep(time.Until(due))
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if _, err := c.Do("PUBLISH", pubSubChannel, string(binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano())))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return load.Result{}, err
	}
	return load.Merge(results), nil
}

// sentAt is when a message was sent.
func sentAt(message []byte) time.Time {
	text := message[len(message)-len("12345678\r\n"):]
	return time.Unix(0, int64(binary.BigEndian.Uint64(text)))
}

// subscribe opens a connection that is subscribed.
func subscribe(addr string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	confirmed := "*3\r\n$9\r\nsubscribe\r\n$" + strconv.Itoa(len(pubSubChannel)) + "\r\n" + pubSubChannel + "\r\n:1\r\n"
	if _, err = fmt.Fprintf(c, "SUBSCRIBE %s\r\n", pubSubChannel); err == nil {
		_, err = io.ReadFull(c, make([]byte, len(confirmed)))
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}
