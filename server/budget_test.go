package server

import (
	"strings"
	"testing"
	"time"
)

// Large requests share a bounded memory: who finds none waits until another is executed or gone, and
// is refused after a while. Small requests and other clients go on meanwhile.
func TestLargeRequestsShareMemory(t *testing.T) {
	s := startServer(t, Config{MaxMemoryClients: 1 << 20})
	s.limits.budget.wait = time.Hour
	large := request("SET", "k", strings.Repeat("x", 700<<10))
	taken := func() int64 { return s.limits.budget.taken.Load() }

	first, second := s.dial(t), s.dial(t)
	first.send(large[:400<<10])
	eventually(t, "the first request is charged", func() bool { return taken() >= 700<<10 })
	go func() { _, _ = second.Write([]byte(large)) }()
	if got := s.dial(t).call("PING"); got != "+PONG\r\n" {
		t.Fatalf("a small request got %q", got)
	}
	if taken() > 1<<20 {
		t.Fatalf("%d bytes were given away", taken())
	}
	first.send(large[400<<10:])
	first.want("+OK\r\n")
	second.want("+OK\r\n")
	eventually(t, "all is given back", func() bool { return taken() == 0 })

	gone := s.dial(t)
	gone.send(large[:400<<10])
	eventually(t, "a third request is charged", func() bool { return taken() >= 700<<10 })
	gone.Close()
	eventually(t, "what a client left behind is given back", func() bool { return taken() == 0 })
}

func TestLargeRequestIsRefused(t *testing.T) {
	s := startServer(t, Config{MaxMemoryClients: 1 << 20})
	s.limits.budget.wait = time.Millisecond
	large := request("SET", "k", strings.Repeat("x", 700<<10))
	first, second := s.dial(t), s.dial(t)
	first.send(large[:400<<10])
	eventually(t, "the first request is charged", func() bool { return s.limits.budget.taken.Load() >= 700<<10 })
	go func() { _, _ = second.Write([]byte(large)) }()
	second.want("-" + tooBusy + "\r\n")
	second.wantClosed()
	first.send(large[400<<10:])
	first.want("+OK\r\n")

	// One request may be larger than all of the memory: it gets all.
	s.limits.bulkMax.Store(4 << 20)
	s.limits.budget.wait = time.Hour
	if got := s.dial(t).call("SET", "k", strings.Repeat("y", 3<<20)); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	eventually(t, "all is given back", func() bool { return s.limits.budget.taken.Load() == 0 })
}
