package server

import (
	"fmt"
	"strings"
	"testing"

	"redoubt/command"
)

// leaderIs2 makes the fake engine a follower of node 2.
func (e *fakeEngine) leaderIs2() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status.Role, e.status.Leader, e.status.LeaderClientAddr = "follower", 2, "127.0.0.1:7002"
	e.status.Members = []command.Member{{ID: 1, Self: true, Voter: true, Active: true, ClientAddr: "127.0.0.1:7001"},
		{ID: 2, ClientAddr: "127.0.0.1:7002", RaftAddr: "127.0.0.1:8002", Voter: true, Leader: true, Active: true}}
}

func TestClusterFaceOff(t *testing.T) {
	c := startServer(t, Config{}).dial(t)
	for _, call := range []string{"CLUSTER SLOTS", "CLUSTER HELP", "CLUSTER MEET 1 2", "ASKING"} {
		if got := c.call(strings.Fields(call)...); got != "-ERR This instance has cluster support disabled\r\n" {
			t.Errorf("%s: got %q", call, got)
		}
	}
	for _, call := range []string{"READONLY", "READWRITE", "SELECT 3"} {
		if got := c.call(strings.Fields(call)...); got != "+OK\r\n" {
			t.Errorf("%s: got %q", call, got)
		}
	}
}

func TestClusterFaceRedirects(t *testing.T) {
	s := startServer(t, Config{ClusterFace: true})
	s.engine.leaderIs2()
	c := s.dial(t)
	for _, step := range []struct{ call, want string }{
		{"GET foo", "-MOVED 12182 127.0.0.1:7002\r\n"},
		{"SET a{foo} 1", "-MOVED 12182 127.0.0.1:7002\r\n"},
		{"MSET a 1 b 2", "-CROSSSLOT Keys in request don't hash to the same slot\r\n"},
		{"DBSIZE", ":0\r\n"},
		{"READONLY", "+OK\r\n"},
		{"GET foo", "$-1\r\n"},
		{"SET foo 1", "-MOVED 12182 127.0.0.1:7002\r\n"},
		{"READWRITE", "+OK\r\n"},
		{"GET foo", "-MOVED 12182 127.0.0.1:7002\r\n"},
		{"SELECT 1", "-ERR SELECT is not allowed in cluster mode\r\n"},
		{"SWAPDB 0 1", "-ERR SWAPDB is not allowed in cluster mode\r\n"},
		{"CLUSTER KEYSLOT {a}b", ":15495\r\n"},
		{"CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot\r\n"},
		{"CLUSTER GETKEYSINSLOT 1 -1", "-ERR Invalid slot or number of keys\r\n"},
		{"CLUSTER REPLICAS abc", "-ERR Unknown node abc\r\n"},
		{"CLUSTER RESET", "-ERR CLUSTER RESET is not supported: all slots belong to one shard, and RAFT " +
			"administers its nodes\r\n"},
	} {
		if got := c.call(strings.Fields(step.call)...); got != step.want {
			t.Errorf("%s: got %q, want %q", step.call, got, step.want)
		}
	}
	// In a pipeline, each call is judged by itself.
	c.send(request("GET", "a") + request("PING") + request("SET", "b", "1"))
	c.want("-MOVED 15495 127.0.0.1:7002\r\n+PONG\r\n-MOVED 3300 127.0.0.1:7002\r\n")
}

// Without a leader, calls wait in the engine, and the last known leader stays the master.
func TestClusterFaceWithoutLeader(t *testing.T) {
	s := startServer(t, Config{ClusterFace: true})
	s.engine.leaderIs2()
	c := s.dial(t)
	eventually(t, "the leader is noticed", func() bool {
		s.watch.mu.Lock()
		defer s.watch.mu.Unlock()
		return s.watch.leader.ID == 2
	})
	before := c.call("CLUSTER", "SLOTS")
	s.engine.set(func(st *command.Status) { st.Leader, st.LeaderClientAddr = 0, "" })
	if got := c.call("SET", "foo", "1"); got != "+OK\r\n" {
		t.Errorf("SET without a leader: got %q", got)
	}
	if got := c.call("CLUSTER", "SLOTS"); got != before || !strings.Contains(got, ":7002\r\n") {
		t.Errorf("topology was %q, is %q", before, got)
	}
	if got := c.call("CLUSTER", "INFO"); !strings.Contains(got, "cluster_state:fail\r\n") {
		t.Errorf("got %q", got)
	}
}

func TestSentinelFace(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.leaderIs2()
	c := s.dial(t)
	for _, step := range []struct{ call, want string }{
		{"SENTINEL GET-MASTER-ADDR-BY-NAME mymaster", "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7002\r\n"},
		{"SENTINEL get-master-addr-by-name other", "*-1\r\n"},
		{"SENTINEL REPLICAS other", "-ERR No such master with that name\r\n"},
		{"SENTINEL CKQUORUM mymaster", "+OK 2 usable Sentinels. Quorum and failover authorization can be reached\r\n"},
		{"SENTINEL RESET my*", ":1\r\n"},
		{"SENTINEL FLUSHCONFIG", "+OK\r\n"},
	} {
		if got := c.call(strings.Fields(step.call)...); got != step.want {
			t.Errorf("%s: got %q, want %q", step.call, got, step.want)
		}
	}
	// A change of leader is told on every node.
	eventually(t, "the leader is noticed", func() bool {
		s.watch.mu.Lock()
		defer s.watch.mu.Unlock()
		return s.watch.leader.ID == 2
	})
	c.send(request("SUBSCRIBE", "+switch-master"))
	c.want("*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n")
	s.engine.set(func(st *command.Status) {
		st.Role, st.Leader, st.LeaderClientAddr = roleLeader, 1, "127.0.0.1:7001"
	})
	message := "mymaster 127.0.0.1 7002 127.0.0.1 7001"
	c.want(fmt.Sprintf("*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%d\r\n%s\r\n", len(message), message))
}
