package server

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/command"
	"redoubt/fsm"
)

// machineEngine is an engine on a machine in memory, whose log nobody else writes. It can be told to fail.
type machineEngine struct {
	*fakeEngine
	machine *fsm.Machine

	mu       sync.Mutex
	index    uint64
	observer fsm.Observer
	refusal  error // what Do answers before it does anything
	writes   int   // requests that went through the log
}

func (e *machineEngine) Observe(o fsm.Observer) { e.observer = o }

func (e *machineEngine) Do(req *fsm.Request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refusal != nil {
		return e.refusal
	}
	for i := range req.Calls {
		if !req.Calls[i].Read {
			e.index++
			e.writes++
			return e.machine.Apply([]fsm.Entry{{Position: fsm.Position{Index: e.index, Term: 1}, Time: time.Now().UnixMilli(),
				Batches: []fsm.Batch{{Payload: fsm.AppendCalls(nil, req.Calls), Local: req}}}}, nil)
		}
	}
	_, err := e.machine.Read(req, 0)
	return err
}

func (e *machineEngine) refuse(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refusal = err
}

func (e *machineEngine) logged() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.writes
}

// relay is the observer of a machine that is there before the server's.
type relay struct{ engine *machineEngine }

func (r relay) Wants() fsm.Wants {
	if r.engine.observer == nil {
		return fsm.Wants{}
	}
	return r.engine.observer.Wants()
}

func (r relay) Applied(e *fsm.Effects) { r.engine.observer.Applied(e) }
func (r relay) Skipped()               { r.engine.observer.Skipped() }

type noLog struct{}

func (noLog) Infof(string, ...any)              {}
func (noLog) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (noLog) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// blockServer is a server whose keyspace is a real one.
type blockServer struct {
	*testServer
	machine *machineEngine
	t       *testing.T
}

func startBlockServer(t *testing.T) *blockServer {
	t.Helper()
	table, err := command.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	engine := &machineEngine{fakeEngine: newFakeEngine()}
	engine.machine, err = fsm.Open(fsm.Options{FS: vfs.NewMem(), Dir: "state", Exec: table.Exec, CacheBytes: 1 << 20,
		Observer: relay{engine}, Logger: noLog{}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &blockServer{&testServer{New(Config{}, table, engine), engine.fakeEngine, ln.Addr().String()}, engine, t}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("close:", err)
		}
		if err := <-served; err != nil {
			t.Error("serve:", err)
		}
		eventually(t, "no session is left", func() bool { return s.count() == 0 })
		eventually(t, "nobody is served any more", func() bool {
			s.blocked.mu.Lock()
			defer s.blocked.mu.Unlock()
			return !s.blocked.serving
		})
		if err := engine.machine.Close(); err != nil {
			t.Error("close the machine:", err)
		}
	})
	return s
}

// waiter is a new client whose call waits.
func (s *blockServer) waiter(call string) *client {
	s.t.Helper()
	before := s.stats.blocked.Load()
	c := s.dial(s.t)
	c.send(request(strings.Fields(call)...))
	eventually(s.t, call+" waits", func() bool { return s.stats.blocked.Load() == before+1 })
	return c
}

// do is one call of a client that does not wait.
func (s *blockServer) do(call string) string {
	s.t.Helper()
	c := s.dial(s.t)
	defer c.Close()
	return c.call(strings.Fields(call)...)
}

// array is a reply of bulk strings.
func array(words ...string) string { return request(words...) }

const nothing = "*-1\r\n"

func TestBlockServesInOrder(t *testing.T) {
	s := startBlockServer(t)
	var all []*client
	for range 20 {
		all = append(all, s.waiter("BLPOP q 0"))
	}
	want := 0
	for _, n := range []int{1, 2, 7, 10} { // pushed at once
		push := "RPUSH q"
		for i := range n {
			push += " " + strconv.Itoa(want+i)
		}
		s.do(push)
		for range n {
			all[want].want(array("q", strconv.Itoa(want)))
			want++
		}
	}
	if got := s.do("EXISTS q"); got != ":0\r\n" {
		t.Errorf("EXISTS: %q", got)
	}
	if n := s.blocked.count.Load(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// As many as there are elements are tried at once, and nobody for an element that somebody else gets.
func TestBlockTriesNoMoreThanNeeded(t *testing.T) {
	s := startBlockServer(t)
	var all []*client
	for range 10 {
		all = append(all, s.waiter("BRPOP q 0"))
	}
	before := s.machine.logged()
	s.do("RPUSH q a b c d e f g h i")
	for _, c := range all[:9] {
		c.reply()
	}
	if n := s.machine.logged() - before; n != 2 {
		t.Errorf("one push for nine of ten went into the log %d times with what followed, want 2", n)
	}
	s.do("SET q x")
	s.do("ZADD z 1 m")
	s.do("DEL q z")
	if n := s.machine.logged() - before; n != 5 {
		t.Errorf("what is no list was tried: %d", n)
	}
	s.do("RPUSH q x")
	all[9].want(array("q", "x"))
}

func TestBlockOnSeveralKeys(t *testing.T) {
	s := startBlockServer(t)
	c := s.waiter("BLPOP a b a 0")
	s.do("RPUSH b 1")
	c.want(array("b", "1"))
	c = s.waiter("BLPOP a b 0")
	s.do("RPUSH other 2")
	s.do("RENAME other a")
	c.want(array("a", "2"))

	// One for a, which comes first, and one for b.
	first, second := s.waiter("BLPOP a b 0"), s.waiter("BLPOP b 0")
	s.dial(t).send(request("RPUSH", "a", "3") + request("RPUSH", "b", "4"))
	first.want(array("a", "3"))
	second.want(array("b", "4"))

	// The type of a key before the one that has something is looked at, too.
	c = s.waiter("BLPOP a b 0")
	s.do("SET a x")
	s.do("RPUSH b 5")
	c.want("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")
}

func TestBlockTypes(t *testing.T) {
	s := startBlockServer(t)
	forList, forSet := s.waiter("BLPOP k 0"), s.waiter("BZPOPMAX k 0")
	s.do("ZADD k 1 a 2 b")
	forSet.want("*3\r\n$1\r\nk\r\n$1\r\nb\r\n$1\r\n2\r\n")
	s.do("DEL k")
	s.do("RPUSH other v")
	s.do("COPY other k")
	forList.want(array("k", "v"))
	c := s.waiter("BLMPOP 0 2 x y LEFT COUNT 2")
	s.do("RPUSH y 1 2 3")
	c.want("*2\r\n$1\r\ny\r\n" + array("1", "2"))
	c = s.waiter("BZMPOP 0 1 zz MIN COUNT 3")
	s.do("ZADD zz 1 a")
	c.want("*2\r\n$2\r\nzz\r\n*1\r\n" + array("a", "1"))
}

func TestBlockChain(t *testing.T) {
	s := startBlockServer(t)
	second, first := s.waiter("BLMOVE b c LEFT LEFT 0"), s.waiter("BRPOPLPUSH a b 0")
	s.do("RPUSH a x")
	first.want("$1\r\nx\r\n")
	second.want("$1\r\nx\r\n")
	if got := s.do("LRANGE c 0 -1"); got != array("x") {
		t.Errorf("c is %q", got)
	}
	// An error of one leaves the element to the next.
	s.do("SET string v")
	bad, good := s.waiter("BLMOVE a string LEFT LEFT 0"), s.waiter("BLPOP a 0")
	s.do("RPUSH a y")
	bad.want("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")
	good.want(array("a", "y"))
}

func TestBlockDatabases(t *testing.T) {
	s := startBlockServer(t)
	c := s.waiter("BLPOP k 0")
	other := s.dial(t)
	other.call("SELECT", "1")
	other.call("RPUSH", "k", "v")
	other.call("SWAPDB", "0", "1")
	c.want(array("k", "v"))
	c = s.waiter("BLPOP k 0")
	other.call("RPUSH", "k", "w")
	other.call("MOVE", "k", "0")
	c.want(array("k", "w"))
}

func TestBlockTimeouts(t *testing.T) {
	s := startBlockServer(t)
	c := s.dial(t)
	for _, call := range []string{"BLPOP k 0.01", "BRPOP a b 0.001", "BLMOVE k l LEFT LEFT 0.01", "BRPOPLPUSH k l .01",
		"BLMPOP 0.01 1 k LEFT", "BZPOPMIN k 0.01", "BZMPOP 1e-2 1 k MAX", "XREAD BLOCK 10 STREAMS k 0"} {
		if got := c.call(strings.Fields(call)...); got != nothing {
			t.Errorf("%s: %q", call, got)
		}
	}
	for arg, want := range map[string]string{"-1": "is negative", "x": "is not a float or out of range",
		"1e30": "is out of range", "inf": "is out of range", "-inf": "is negative", "nan": "is not a float or out of range"} {
		if got := c.call("BLPOP", "k", arg); got != "-ERR timeout "+want+"\r\n" {
			t.Errorf("%s: %q", arg, got)
		}
	}
	if got := c.call("PING"); got != "+PONG\r\n" { // the deadlines of the waits are no longer there
		t.Errorf("%q", got)
	}
	if s.blocked.count.Load() != 0 || s.stats.blocked.Load() != 0 {
		t.Error("some wait still")
	}
}

// A client that has gone gets nothing, also when it had sent more than the call that waits.
func TestBlockClientGone(t *testing.T) {
	s := startBlockServer(t)
	gone, stays := s.dial(t), (*client)(nil)
	gone.send(request("BLPOP", "q", "0") + strings.Repeat(request("PING"), 2000))
	eventually(t, "it waits", func() bool { return s.stats.blocked.Load() == 1 })
	stays = s.waiter("BLPOP q 0")
	gone.send(request("PING"))
	gone.Close()
	eventually(t, "it is missed", func() bool { return s.stats.blocked.Load() == 1 })
	s.do("RPUSH q 1")
	stays.want(array("q", "1"))

	killed := s.waiter("BLPOP q 0")
	if got := s.do("CLIENT KILL TYPE normal SKIPME yes"); got < ":1" {
		t.Errorf("CLIENT KILL: %q", got)
	}
	killed.wantClosed()
	eventually(t, "it is missed", func() bool { return s.stats.blocked.Load() == 0 })
}

func TestClientUnblock(t *testing.T) {
	s := startBlockServer(t)
	for _, call := range []string{"BLPOP q 0", "WAIT 2 0", "XREAD BLOCK 0 STREAMS s $"} {
		for how, want := range map[string]string{"": nothing, " TIMEOUT": nothing,
			" ERROR": "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"} {
			if strings.HasPrefix(call, "WAIT") && want == nothing {
				want = ":1\r\n"
			}
			c := s.waiter(call)
			id := ""
			for _, line := range strings.Split(s.do("CLIENT LIST"), "\n") {
				if strings.Contains(line, " flags=b ") {
					id = strings.TrimPrefix(strings.Fields(line)[0], "id=")
				}
			}
			if got := s.do("CLIENT UNBLOCK " + id + how); got != ":1\r\n" {
				t.Errorf("%s: CLIENT UNBLOCK %s: %q", call, id+how, got)
			}
			c.want(want)
			if got := s.do("CLIENT UNBLOCK " + id + how); got != ":0\r\n" {
				t.Errorf("%s: CLIENT UNBLOCK of one who does not wait: %q", call, got)
			}
			if got := c.call("PING"); got != "+PONG\r\n" {
				t.Errorf("%q", got)
			}
		}
	}
}

func TestBlockStreams(t *testing.T) {
	s := startBlockServer(t)
	s.do("XADD s 1-1 f old")
	entry := func(id, value string) string {
		return "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n" + fmt.Sprintf("$%d\r\n%s\r\n", len(id), id) + array("f", value)
	}
	var readers []*client
	for range 5 {
		readers = append(readers, s.waiter("XREAD BLOCK 0 STREAMS s $"))
	}
	s.do("XADD s 2-1 f new")
	for _, c := range readers {
		c.want(entry("2-1", "new"))
	}
	s.do("XGROUP CREATE s g $")
	first, second := s.waiter("XREADGROUP GROUP g a BLOCK 0 STREAMS s >"), s.waiter("XREADGROUP GROUP g b BLOCK 0 STREAMS s >")
	before := s.machine.logged()
	s.do("XADD s 3-1 f x")
	first.want(entry("3-1", "x"))
	s.do("XACK s g 3-1") // does not concern the other
	if n := s.machine.logged() - before; n > 4 {
		t.Errorf("readers that get nothing are tried: %d", n)
	}
	s.do("DEL s")
	second.want("-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\r\n")
}

// While there is no leader, whoever waits goes on waiting, and is served afterwards.
func TestBlockWithoutLeader(t *testing.T) {
	s := startBlockServer(t)
	list, stream := s.waiter("BLPOP q 0"), s.waiter("XREAD BLOCK 0 STREAMS s 0")
	late := s.waiter("BLPOP other 0.2")
	s.machine.refuse(command.ErrNoLeader)
	s.blocked.skipped()
	late.want(nothing)
	if got := s.do("BLPOP q 0"); !strings.HasPrefix(got, "-CLUSTERDOWN") {
		t.Errorf("the first try: %q", got)
	}
	s.machine.refuse(nil)
	s.do("RPUSH q 1")
	s.do("XADD s 1-1 f v")
	list.want(array("q", "1"))
	stream.reply()

	list = s.waiter("BLPOP q 0")
	s.machine.refuse(command.ErrUncertain)
	s.blocked.skipped()
	list.want("-UNCERTAIN outcome unknown: the write may or may not take effect\r\n")
	s.machine.refuse(nil)
}

func TestBlockPause(t *testing.T) {
	s := startBlockServer(t)
	pushed := s.dial(t)
	c := s.waiter("BLPOP q 0")
	s.do("CLIENT PAUSE 100000 WRITE")
	// As from another node: the pause holds the writes of this one's clients.
	req := &fsm.Request{Calls: []fsm.Call{{Args: [][]byte{[]byte("RPUSH"), []byte("q"), []byte("1")}}}}
	if err := s.machine.Do(req); err != nil {
		t.Fatal(err)
	}
	if got := pushed.call("LLEN", "q"); got != ":1\r\n" {
		t.Errorf("it was taken during the pause: %q", got)
	}
	s.do("CLIENT UNPAUSE")
	c.want(array("q", "1"))
}

// Close and Shutdown end all waits.
func TestBlockShutdown(t *testing.T) {
	s := startBlockServer(t)
	c, w := s.waiter("BLPOP q 0"), s.waiter("WAIT 2 0")
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.want("-ERR Server is shutting down\r\n")
	c.wantClosed()
	w.want(":1\r\n")
	w.wantClosed()
}

// What is in a pipeline after a call that waits is executed after it, what is before it is answered at once.
func TestBlockInPipeline(t *testing.T) {
	s := startBlockServer(t)
	c := s.dial(t)
	c.send(request("SET", "a", "1") + request("BLPOP", "q", "0") + request("GET", "a") + request("BLPOP", "q", "0"))
	c.want("+OK\r\n")
	s.do("SET a 2")
	s.do("RPUSH q x y")
	c.want(array("q", "x") + "$1\r\n2\r\n" + array("q", "y"))
}

// Whoever comes later takes nothing that somebody waits for, not even the client that has pushed it.
func TestBlockFairInPipelines(t *testing.T) {
	s := startBlockServer(t)
	for range 20 {
		first, second := s.waiter("BLPOP q 0"), s.dial(t)
		second.send(request("LPUSH", "q", "1") + request("BLPOP", "q", "0"))
		first.want(array("q", "1"))
		second.want(":1\r\n")
		s.do("LPUSH q 2")
		second.want(array("q", "2"))

		first, second = s.waiter("BLMOVE a b LEFT LEFT 0"), s.waiter("BLMOVE b c LEFT LEFT 0")
		pusher := s.dial(t)
		for _, call := range []struct{ args, want string }{{"RPUSH a x", ":1\r\n"}, {"LPOP a", "$-1\r\n"}, {"LPOP b", "$-1\r\n"},
			{"LPOP c", "$1\r\nx\r\n"}} {
			pusher.send(request(strings.Fields(call.args)...))
			pusher.want(call.want)
		}
		first.reply()
		second.reply()
	}
	for range 20 {
		waits := s.waiter("BLPOP q 0")
		later := make([]*client, 3)
		for i := range later { // at the same time as the push
			later[i] = s.dial(t)
			later[i].send(request("BLPOP", "q", "0"))
		}
		s.do("RPUSH q 1")
		waits.want(array("q", "1"))
		s.do("RPUSH q 2 3 4")
		for _, c := range later {
			c.reply()
		}
	}
	// A key of another type is found out by who comes later, too.
	s.waiter("BLPOP q r 0")
	s.do("SET r x")
	if got := s.do("BLPOP q r 0"); !strings.HasPrefix(got, "-WRONGTYPE") {
		t.Errorf("got %q", got)
	}
}
