package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// sampleEvery is how often the rates of INFO are measured.
const sampleEvery = time.Second

// errorCodesMax bounds the codes that errors are counted by: clients can choose them, with custom
// commands. Further ones are counted together.
const errorCodesMax = 128

// commandStats counts the calls of one command.
type commandStats struct {
	calls, nanoseconds atomic.Int64
	rejected           atomic.Int64 // refused before they were executed
	failed             atomic.Int64 // answered with an error
}

func (c *commandStats) reset() {
	c.calls.Store(0)
	c.nanoseconds.Store(0)
	c.rejected.Store(0)
	c.failed.Store(0)
}

// stats counts for the server as a whole.
type stats struct {
	meter       meter
	connections atomic.Int64 // accepted, refused ones included
	rejected    atomic.Int64 // connections refused for maxclients
	commands    atomic.Int64
	blocked     atomic.Int64 // clients that wait in a command or for the end of a pause

	commandRate, inRate, outRate atomic.Int64 // per second, bytes for the latter two
	memoryPeak                   atomic.Int64 // bytes

	mu     sync.Mutex
	errors map[string]int64 // by code
}

func (s *stats) reset() {
	for _, counter := range []*atomic.Int64{&s.meter.in, &s.meter.out, &s.meter.reads,
		&s.meter.writes, &s.connections, &s.rejected, &s.commands} {
		counter.Store(0)
	}
	s.mu.Lock()
	s.errors = map[string]int64{}
	s.mu.Unlock()
}

func (s *stats) countError(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.errors[code]; !ok && len(s.errors) >= errorCodesMax {
		code = "OTHER"
	}
	s.errors[code]++
}

func (s *stats) errorCounts() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.errors)
}

// sampleUntil measures rates, and the peak of the used memory, until the server closes.
func (s *stats) sampleUntil(ctx context.Context, used func() int64) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	last := time.Now()
	commands, in, out := s.commands.Load(), s.meter.in.Load(), s.meter.out.Load()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			seconds := max(now.Sub(last).Seconds(), 1e-3)
			last = now
			rate := func(counter, result *atomic.Int64, before *int64) {
				count := counter.Load()
				result.Store(int64(float64(max(0, count-*before)) / seconds))
				*before = count
			}
			rate(&s.commands, &s.commandRate, &commands)
			rate(&s.meter.in, &s.inRate, &in)
			rate(&s.meter.out, &s.outRate, &out)
			s.notePeak(used())
		}
	}
}

func (s *stats) notePeak(used int64) {
	if used > s.memoryPeak.Load() {
		s.memoryPeak.Store(used)
	}
}

// newRunID returns 40 random hexadecimal digits, new at each start of a server.
func newRunID() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
