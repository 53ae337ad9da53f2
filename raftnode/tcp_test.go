package raftnode_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/raftnode"
)

// endpoint is a Handler that remembers what it got.
type endpoint struct {
	id, cluster uint64

	mu      sync.Mutex
	frames  [][]byte
	chunks  [][]byte
	refused *raftnode.RefusedError
	up      int
}

func (e *endpoint) Hello(to uint64) raftnode.Hello {
	return raftnode.Hello{Version: 1, ClusterID: e.cluster, From: e.id, To: to, Incarnation: e.id}
}

func (e *endpoint) Admit(h raftnode.Hello) error {
	if h.ClusterID != e.cluster {
		return &raftnode.RefusedError{Code: raftnode.RefusedCluster, Detail: "another cluster"}
	}
	return nil
}

func (e *endpoint) Receive(from uint64, frame []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.frames = append(e.frames, append([]byte{byte(from)}, frame...))
}

func (e *endpoint) ReceiveSnapshot(_ uint64, next func() ([]byte, error)) error {
	for {
		chunk, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if bytes.Equal(chunk, []byte("poison")) {
			return errors.New("did not like it")
		}
		e.mu.Lock()
		e.chunks = append(e.chunks, chunk)
		e.mu.Unlock()
	}
}

func (e *endpoint) PeerUp(uint64)          { e.mu.Lock(); e.up++; e.mu.Unlock() }
func (e *endpoint) PeerDown(uint64, error) {}

func (e *endpoint) Refused(_ uint64, err *raftnode.RefusedError) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refused = err
}

func (e *endpoint) received() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.frames)
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func startTCP(t *testing.T, addr string, e *endpoint) (*raftnode.TCP, string) {
	t.Helper()
	ln := listen(t, addr)
	tr := raftnode.NewTCP(ln)
	if err := tr.Start(e); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr, ln.Addr().String()
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestTCPFrames(t *testing.T) {
	a, b := &endpoint{id: 1, cluster: 9}, &endpoint{id: 2, cluster: 9}
	ta, _ := startTCP(t, "127.0.0.1:0", a)
	tb, addr := startTCP(t, "127.0.0.1:0", b)
	ta.SetPeers(map[uint64]string{2: addr})
	until(t, "the first frame", func() bool { // frames are dropped until there is a stream
		ta.Send(2, raftnode.LaneBulk, []byte("hello"))
		return b.received() > 0
	})
	const n = 500
	big := bytes.Repeat([]byte("x"), 20<<20)
	for i := range n {
		ta.Send(2, raftnode.LaneBulk, fmt.Appendf(nil, "frame %d", i))
	}
	ta.Send(2, raftnode.LaneBulk, bytes.Clone(big))
	until(t, "the last frame", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return bytes.Equal(b.frames[len(b.frames)-1][1:], big)
	})
	for i := range n {
		if got, want := string(b.frames[len(b.frames)-n-1+i]), fmt.Sprintf("\x01frame %d", i); got != want {
			t.Fatalf("frame %d is %q", i, got)
		}
	}
	// The peer goes away and comes back at the same address.
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	again := &endpoint{id: 2, cluster: 9}
	startTCP(t, addr, again)
	until(t, "a frame after the peer's restart", func() bool {
		ta.Send(2, raftnode.LaneControl, []byte("back"))
		return again.received() > 0
	})
}

func TestTCPSnapshot(t *testing.T) {
	a, b := &endpoint{id: 1, cluster: 9}, &endpoint{id: 2, cluster: 9}
	ta, _ := startTCP(t, "127.0.0.1:0", a)
	_, addr := startTCP(t, "127.0.0.1:0", b)
	ta.SetPeers(map[uint64]string{2: addr})
	err := ta.SendSnapshot(2, func(emit func([]byte) error) error {
		chunk := make([]byte, 64<<10) // one buffer for all, as snapshot.Send has
		for i := range 100 {
			for j := range chunk {
				chunk[j] = byte(i)
			}
			if err := emit(chunk); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(b.chunks) != 100 {
		t.Fatalf("%v, %d chunks", err, len(b.chunks))
	}
	for i, chunk := range b.chunks {
		if !bytes.Equal(chunk, bytes.Repeat([]byte{byte(i)}, 64<<10)) {
			t.Fatalf("chunk %d was changed on its way", i)
		}
	}
	err = ta.SendSnapshot(2, func(emit func([]byte) error) error { return emit([]byte("poison")) })
	if err == nil {
		t.Error("a snapshot that the receiver refused counts as delivered")
	}
	if err := ta.SendSnapshot(3, nil); err == nil {
		t.Error("a snapshot was delivered to no one")
	}
}

func TestTCPRefusesOtherCluster(t *testing.T) {
	a, b := &endpoint{id: 1, cluster: 9}, &endpoint{id: 2, cluster: 10}
	ta, _ := startTCP(t, "127.0.0.1:0", a)
	_, addr := startTCP(t, "127.0.0.1:0", b)
	ta.SetPeers(map[uint64]string{2: addr})
	until(t, "the refusal", func() bool {
		ta.Send(2, raftnode.LaneControl, []byte("hello"))
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.refused != nil && a.refused.Code == raftnode.RefusedCluster
	})
	if b.received() != 0 || a.up != 0 {
		t.Error("frames went to another cluster")
	}
}

// TestTCPStranger connects with something that is no peer at all.
func TestTCPStranger(t *testing.T) {
	b := &endpoint{id: 2, cluster: 9}
	_, addr := startTCP(t, "127.0.0.1:0", b)
	for _, garbage := range []string{"PING\r\n", "\x7f\xff\xff\xff0000", "GET / HTTP/1.1\r\n\r\n", "\x00\xff\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	a := &endpoint{id: 1, cluster: 9}
	ta, _ := startTCP(t, "127.0.0.1:0", a)
	ta.SetPeers(map[uint64]string{2: addr})
	until(t, "a frame after the garbage", func() bool {
		ta.Send(2, raftnode.LaneControl, []byte("hello"))
		return b.received() > 0
	})
}

// TestTCPDamage flips a bit on the way: the frame is not delivered, and the stream is opened again.
func TestTCPDamage(t *testing.T) {
	b := &endpoint{id: 2, cluster: 9}
	_, addr := startTCP(t, "127.0.0.1:0", b)
	var flips atomic.Int32
	ln := listen(t, "127.0.0.1:0")
	t.Cleanup(func() { ln.Close() })
	go func() { // between the two
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", addr)
			if err != nil {
				from.Close()
				return
			}
			go func() { defer from.Close(); _, _ = io.Copy(from, to) }()
			go func() { defer to.Close(); _, _ = io.Copy(&flipper{to, &flips}, from) }()
		}
	}()
	a := &endpoint{id: 1, cluster: 9}
	ta, _ := startTCP(t, "127.0.0.1:0", a)
	ta.SetPeers(map[uint64]string{2: ln.Addr().String()})
	until(t, "frames before and after the damage", func() bool {
		ta.Send(2, raftnode.LaneBulk, []byte("a frame that matters"))
		if b.received() >= 10 {
			flips.CompareAndSwap(0, 1)
		}
		return flips.Load() == 2 && b.received() > 20
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, frame := range b.frames {
		if string(frame) != "\x01a frame that matters" {
			t.Errorf("delivered: %q", frame)
		}
	}
}

// flipper changes the last byte of one write, when flips is 1, and makes it 2.
type flipper struct {
	w     io.Writer
	flips *atomic.Int32
}

func (f *flipper) Write(p []byte) (int, error) {
	if f.flips.CompareAndSwap(1, 2) {
		p = bytes.Clone(p)
		p[len(p)-1] ^= 4
	}
	return f.w.Write(p)
}
