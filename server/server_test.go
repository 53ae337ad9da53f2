package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"redoubt/command"
)

func TestPipelineIsOneRequest(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.record = true
	c := s.dial(t)
	c.send(request("SET", "a", "1") + request("INCR", "a") + request("GET", "a"))
	c.want("+OK\r\n:2\r\n$1\r\n2\r\n")
	if n := len(s.engine.requests); n != 1 {
		t.Fatalf("%d requests for one pipeline", n)
	}
	for i, read := range []bool{false, false, true} {
		if s.engine.requests[0][i].Read != read {
			t.Errorf("call %d: Read is %v", i, !read)
		}
	}
}

// A pipeline that is longer than what redcon takes at once is not cut there.
func TestLongPipeline(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.record = true
	c := s.dial(t)
	const calls = 50_000
	go c.send(strings.Repeat(request("INCR", "n"), calls))
	for i := range calls {
		if got, want := c.reply(), fmt.Sprintf(":%d\r\n", i+1); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	total := 0
	for _, r := range s.engine.requests {
		if total += len(r); len(r) > requestCallsMax {
			t.Errorf("a request of %d calls", len(r))
		}
	}
	if total != calls || len(s.engine.requests) > calls/500 {
		t.Fatalf("%d calls in %d requests", total, len(s.engine.requests))
	}
}

func TestRequestsAreBoundedInBytes(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.record = true
	c := s.dial(t)
	value := strings.Repeat("v", 400_000)
	go c.send(strings.Repeat(request("SET", "k", value), 10))
	c.want(strings.Repeat("+OK\r\n", 10))
	for _, r := range s.engine.requests {
		if len(r) > 3 {
			t.Errorf("a request of %d calls of 400 kB", len(r))
		}
	}
}

func TestSegments(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.record = true
	c := s.dial(t)
	c.send(request("GET", "a") + request("PING") + request("SELECT", "3") + request("SET", "a", "x") +
		request("KEYS", "*") + request("GET", "a") + request("GET") + request("NOPE") + request("GET", "a"))
	c.want("$-1\r\n+PONG\r\n+OK\r\n+OK\r\n*0\r\n$1\r\nx\r\n" +
		"-ERR wrong number of arguments for 'get' command\r\n" +
		"-ERR unknown command 'NOPE', with args beginning with: \r\n$1\r\nx\r\n")
	var got []string
	for _, r := range s.engine.requests {
		words := ""
		for _, call := range r {
			words += fmt.Sprintf("%d:%s ", call.DB, call.Args[0])
		}
		got = append(got, words)
	}
	want := []string{"0:GET ", "3:SET ", "3:KEYS ", "3:GET ", "3:GET "}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("requests %q, want %q", got, want)
	}
}

// A call is looked up anew when the one before had the same first word, or none, and more than that is to be told.
func TestNameAloneIsNotEnough(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.record = true
	c := s.dial(t)
	for _, step := range [][2]string{
		{request("XGROUP", "CREATE", "s", "g", "$"), ""},
		{request("", "CREATE", "s", "g", "$"), "-ERR unknown command '', with args beginning with: 'CREATE' 's' 'g' '$' \r\n"},
		{request("ONCE", "s", "1", "0", "INCR", "n"), ""},
		{request("ONCE", "s", "1", "0", "NOPE", "n"), "-ERR unknown command 'NOPE', with args beginning with: 'n' \r\n"},
		{request("ONCE", "s", "1", "0", "GET", "n"), "-ERR 'get' can't be executed by ONCE: it has to be a command that writes, " +
			"and does not wait\r\n"},
		{request("ONCE", "s", "1", "0", "INCR"), "-ERR wrong number of arguments for 'incr' command\r\n"},
	} {
		c.send(step[0])
		if got := c.reply(); step[1] != "" && got != step[1] {
			t.Errorf("%q: got %q, want %q", step[0], got, step[1])
		}
	}
	if n := len(s.engine.requests); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestEngineErrors(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	for _, test := range []struct {
		err  error
		want string
	}{
		{command.ErrNoLeader, "-CLUSTERDOWN "},
		{fmt.Errorf("wrapped: %w", command.ErrUncertain), "-UNCERTAIN "},
		{command.ErrClosed, "-ERR "},
		{errors.New("disk on\r\nfire"), "-ERR disk on"},
	} {
		s.engine.err = test.err
		c.send(request("SET", "a", "1") + request("GET", "a"))
		for range 2 {
			if got := c.reply(); !strings.HasPrefix(got, test.want) {
				t.Errorf("%v: got %q", test.err, got)
			}
		}
	}
	s.engine.err = nil
	if got := c.call("GET", "a"); got != "$-1\r\n" {
		t.Errorf("after errors: %q", got)
	}
}

// After ErrUncertain the engine may go on using the request, so it must not be used again.
func TestUncertainRequestIsLeftAlone(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.record = true
	c := s.dial(t)
	s.engine.err = command.ErrUncertain
	c.call("SET", "key", "value")
	kept := s.engine.requests[0]
	s.engine.err = nil
	for range 100 {
		c.call("SET", "other", "thing")
	}
	if string(kept[0].Args[1]) != "key" || string(kept[0].Args[2]) != "value" {
		t.Fatalf("the uncertain call became %q", kept[0].Args)
	}
}

func TestMaxClients(t *testing.T) {
	s := startServer(t, Config{MaxClients: 2})
	first, second := s.dial(t), s.dial(t)
	first.call("PING")
	second.call("PING")
	third := s.dial(t)
	third.want("-ERR max number of clients reached\r\n")
	third.wantClosed()
	second.Close()
	eventually(t, "a place becomes free", func() bool { return s.count() == 1 })
	if got := s.dial(t).call("PING"); got != "+PONG\r\n" {
		t.Fatalf("got %q", got)
	}
}

func TestProtocolErrors(t *testing.T) {
	s := startServer(t, Config{})
	for _, test := range []struct{ send, want string }{
		{request("SET", "a", "1") + "*1\r\n$-5\r\n", "+OK\r\n-ERR Protocol error: invalid bulk length\r\n"},
		{"*2\r\n$3\r\nGET\r\n$4611686018427387904\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
		{"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$629145600\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
		{"PING\r\n*1\r\nPING\r\n", "+PONG\r\n-ERR Protocol error: expected '$', got 'P'\r\n"},
		{"*99999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
		{"set a \"b\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
		{strings.Repeat("x", 100_000), "-ERR Protocol error: too big inline request\r\n"},
		{"*" + strings.Repeat("1", 100_000), "-ERR Protocol error: too big mbulk count string\r\n"},
	} {
		c := s.dial(t)
		// What follows a violation must not keep the client from reading the error.
		go func() { _, _ = io.WriteString(c, test.send+strings.Repeat("garbage\r\n", 200_000)) }()
		c.want(test.want)
		c.wantClosed()
	}
	if got := s.dial(t).call("PING"); got != "+PONG\r\n" {
		t.Fatalf("got %q", got)
	}
}

// A large value arrives and leaves whole, and the memory for it is given back although the
// connection stays open.
func TestLargeValue(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	value := strings.Repeat("0123456789abcdef", bulkMaxDefault/16)
	go c.send(request("SET", "k", value) + request("GET", "k"))
	c.want("+OK\r\n")
	c.want(fmt.Sprintf("$%d\r\n", len(value)))
	c.want(value + "\r\n")
	c.call("SET", "k", "small")
	eventually(t, "memory is given back", func() bool {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc < 3*bulkMaxDefault // value, and what want has read
	})
	runtime.KeepAlive(value)
}

func TestIdleConnections(t *testing.T) {
	want := 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	if most := (int(limit.Cur) - 200) / 2; want > most { // both ends are in this process
		want = most
	}
	t.Logf("%d connections", want)
	s := startServer(t, Config{MaxClients: want + 1})
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	conns := make([]net.Conn, want)
	for i := range conns {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
		if i%2 == 0 { // half of them say something, and half a command
			_, _ = io.WriteString(conn, request("PING")+"*2\r\n$3\r\nGET\r\n$100\r\nabc")
		}
	}
	eventually(t, "all are connected", func() bool { return s.count() == want })
	if got := s.dial(t).call("PING"); got != "+PONG\r\n" {
		t.Fatalf("got %q", got)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse) / int64(want)
	t.Logf("%d bytes for each connection", each)
	if each > 48<<10 {
		t.Errorf("%d bytes for each connection", each)
	}
}

// A client that sends a long pipeline and only then reads the replies must not wait for ever.
func TestClientThatReadsLate(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	value := strings.Repeat("v", 100_000)
	c.call("SET", "k", value)
	const calls = 1000 // 100 MB of replies: more than sockets hold
	c.send(strings.Repeat(request("GET", "k"), calls))
	for range calls {
		c.want("$100000\r\n" + value + "\r\n")
	}
	if got := c.call("PING"); got != "+PONG\r\n" {
		t.Fatalf("got %q", got)
	}
}

func TestShutdownFinishesWhatRuns(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.hold = make(chan struct{})
	s.engine.entered = make(chan struct{}, 1)
	idle, busy := s.dial(t), s.dial(t)
	idle.call("PING")
	busy.send(request("SET", "a", "1") + request("PING"))
	<-s.engine.entered
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	idle.wantClosed()
	close(s.engine.hold)
	busy.want("+OK\r\n+PONG\r\n")
	busy.wantClosed()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Fatal("the port is still open")
	}
}

func TestShutdownGivesUp(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.hold = make(chan struct{})
	s.engine.entered = make(chan struct{}, 1)
	busy := s.dial(t)
	busy.send(request("SET", "a", "1"))
	<-s.engine.entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	busy.wantClosed()
	close(s.engine.hold)
}

func TestIdleTimeout(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	c.call("CONFIG", "SET", "timeout", "1")
	c.call("PING")
	start := time.Now()
	c.wantClosed()
	if took := time.Since(start); took < 500*time.Millisecond {
		t.Fatalf("closed after %v", took)
	}
}

func TestServeOnce(t *testing.T) {
	s := startServer(t, Config{})
	s.dial(t).call("PING")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := s.Serve(ln); err == nil {
		t.Fatal("served two listeners")
	}
}

// failingListener fails a few times before it accepts.
type failingListener struct {
	net.Listener
	failures int
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, os.NewSyscallError("accept", syscall.EMFILE)
	}
	return l.Listener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	table, err := command.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{}, table, newFakeEngine())
	served := make(chan error, 1)
	go func() { served <- s.Serve(&failingListener{ln, 3}) }()
	if got := dialAddr(t, ln.Addr().String()).call("PING"); got != "+PONG\r\n" {
		t.Fatalf("got %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}
