package load

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// Load is what is sent, and how.
type Load struct {
	Addr    string
	Conns   int
	Depth   int // requests that are sent at once on each connection; 0 stands for 1
	Request Request

	// Requests and Duration end the load, whichever comes first; 0 is no limit.
	Requests int
	Duration time.Duration

	// Rate is how many requests begin in a second on all connections together, whether earlier ones
	// were answered or not. 0: each connection sends when it has all replies to what it sent before.
	Rate float64
}

// Result is what became of a load.
type Result struct {
	Requests int
	Nils     int // requests that got a nil: reads of keys that are not there
	Elapsed  time.Duration
	// Latency is in microseconds. With a rate it counts from the time at which the request was to be
	// sent, so that a server that stops for a while is charged with everything it made wait.
	Latency *hdrhistogram.Histogram
	// Late is, with a rate, how much later than due the requests were sent, in microseconds: the part of
	// the latency that the generator made, because it got no processor, or no room in a connection.
	Late *hdrhistogram.Histogram
}

// PerSecond is the rate of requests that were answered.
func (r Result) PerSecond() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// Micros is the latency that this percentage of the requests did not exceed, in microseconds.
func (r Result) Micros(percent float64) float64 {
	return float64(r.Latency.ValueAtPercentile(percent))
}

// Max is the longest latency.
func (r Result) Max() time.Duration { return time.Duration(r.Latency.Max()) * time.Microsecond }

const (
	dialTimeout  = 10 * time.Second
	replyTimeout = time.Minute
	slowest      = int64(time.Minute / time.Microsecond)
	bufferBytes  = 64 << 10
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, slowest, 3) }

func record(h *hdrhistogram.Histogram, d time.Duration) error {
	return h.RecordValue(min(max(d.Microseconds(), 1), slowest))
}

// worker is one connection with what was measured on it.
type worker struct {
	load    *Load
	conn    net.Conn
	replies *bufio.Reader
	buffer  []byte
	latency *hdrhistogram.Histogram
	nils    int
}

// Run sends a load. Any error reply ends it with that error.
func Run(ctx context.Context, l Load) (Result, error) {
	l.Depth = max(l.Depth, 1)
	workers := make([]*worker, l.Conns)
	for i := range workers {
		conn, err := net.DialTimeout("tcp", l.Addr, dialTimeout)
		if err != nil {
			return Result{}, err
		}
		defer conn.Close()
		workers[i] = &worker{load: &l, conn: conn, replies: bufio.NewReaderSize(conn, bufferBytes),
			latency: newHistogram()}
	}
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		for _, w := range workers {
			_ = w.conn.Close() // unblocks whoever reads or writes
		}
	})
	defer stop()
	late := newHistogram()
	start := time.Now()
	if l.Rate > 0 {
		runOpen(ctx, group, &l, workers, start, late)
	} else {
		runClosed(group, &l, workers, start)
	}
	if err := group.Wait(); err != nil {
		return Result{}, fmt.Errorf("load on %s: %w", l.Addr, err)
	}
	result := Result{Elapsed: time.Since(start), Latency: newHistogram(), Late: late}
	for _, w := range workers {
		result.Latency.Merge(w.latency)
		result.Nils += w.nils
	}
	result.Requests = int(result.Latency.TotalCount())
	return result, nil
}

// runClosed lets each connection send its next requests when the last ones were answered.
func runClosed(group *errgroup.Group, l *Load, workers []*worker, start time.Time) {
	var next atomic.Int64
	for _, w := range workers {
		group.Go(func() error {
			for {
				end := int(next.Add(int64(l.Depth)))
				begin := end - l.Depth
				if l.Requests > 0 {
					end = min(end, l.Requests)
				}
				if begin >= end || l.Duration > 0 && time.Since(start) >= l.Duration {
					return nil
				}
				if err := w.batch(begin, end); err != nil {
					return err
				}
			}
		})
	}
}

// batch sends requests begin to end-1 and reads their replies.
func (w *worker) batch(begin, end int) error {
	w.buffer = w.buffer[:0]
	for i := begin; i < end; i++ {
		w.buffer = w.load.Request(w.buffer, uint64(i))
	}
	sent := time.Now()
	if err := w.send(sent); err != nil {
		return err
	}
	for range end - begin {
		if err := w.receive(sent); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) send(now time.Time) error {
	if err := w.conn.SetDeadline(now.Add(replyTimeout)); err != nil {
		return err
	}
	_, err := w.conn.Write(w.buffer)
	return err
}

// receive reads one reply to a request of which the time began at since.
func (w *worker) receive(since time.Time) error {
	isNil, err := skip(w.replies)
	if err != nil {
		return err
	}
	if isNil {
		w.nils++
	}
	return record(w.latency, time.Since(since))
}

// waiting bounds the requests on one connection that were sent and not answered.
const waiting = 1 << 16

// runOpen sends from one goroutine, in the rhythm of the rate, on one connection after the other.
func runOpen(ctx context.Context, group *errgroup.Group, l *Load, workers []*worker, start time.Time,
	late *hdrhistogram.Histogram) {
	due := make([]chan time.Time, len(workers))
	for i, w := range workers {
		due[i] = make(chan time.Time, waiting)
		group.Go(func() error {
			for since := range due[i] {
				if err := w.receive(since); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer func() {
			for _, c := range due {
				close(c)
			}
		}()
		for i := 0; l.Requests == 0 || i < l.Requests; i++ {
			at := start.Add(time.Duration(float64(i) / l.Rate * float64(time.Second)))
			if l.Duration > 0 && at.Sub(start) >= l.Duration {
				return nil
			}
			for wait := time.Until(at); wait > 0; wait = time.Until(at) {
				sleep(wait)
			}
			w := workers[i%len(workers)]
			w.buffer = l.Request(w.buffer[:0], uint64(i))
			select {
			case due[i%len(workers)] <- at:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			now := time.Now()
			if err := record(late, now.Sub(at)); err != nil {
				return err
			}
			if err := w.send(now); err != nil {
				return err
			}
		}
		return nil
	})
}
