package server

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// pair returns an output and the client's end of its connection.
func pair(t *testing.T) (*output, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); conn.Close() })
	o := &output{}
	o.init(conn, &meter{})
	return o, client
}

// fill sends until the socket takes no more.
func (o *output) fill(t *testing.T) (sent int) {
	t.Helper()
	for {
		sent += 1 << 20
		o.send(bytes.Repeat([]byte{'x'}, 1<<20))
		if pieces, _ := o.waiting(); pieces > 0 {
			return sent
		}
		if sent > 1<<30 {
			t.Fatal("the socket takes everything")
		}
	}
}

func TestOutputKeepsOrder(t *testing.T) {
	o, client := pair(t)
	sent := o.fill(t)
	var want strings.Builder
	buffer := make([]byte, 0, 1<<20)
	for i := range 5000 {
		buffer = append(buffer[:0], strings.Repeat(string(rune('a'+i%26)), 1+i%50)...)
		want.Write(buffer)
		if o.send(buffer) {
			t.Fatal("a short reply was kept: it holds on to a large buffer")
		}
	}
	large := bytes.Repeat([]byte{'L'}, 3<<20)
	if want.Write(large); !o.send(large) {
		t.Fatal("a long reply was not kept: it was copied")
	}
	if err := o.finish(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != strings.Repeat("x", sent)+want.String() {
		t.Fatalf("%d bytes arrived, %d were sent, or their order is wrong", len(got), sent+want.Len())
	}
}

func TestOutputToOneWhoLeaves(t *testing.T) {
	o, client := pair(t)
	o.fill(t)
	client.Close()
	eventually(t, "the queue is given up", func() bool { pieces, _ := o.waiting(); return pieces == 0 })
	o.send([]byte("more"))
	eventually(t, "the goroutine ends", func() bool { return !o.active.Load() })
}

// A queue that is too long makes the session wait until the client reads.
func TestOutputIsBounded(t *testing.T) {
	o, client := pair(t)
	done := make(chan struct{})
	const total = queuedMax + 64<<20
	go func() {
		defer close(done)
		for range total >> 20 {
			o.send(make([]byte, 1<<20))
		}
	}()
	eventually(t, "the queue is full", func() bool { _, n := o.waiting(); return n > queuedMax })
	select {
	case <-done:
		t.Fatal("nothing waited")
	default:
	}
	_ = client.SetDeadline(time.Now().Add(time.Minute))
	if n, err := io.CopyN(io.Discard, client, total); err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	<-done
	if _, n := o.waiting(); n > queuedMax {
		t.Fatalf("%d bytes wait", n)
	}
}

// Without a way to write that does not block, everything goes through the queue.
func TestOutputOfOtherConnections(t *testing.T) {
	client, conn := net.Pipe()
	defer client.Close()
	o := &output{}
	o.init(conn, &meter{})
	o.send([]byte("hello"))
	if err := o.finish(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
}
