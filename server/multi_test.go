package server

import (
	"errors"
	"strings"
	"testing"

	"redoubt/command"
	"redoubt/fsm"
)

const queuedLine = "+QUEUED\r\n"

// A transaction that arrives at once costs one request, and its queueing none.
func TestTransactionIsOneRequest(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.record = true
	c := s.dial(t)
	c.send(request("MULTI") + request("SET", "a", "1") + request("SELECT", "3") + request("INCR", "a") + request("PING") +
		request("KEYS", "*") + request("SELECT", "99") + request("GET", "a") + request("EXEC") + request("GET", "a"))
	c.want("+OK\r\n" + strings.Repeat(queuedLine, 7) +
		"*7\r\n+OK\r\n+OK\r\n:1\r\n+PONG\r\n*0\r\n-ERR DB index is out of range\r\n$1\r\n1\r\n" + "$1\r\n1\r\n")
	if n := len(s.engine.requests); n != 2 || len(s.engine.requests[0]) != 4 {
		t.Fatalf("%d requests: %v", n, s.engine.requests)
	}
	for i, db := range []int{0, 3, 3, 3} {
		if call := s.engine.requests[0][i]; call.DB != db {
			t.Errorf("call %d on database %d, want %d", i, call.DB, db)
		}
	}
}

// However large: one request.
func TestLargeTransactionIsOneRequest(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.record = true
	c := s.dial(t)
	const calls = 3 * requestCallsMax
	value := strings.Repeat("v", 500)
	go c.send(request("MULTI") + strings.Repeat(request("SET", "a", value), calls) + request("EXEC"))
	c.want("+OK\r\n" + strings.Repeat(queuedLine, calls) + "*12288\r\n" + strings.Repeat("+OK\r\n", calls))
	if n := len(s.engine.requests); n != 1 {
		t.Errorf("%d requests", n)
	}
	eventually(t, "memory is given back", func() bool { return s.limits.budget.taken.Load() == 0 })
}

func TestTransactionHasBounds(t *testing.T) {
	s := startServer(t, Config{ProtoMaxBulkLen: 1 << 20})
	c := s.dial(t)
	value := strings.Repeat("v", 900_000)
	c.send(request("MULTI") + request("SET", "a", value) + request("SET", "a", value) + request("SET", "a", value) +
		request("PING") + request("EXEC") + request("GET", "a"))
	c.want("+OK\r\n" + queuedLine + queuedLine + "-ERR the transaction is larger than a request may be\r\n" + queuedLine +
		"-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n")
	eventually(t, "memory is given back", func() bool { return s.limits.budget.taken.Load() == 0 })

	// What is queued counts in the memory of all clients, until its connection ends.
	c.send(request("MULTI") + request("SET", "a", value))
	c.want("+OK\r\n" + queuedLine)
	if s.limits.budget.taken.Load() == 0 {
		t.Error("a queue takes nothing of the budget")
	}
	c.Close()
	eventually(t, "memory is given back", func() bool { return s.limits.budget.taken.Load() == 0 })
}

// When the engine fails, none of the transaction is executed, and it is over.
func TestTransactionFails(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{command.ErrNoLeader, "-CLUSTERDOWN The cluster has no leader; nothing was executed\r\n"},
		{command.ErrUncertain, "-UNCERTAIN outcome unknown: the write may or may not take effect\r\n"},
		{command.Refusal{Reply: command.OutOfMemory},
			"-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.\r\n"},
		{errors.New("something"), "-ERR something\r\n"},
	} {
		s := startServer(t, Config{})
		c := s.dial(t)
		c.send(request("MULTI") + request("CLIENT", "SETNAME", "me") + request("SET", "a", "1") + request("SUBSCRIBE", "c") +
			request("SELECT", "2"))
		c.want("+OK\r\n" + strings.Repeat(queuedLine, 4))
		s.engine.mu.Lock()
		s.engine.err = test.err
		s.engine.mu.Unlock()
		c.send(request("EXEC"))
		c.want(test.want)
		s.engine.mu.Lock()
		s.engine.err = nil
		s.engine.mu.Unlock()
		c.send(request("CLIENT", "GETNAME") + request("GET", "a") + request("EXEC"))
		c.want("$-1\r\n$-1\r\n-ERR EXEC without MULTI\r\n")
	}
}

func TestWatch(t *testing.T) {
	s := startServer(t, Config{})
	a, b := s.dial(t), s.dial(t)
	a.send(request("SET", "k", "1") + request("WATCH", "k", "other", "k"))
	a.want("+OK\r\n+OK\r\n")
	b.send(request("SET", "k", "2"))
	b.want("+OK\r\n")
	a.send(request("WATCH", "k") + request("MULTI") + request("SET", "k", "3") + request("PING") + request("EXEC"))
	a.want("+OK\r\n+OK\r\n" + queuedLine + queuedLine + "*-1\r\n")
	a.send(request("HELLO", "3"))
	a.reply()
	a.send(request("WATCH", "k") + request("SET", "k", "4") + request("MULTI") + request("PING") + request("EXEC"))
	a.want("+OK\r\n+OK\r\n+OK\r\n" + queuedLine + "_\r\n")
	a.send(request("WATCH", "k") + request("SET", "k", "5") + request("UNWATCH") + request("MULTI") + request("PING") + request("EXEC"))
	a.want("+OK\r\n+OK\r\n+OK\r\n+OK\r\n" + queuedLine + "*1\r\n+PONG\r\n")
	a.send(request("WATCH", "k") + request("SET", "k", "6") + request("RESET") + request("MULTI") + request("GET", "k") + request("EXEC"))
	a.want("+OK\r\n+OK\r\n+RESET\r\n+OK\r\n" + queuedLine + "*1\r\n$1\r\n6\r\n")
	s.engine.err = command.ErrNoLeader
	a.send(request("WATCH", "k"))
	a.want("-CLUSTERDOWN The cluster has no leader; nothing was executed\r\n")
}

// A key that was missing and is again may have been read in between.
func TestWatchMissing(t *testing.T) {
	s := startServer(t, Config{})
	a, b := s.dial(t), s.dial(t)
	a.send(request("SET", "old", "1") + request("WATCH", "k", "k", "old"))
	a.want("+OK\r\n+OK\r\n")
	if n := s.missing.count.Load(); n != 1 {
		t.Errorf("%d keys are missing", n)
	}
	a.send(request("UNWATCH") + request("WATCH", "k"))
	a.want("+OK\r\n+OK\r\n")
	b.send(request("SET", "k", "2"))
	b.want("+OK\r\n")
	b.send(request("FLUSHALL"))
	b.want("+OK\r\n")
	a.send(request("MULTI") + request("PING") + request("EXEC"))
	a.want("+OK\r\n" + queuedLine + "*-1\r\n")
	a.send(request("WATCH", "k") + request("MULTI") + request("SET", "k", "1") + request("EXEC") + request("FLUSHALL"))
	a.want("+OK\r\n+OK\r\n" + queuedLine + "*1\r\n+OK\r\n+OK\r\n")
	a.send(request("WATCH", "k"))
	a.want("+OK\r\n")
	s.missing.skipped()
	a.send(request("MULTI") + request("PING") + request("EXEC"))
	a.want("+OK\r\n" + queuedLine + "*-1\r\n")
	s.engine.err = command.ErrNoLeader
	a.send(request("WATCH", "k"))
	a.want("-CLUSTERDOWN The cluster has no leader; nothing was executed\r\n")
	if n := s.missing.count.Load(); n != 0 {
		t.Errorf("%d keys are still waited for", n)
	}
}

// What the server executes itself comes at its place; what answers in messages is no element.
func TestTransactionOfHandlers(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	c.send(request("MULTI") + request("PING", "1") + request("SUBSCRIBE", "x", "y") + request("GET", "a") + request("EXEC"))
	c.want("+OK\r\n" + strings.Repeat(queuedLine, 3) + "*3\r\n$1\r\n1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n" +
		"*3\r\n$9\r\nsubscribe\r\n$1\r\ny\r\n:2\r\n$-1\r\n")
	c.send(request("MULTI"))
	c.want("-ERR Can't execute 'multi': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n")

	d := s.dial(t)
	d.send(request("MULTI") + request("SAVE") + request("EXEC") + request("MULTI") + request("QUIT"))
	d.want("+OK\r\n-ERR Command not allowed inside a transaction\r\n-EXECABORT Transaction discarded because of previous errors.\r\n" +
		"+OK\r\n+OK\r\n")
	d.wantClosed()
}

// Replies that a client does not want are not sent, none of them.
func TestTransactionWithoutReplies(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	c.send(request("MULTI") + request("SET", "a", "1") + request("PING"))
	c.want("+OK\r\n" + queuedLine + queuedLine)
	c.send(request("CLIENT", "REPLY", "OFF") + request("EXEC") + request("DISCARD"))
	// CLIENT REPLY OFF was queued: it takes effect within EXEC, after the head of the replies and those before it.
	c.want(queuedLine + "*3\r\n+OK\r\n+PONG\r\n")
	c.send(request("CLIENT", "REPLY", "OFF") + request("MULTI") + request("SET", "a", "2") + request("EXEC") +
		request("CLIENT", "REPLY", "ON") + request("GET", "a"))
	c.want("+OK\r\n$1\r\n2\r\n")
	c.send(request("CLIENT", "REPLY", "SKIP") + request("MULTI") + request("PING") + request("EXEC"))
	c.want(queuedLine + "*1\r\n+PONG\r\n")
}

func TestClientsInTransactions(t *testing.T) {
	s := startServer(t, Config{})
	c, other := s.dial(t), s.dial(t)
	c.send(request("MULTI"))
	c.want("+OK\r\n")
	if list := other.call("CLIENT", "LIST"); !strings.Contains(list, "flags=x") || !strings.Contains(list, "multi=0 ") ||
		!strings.Contains(list, "multi=-1 ") {
		t.Error(list)
	}
	c.send(request("PING") + request("CLIENT", "INFO"))
	c.want(queuedLine + queuedLine)
	if list := other.call("CLIENT", "LIST"); !strings.Contains(list, "multi=2 ") {
		t.Error(list)
	}
	c.send(request("EXEC"))
	c.want("*2\r\n+PONG\r\n")
	if info := c.reply(); !strings.Contains(info, "flags=x") {
		t.Error(info)
	}
	if list := other.call("CLIENT", "LIST"); strings.Contains(list, "flags=x") {
		t.Error(list)
	}
}

// CLIENT PAUSE WRITE holds transactions that write, and no others.
func TestPausedTransactions(t *testing.T) {
	s := startServer(t, Config{})
	reader, writer, other := s.dial(t), s.dial(t), s.dial(t)
	for _, c := range []*client{reader, writer} {
		c.send(request("MULTI") + request("GET", "a"))
		c.want("+OK\r\n" + queuedLine)
	}
	writer.send(request("SET", "a", "1"))
	writer.want(queuedLine)
	other.call("CLIENT", "PAUSE", "100000", "WRITE")
	writer.send(request("EXEC"))
	reader.send(request("EXEC"))
	reader.want("*1\r\n$-1\r\n")
	eventually(t, "the writer waits", func() bool { return s.stats.blocked.Load() == 1 })
	other.call("CLIENT", "UNPAUSE")
	writer.want("*2\r\n$-1\r\n+OK\r\n")
}

// While there is no memory, nothing is queued but what ends the transaction.
func TestTransactionWithoutMemory(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	c.send(request("MULTI") + request("GET", "a"))
	c.want("+OK\r\n" + queuedLine)
	s.engine.set(func(st *command.Status) {
		st.FSM.Memory = fsm.Memory{DataBytes: 2, Limit: fsm.Limit{MaxMemory: 1}}
	})
	c.send(request("GET", "a") + request("EXEC") + request("MULTI") + request("EXEC") + request("MULTI") + request("DISCARD"))
	c.want("-OOM command not allowed when used memory > 'maxmemory'.\r\n" +
		"-EXECABORT Transaction discarded because of previous errors.\r\n+OK\r\n*0\r\n+OK\r\n+OK\r\n")
}

func TestTransactionsOfTheClusterFace(t *testing.T) {
	s := startServer(t, Config{ClusterFace: true})
	c := s.dial(t)
	c.send(request("MULTI") + request("SET", "a", "1") + request("SET", "b", "1") + request("EXEC"))
	c.want("+OK\r\n" + queuedLine + queuedLine + "-CROSSSLOT Keys in request don't hash to the same slot\r\n")
	c.send(request("WATCH", "{x}a") + request("MULTI") + request("SET", "{x}a", "1") + request("SET", "{x}b", "1"))
	c.want("+OK\r\n+OK\r\n" + queuedLine + queuedLine)
	s.engine.set(func(st *command.Status) {
		st.Role, st.Leader, st.LeaderClientAddr = "follower", 2, "127.0.0.1:7002"
	})
	c.send(request("EXEC") + request("WATCH", "{x}a") + request("EXEC"))
	c.want("-MOVED 16287 127.0.0.1:7002\r\n-MOVED 16287 127.0.0.1:7002\r\n-ERR EXEC without MULTI\r\n")
	c.send(request("MULTI") + request("SET", "{x}a", "1") + request("EXEC"))
	c.want("+OK\r\n-MOVED 16287 127.0.0.1:7002\r\n-EXECABORT Transaction discarded because of previous errors.\r\n")
}
