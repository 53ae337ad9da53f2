package server

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"redoubt/command"
	"redoubt/fsm"
)

// Every command that has no function of its own has a handler here, and no handler is left over.
func TestEveryCommandHasAHandler(t *testing.T) {
	table, err := command.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	unused := map[string]bool{}
	for name, h := range handlers {
		if h == nil {
			t.Error(name, "has no function")
		}
		unused[name] = true
	}
	s := startServer(t, Config{})
	for spec, r := range newRoutes(table) {
		delete(unused, spec.Name)
		if (r.handler == nil) != (spec.Run != nil) && spec.Sub == nil {
			t.Errorf("%s: a handler and a function, or none", spec.Name)
		}
		if r.handler != nil && spec.Sub == nil && spec.Name != "SHUTDOWN" {
			if reply := s.dial(t).call(strings.Fields(spec.Name)...); reply == "-"+errNotHere.Text+"\r\n" {
				t.Errorf("%s has no handler", spec.Name)
			}
		}
	}
	for name := range unused {
		t.Errorf("%s is not in the table", name)
	}
}

func TestRole(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	c.send(request("ROLE"))
	c.want("*3\r\n$6\r\nmaster\r\n:7\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n7002\r\n$1\r\n6\r\n")
	s.engine.set(func(st *command.Status) {
		*st = command.Status{Role: "follower", Leader: 2, LeaderClientAddr: "[::1]:7002", Applied: 5}
	})
	c.send(request("ROLE"))
	c.want("*5\r\n$5\r\nslave\r\n$3\r\n::1\r\n:7002\r\n$9\r\nconnected\r\n:5\r\n")
	s.engine.set(func(st *command.Status) { *st = command.Status{Role: "candidate"} })
	c.send(request("ROLE"))
	c.want("*5\r\n$5\r\nslave\r\n$0\r\n\r\n:0\r\n$7\r\nconnect\r\n:0\r\n")
}

func TestTime(t *testing.T) {
	s := startServer(t, Config{})
	if got := s.dial(t).call("TIME"); !regexp.MustCompile(`^\*2\r\n\$10\r\n\d{10}\r\n\$\d\r\n\d{1,6}\r\n$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
}

func TestWait(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	start := time.Now()
	for _, test := range []struct{ n, timeout, want string }{
		{"0", "0", ":1\r\n"}, {"1", "0", ":1\r\n"}, {"-5", "0", ":1\r\n"}, {"2", "30", ":1\r\n"}, {"99999999999", "30", ":1\r\n"},
	} {
		if got := c.call("WAIT", test.n, test.timeout); got != test.want {
			t.Errorf("WAIT %s %s: got %q", test.n, test.timeout, got)
		}
	}
	if took := time.Since(start); took < 60*time.Millisecond {
		t.Errorf("two timeouts of 30 ms took %v", took)
	}
}

func TestSave(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	entered, release := make(chan struct{}), make(chan error)
	s.engine.snapshot = func(context.Context) error {
		entered <- struct{}{}
		return <-release
	}
	if got := c.call("BGSAVE"); got != "+Background saving started\r\n" {
		t.Fatalf("got %q", got)
	}
	<-entered
	for _, again := range []string{"SAVE", "BGSAVE"} {
		if got := c.call(again); got != "-ERR Background save already in progress\r\n" {
			t.Errorf("%s: got %q", again, got)
		}
	}
	if got := c.call("INFO", "persistence"); !strings.Contains(got, "rdb_bgsave_in_progress:1\r\n") {
		t.Errorf("got %q", got)
	}
	release <- nil
	eventually(t, "it has ended", func() bool { return !s.saving.Load() })
	c.send(request("SAVE"))
	<-entered
	release <- errors.New("disk full")
	c.want("-ERR disk full\r\n")
	s.engine.set(func(st *command.Status) { st.LastSave = 1234 })
	if got := c.call("LASTSAVE"); got != ":1234\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestShutdownCommand(t *testing.T) {
	asked := make(chan struct{})
	s := startServer(t, Config{Shutdown: func() { close(asked) }})
	c := s.dial(t)
	c.send(request("SET", "a", "1") + request("SHUTDOWN", "NOSAVE", "NOW") + request("PING"))
	c.want("+OK\r\n")
	c.wantClosed()
	<-asked
}

func TestRaftCommand(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	if got := c.call("RAFT", "log", "1", "2"); got != `+["RAFT" "log" "1" "2"]`+"\r\n" {
		t.Errorf("got %q", got)
	}
	if got := c.call("RAFT", "HELP"); !strings.Contains(got, "+RAFT <subcommand>") {
		t.Errorf("got %q", got)
	}
}

func TestInfo(t *testing.T) {
	s := startServer(t, Config{Version: "1.2.3"})
	s.engine.set(func(st *command.Status) { st.FSM.DB[3] = fsm.DBStats{Keys: 10, Expires: 4} })
	c := s.dial(t)
	c.call("GET", "a")
	c.call("SET", "a", "b")
	c.call("GET")
	c.call("NOSUCH")
	text := c.call("INFO")
	for _, want := range []string{"# Server\r\nredis_version:" + redisVersion + "\r\nredoubt_version:1.2.3\r\n",
		"\r\n\r\n# Clients\r\nconnected_clients:1\r\n", "# Memory\r\nused_memory:", "# Persistence\r\n", "# Stats\r\ntotal_connections_received:1\r\n",
		"# Replication\r\nrole:master\r\nconnected_slaves:1\r\nslave0:ip=127.0.0.1,port=7002,state=online,offset=6,lag=0\r\n",
		"# Raft\r\nraft_cluster_id:", "raft_role:leader\r\n", "raft_member1:id=2,", "# CPU\r\n", "errorstat_ERR:count=2\r\n",
		"# Cluster\r\ncluster_enabled:0\r\n", "# Keyspace\r\ndb3:keys=10,expires=4,avg_ttl=0\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("INFO has no %q", want)
		}
	}
	if strings.Contains(text, "# Commandstats") {
		t.Error("INFO has commandstats")
	}
	for _, all := range []string{"all", "EVERYTHING", "commandstats"} {
		text := c.call("INFO", all)
		if !regexp.MustCompile(`cmdstat_get:calls=1,usec=\d+,usec_per_call=\d+\.\d\d,rejected_calls=1,failed_calls=0\r\n`).MatchString(text) {
			t.Errorf("INFO %s: %q", all, text)
		}
	}
	two := c.call("INFO", "keyspace", "SERVER", "no-such")
	if strings.Count(two, "# ") != 2 || strings.Index(two, "# Server") > strings.Index(two, "# Keyspace") {
		t.Errorf("got %q", two)
	}
	if got := c.call("INFO", "no-such"); got != "$0\r\n\r\n" {
		t.Errorf("got %q", got)
	}
	c.call("CONFIG", "RESETSTAT")
	if got := c.call("INFO", "commandstats", "errorstats"); strings.Contains(got, "cmdstat_get") || strings.Contains(got, "errorstat_") {
		t.Errorf("after RESETSTAT: %q", got)
	}
	s.engine.set(func(st *command.Status) {
		*st = command.Status{Role: "follower", Leader: 2, LeaderClientAddr: "10.0.0.1:7002"}
	})
	if got := c.call("INFO", "replication"); !strings.Contains(got, "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:7002\r\nmaster_link_status:up\r\n") {
		t.Errorf("got %q", got)
	}
}

func TestConfig(t *testing.T) {
	level := zap.NewAtomicLevelAt(zapcore.InfoLevel)
	s := startServer(t, Config{LogLevel: level, DataDir: "/var/lib/x", MaxClients: 55})
	c := s.dial(t)
	get := func(name, value string) {
		t.Helper()
		if got, want := c.call("CONFIG", "GET", name), "*2\r\n"+string(request(name, value)[4:]); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	get("dir", "/var/lib/x")
	get("maxclients", "55")
	get("appendonly", "yes")
	get("save", "")
	get("proto-max-bulk-len", "67108864")
	get("bind", "127.0.0.1")
	for _, set := range []struct{ name, value, then string }{
		{"loglevel", "DEBUG", "debug"}, {"maxclients", "77", "77"}, {"proto-max-bulk-len", "2mb", "2097152"},
		{"timeout", "100", "100"}, {"tcp-keepalive", "0", "0"}, {"appendonly", "YES", "yes"}, {"maxmemory", "100mb", "104857600"},
		{"maxmemory-policy", "allkeys-LRU", "allkeys-lru"},
	} {
		if got := c.call("CONFIG", "SET", set.name, set.value); got != "+OK\r\n" {
			t.Errorf("%s: got %q", set.name, got)
		}
		get(set.name, set.then)
	}
	if level.Level() != zapcore.DebugLevel || s.maxClients.Load() != 77 || s.limits.bulkMax.Load() != 2<<20 ||
		s.limits.idleMax.Load() != 100 || s.keepAlive.Load() != 0 {
		t.Error("a setting has no effect")
	}
	level.SetLevel(zapcore.WarnLevel)
	get("loglevel", "warning")
	for _, set := range []struct{ name, value, why string }{
		{"maxmemory", "100xb", "argument must be a memory value"},
		{"maxmemory-policy", "lru", "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, " +
			"volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction"},
		{"appendonly", "no", "this server works with the present value only"},
		{"proto-max-bulk-len", "1", "argument must be between 1048576 and 536870912 inclusive"},
		{"loglevel", "loud", "argument(s) must be one of the following: debug, verbose, notice, warning, nothing"},
		{"databases", "17", "can't set immutable config"},
	} {
		want := "-ERR CONFIG SET failed (possibly related to argument '" + set.name + "') - " + set.why + "\r\n"
		if got := c.call("CONFIG", "SET", set.name, set.value); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	// All or nothing.
	c.call("CONFIG", "SET", "timeout", "5", "maxmemory", "1", "hz", "x")
	get("timeout", "100")
	get("maxmemory", "104857600")
	s.engine.err = command.ErrNoLeader
	if got := c.call("CONFIG", "SET", "timeout", "5", "maxmemory", "1"); !strings.HasPrefix(got, "-CLUSTERDOWN") {
		t.Errorf("without a leader: %q", got)
	}
	get("timeout", "100")
	s.engine.err = nil
	seen := c.call("CONFIG", "GET", "*")
	for _, name := range []string{"maxclients", "save", "hash-max-listpack-entries", "hash-max-ziplist-entries", "maxmemory-policy"} {
		if !strings.Contains(seen, "\r\n"+name+"\r\n") {
			t.Errorf("CONFIG GET * has no %s", name)
		}
	}
}

// The new bound holds for connections that are open already.
func TestBulkBoundChanges(t *testing.T) {
	s := startServer(t, Config{ProtoMaxBulkLen: 2 << 20})
	c, other := s.dial(t), s.dial(t)
	value := strings.Repeat("v", 3<<19)
	go other.send(request("SET", "k", value))
	other.want("+OK\r\n")
	c.call("CONFIG", "SET", "proto-max-bulk-len", "1048576")
	go func() { _, _ = other.Write([]byte(request("SET", "k", value))) }()
	other.want("-ERR Protocol error: invalid bulk length\r\n")
	other.wantClosed()
}
