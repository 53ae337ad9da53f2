package server

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// fakeEngine is an engine on a map that knows a few commands, and can be told to fail.
type fakeEngine struct {
	mu       sync.RWMutex
	dbs      [fsm.Databases]map[string][]byte
	requests [][]fsm.Call // every request, when recording is on
	record   bool
	err      error         // what Do answers
	hold     chan struct{} // Do waits for it to be closed
	entered  chan struct{} // told when Do waits
	status   command.Status
	packing  fsm.Packing
	asked    func()           // called by WaitReplicas
	sent     [][]byte         // what was broadcast
	audience command.Audience // who hears what others broadcast
	snapshot func(ctx context.Context) error

	observer  fsm.Observer
	staleness atomic.Int64
}

func newFakeEngine() *fakeEngine {
	e := &fakeEngine{packing: fsm.DefaultPacking, status: command.Status{NodeID: 1, Leader: 1, Role: roleLeader, Applied: 7,
		Members: []command.Member{{ID: 1, Self: true, Leader: true, Voter: true, Active: true},
			{ID: 2, ClientAddr: "127.0.0.1:7002", Voter: true, Active: true, Match: 6}}}}
	for i := range e.dbs {
		e.dbs[i] = map[string][]byte{}
	}
	return e
}

func (e *fakeEngine) Do(req *fsm.Request) error {
	if e.hold != nil {
		e.entered <- struct{}{}
		<-e.hold
	}
	write := false
	for i := range req.Calls {
		write = write || !req.Calls[i].Read
	}
	if write || e.record {
		e.mu.Lock()
		defer e.mu.Unlock()
	} else {
		e.mu.RLock()
		defer e.mu.RUnlock()
	}
	if e.record {
		e.requests = append(e.requests, append([]fsm.Call(nil), req.Calls...))
	}
	if e.err != nil {
		return e.err
	}
	req.Replies = req.Replies[:0]
	if req.Stale = e.stale(req.Watched); req.Stale {
		return nil
	}
	for i := range req.Calls {
		req.Replies = append(req.Replies, e.call(e.dbs[req.Calls[i].DB], req.Calls[i].Args))
	}
	e.tell(req)
	return nil
}

// stale says whether one of the keys has another value; a version is a hash of that.
func (e *fakeEngine) stale(watched []fsm.Watched) bool {
	return slices.ContainsFunc(watched, func(w fsm.Watched) bool { return e.version(e.dbs[w.DB], w.Key) != w.Version })
}

func (e *fakeEngine) version(db map[string][]byte, key []byte) uint64 {
	return uint64(crc32.ChecksumIEEE(db[string(key)]))
}

// tell has the observer told of what a request has changed.
func (e *fakeEngine) tell(req *fsm.Request) {
	if e.observer == nil || !e.observer.Wants().Keys {
		return
	}
	var done fsm.Effects
	for _, c := range req.Calls {
		switch {
		case string(c.Args[0]) == "FLUSHALL":
			done.Replaced[0], done.Replacer = true, req.Client
		case !c.Read:
			done.Changed = append(done.Changed, fsm.Changed{DB: c.DB, Key: c.Args[1], Kind: fsm.String, Client: req.Client})
		}
	}
	e.observer.Applied(&done)
}

func (e *fakeEngine) call(db map[string][]byte, args [][]byte) resp.Reply {
	switch string(args[0]) {
	case "GET", "get":
		v, ok := db[string(args[1])]
		if !ok {
			return resp.Nil
		}
		return resp.NewBulk(v)
	case "SET", "set":
		db[string(args[1])] = args[2]
		return resp.OK
	case "INCR":
		n, err := strconv.ParseInt(string(db[string(args[1])])+"", 10, 64)
		if err != nil && db[string(args[1])] != nil {
			return errNotInteger
		}
		db[string(args[1])] = strconv.AppendInt(nil, n+1, 10)
		return resp.NewInt(n + 1)
	case "SETCONFIG":
		l := &e.status.FSM.Memory.Limit
		for i := 2; i < len(args); i += 2 {
			switch n, _ := strconv.ParseInt(string(args[i+1]), 10, 64); string(args[i]) {
			case "maxmemory":
				l.MaxMemory = n
			case "maxmemory-policy":
				l.Policy, _ = fsm.ParsePolicy(string(args[i+1]))
			case "hash-max-listpack-value":
				e.packing.HashValue = n
			}
		}
		return resp.OK
	case "WATCHED":
		var elems []resp.Reply
		for _, key := range args[1:] {
			elems = append(elems, resp.NewInt(0), resp.NewInt(int64(e.version(db, key))))
		}
		return resp.NewArray(elems)
	case "FLUSHALL":
		clear(db)
		return resp.OK
	case "DBSIZE":
		return resp.NewInt(int64(len(db)))
	case "KEYS":
		return resp.NewArray(nil)
	}
	return errorf("the fake engine has no %q", args[0])
}

func (e *fakeEngine) Status() command.Status {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.status
}

func (e *fakeEngine) Observe(o fsm.Observer) { e.observer = o }

func (e *fakeEngine) Staleness() time.Duration { return time.Duration(e.staleness.Load()) }

func (e *fakeEngine) Broadcast(message []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent = append(e.sent, message)
}

func (e *fakeEngine) Listen(a command.Audience) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.audience = a
}

func (e *fakeEngine) Memory() fsm.Memory {
	return e.Status().FSM.Memory
}

func (e *fakeEngine) Settings() fsm.Settings {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return fsm.Settings{Limit: e.status.FSM.Memory.Limit, Packing: e.packing}
}

// set changes the status while the server may be looking at it.
func (e *fakeEngine) set(change func(st *command.Status)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.status)
}

func (e *fakeEngine) View() command.View {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return command.View{Role: e.status.Role, Term: e.status.Term, Leader: e.status.Leader,
		LeaderAddr: e.status.LeaderClientAddr, Live: true}
}

func (e *fakeEngine) Members() []command.Member {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.status.Members
}

func (e *fakeEngine) Progress(context.Context) ([]command.Member, error) { return e.Members(), nil }

func (e *fakeEngine) SetMaxStaleness(limit time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status.MaxStalenessMS = limit.Milliseconds()
}

func (e *fakeEngine) Version() uint32 { return max(e.status.Version, 1) }

func (e *fakeEngine) Raft(_ context.Context, args [][]byte) resp.Reply {
	return resp.NewSimple(fmt.Sprintf("%q", args))
}

func (e *fakeEngine) Snapshot(ctx context.Context) error {
	if e.snapshot != nil {
		return e.snapshot(ctx)
	}
	return nil
}

func (e *fakeEngine) WaitReplicas(ctx context.Context, n int) (int, error) {
	if e.asked != nil {
		e.asked()
	}
	if n > 1 {
		<-ctx.Done()
	}
	return 1, ctx.Err()
}

// testServer is a server on a loopback port.
type testServer struct {
	*Server
	engine *fakeEngine
	addr   string
}

func startServer(t testing.TB, cfg Config) *testServer {
	t.Helper()
	table, err := command.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	engine := newFakeEngine()
	cfg.Listen = ln.Addr().String()
	s := &testServer{New(cfg, table, engine), engine, ln.Addr().String()}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("close:", err)
		}
		if err := <-served; err != nil {
			t.Error("serve:", err)
		}
	})
	return s
}

// client is a connection that speaks raw bytes.
type client struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

func (s *testServer) dial(t testing.TB) *client { return dialAddr(t, s.addr) }

func dialAddr(t testing.TB, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{conn, t, bufio.NewReader(conn)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal("send:", err)
	}
}

// want reads exactly this from the server.
func (c *client) want(text string) {
	c.t.Helper()
	got := make([]byte, len(text))
	n, err := io.ReadFull(c.in, got)
	if string(got[:n]) != text {
		rest, _ := c.in.Peek(c.in.Buffered())
		c.t.Fatalf("got %q%q (%v), want %q", got[:n], rest, err, text)
	}
}

// wantClosed reads the end of the connection.
func (c *client) wantClosed() {
	c.t.Helper()
	if b, err := c.in.ReadByte(); err != io.EOF {
		c.t.Fatalf("got %q and %v, want the end", b, err)
	}
}

// call sends a command and returns the bytes of its reply, a line or a bulk string or an array.
func (c *client) call(args ...string) string {
	c.t.Helper()
	c.send(request(args...))
	return c.reply()
}

func (c *client) reply() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reply: %q %v", line, err)
	}
	n, _ := strconv.Atoi(line[1 : len(line)-2])
	switch line[0] {
	case '$', '=':
		if n < 0 {
			return line
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(c.in, b); err != nil {
			c.t.Fatal("reply:", err)
		}
		return line + string(b)
	case '%':
		n *= 2
		fallthrough
	case '*', '~', '>':
		for range max(n, 0) {
			line += c.reply()
		}
	}
	return line
}

func request(args ...string) string {
	words := make([][]byte, len(args))
	for i, arg := range args {
		words[i] = []byte(arg)
	}
	return string(appendRequest(nil, words))
}

// eventually waits for a condition that another goroutine makes true.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("in vain: ", what)
		}
		time.Sleep(time.Millisecond)
	}
}
