package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"redoubt"
	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"

	"redoubt/test/ports"
)

// falsify replaces a value in the state of a stopped node by another of the same length, through the
// engine itself, so that every checksum in the files is right.
func falsify(t *testing.T, p *process, value, by string) {
	t.Helper()
	name, err := os.ReadFile(filepath.Join(p.dir, "STATE"))
	if err != nil {
		t.Fatal(err)
	}
	dir, _, _ := strings.Cut(string(name), "\n")
	db, err := pebble.Open(filepath.Join(p.dir, dir), &pebble.Options{DisableWAL: true,
		FormatMajorVersion: pebble.FormatTableFormatV6, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'r'}, UpperBound: []byte{'r' + 1}})
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for ok := it.First(); ok; ok = it.Next() {
		if row := bytes.Replace(it.Value(), []byte(value), []byte(by), 1); !bytes.Equal(row, it.Value()) {
			changed++
			err = errors.Join(err, db.Set(it.Key(), row, pebble.NoSync))
		}
	}
	if err := errors.Join(err, it.Close(), db.Flush(), db.Close()); err != nil || changed != 1 {
		t.Fatalf("%d rows falsified: %v", changed, err)
	}
}

type silent struct{}

func (silent) Infof(string, ...any)                {}
func (silent) Errorf(string, ...any)               {}
func (silent) Fatalf(format string, values ...any) { panic(fmt.Sprintf(format, values...)) }

// refusesAll says whether a node answers as a corrupt one: it serves no key, but says what it is.
func (p *process) refusesAll() bool {
	c, err := dial(p.addr)
	if err != nil {
		return false
	}
	defer c.close()
	for _, args := range [][]string{{"GET", "key"}, {"SET", "key", "x"}, {"DBSIZE"}} {
		var reply replyError
		if _, err := c.do(args...); !errors.As(err, &reply) || !strings.HasPrefix(string(reply), "CORRUPT ") {
			return false
		}
	}
	pong, err := c.do("PING")
	return err == nil && pong == "PONG"
}

// infoLine returns the value of a field of INFO raft.
func (p *process) infoLine(name string) string {
	text, _ := p.mustDo("INFO", "raft").(string)
	for line := range strings.SplitSeq(text, "\r\n") {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return value
		}
	}
	return ""
}

// members returns what RAFT NODES says of each member, as text.
func (p *process) members() map[int]string {
	out := make(map[int]string)
	nodes, _ := p.mustDo("RAFT", "NODES").([]any)
	for _, n := range nodes {
		var id int
		if fields, ok := n.([]any); ok && len(fields) > 1 {
			id, _ = fields[1].(int)
		}
		out[id] = fmt.Sprint(n)
	}
	return out
}

// unhealthy says whether redoubt health calls the node corrupt.
func (p *process) unhealthy() bool {
	out, err := run("health", "--addr", p.addr)
	return err != nil && strings.Contains(out, "is corrupt")
}

// TestFalsifiedState changes a row of a stopped node in a way that no checksum shows. The node must not
// serve it, must remember, and comes back by the documented way.
func TestFalsifiedState(t *testing.T) {
	c := newCluster(t)
	p := c.others(c.leader(t))[0]
	p.mustDo("SET", "key", "truth")
	eventually(t, "all nodes are known", func() bool {
		for _, m := range p.members() {
			if strings.Contains(m, "incarnation 0000000000000000") {
				return false
			}
		}
		return len(p.members()) == 3
	})
	if n, ok := p.mustDo("RAFT", "VERIFY").(int); !ok || n < 3 {
		t.Errorf("RAFT VERIFY of a sound node: %v", n)
	}
	p.signal(syscall.SIGTERM)
	p.awaitExit(patience)
	falsify(t, p, "truth", "false")
	p.start()
	eventually(t, "the false node serves nothing", p.refusesAll)
	for range 2 {
		if why := p.infoLine("raft_corrupt_reason"); p.infoLine("raft_corrupt") != "1" || !strings.Contains(why, "add up") {
			t.Errorf("INFO: %q", why)
		}
		if why := p.raftField("corrupt"); !strings.Contains(why, "add up") || !p.unhealthy() {
			t.Errorf("RAFT STATUS: %q; or redoubt health finds the node healthy", why)
		}
		eventually(t, "the leader knows", func() bool {
			l := c.leader(t)
			return l != p && strings.Contains(l.members()[p.id], "corrupt 1") &&
				strings.Contains(l.infoLine(fmt.Sprint("raft_member", p.id-1)), "corrupt=1")
		})
		p.kill() // which it survives
		p.start()
		if !p.refusesAll() {
			t.Fatal("it has forgotten")
		}
	}
	if n := strings.Count(p.output(), "CORRUPT: "); n != 3 {
		t.Errorf("the log says so %d times in three runs", n)
	}
	if got := c.leader(t).mustDo("GET", "key"); got != "truth" {
		t.Errorf("GET: %v", got)
	}

	p.signal(syscall.SIGTERM)
	p.awaitExit(patience)
	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	p.launch()
	p.awaitExit(patience)
	_, advice, _ := strings.Cut(p.output(), "send RAFT REPLACE ")
	fields := strings.Fields(advice)
	if len(fields) < 2 {
		t.Fatalf("no advice in:\n%s", p.output())
	}
	if got := c.others(p)[0].mustDo("RAFT", "REPLACE", fields[0], fields[1]); got != "OK" {
		t.Fatalf("RAFT REPLACE: %v", got)
	}
	p.start()
	if got := p.mustDo("GET", "key"); got != "truth" {
		t.Errorf("GET through the replaced node: %v", got)
	}
	eventually(t, "the leader takes it for sound", func() bool {
		l := c.leader(t)
		return strings.Contains(l.members()[p.id], "corrupt 0") && l.raftField("checked") != "0"
	})
}

// embedded opens three nodes in this process. The command DICE key writes roll(id) on node id, which
// is what a command must never do.
func embedded(t *testing.T, roll func(id uint64) string) map[uint64]*redoubt.Node {
	t.Helper()
	members := make(map[uint64]string)
	for id := uint64(1); id <= 3; id++ {
		members[id] = ports.Cluster.Free(t)
	}
	nodes := make(map[uint64]*redoubt.Node)
	for id := range members {
		dice := command.Spec{Name: "DICE", Arity: 2, Flags: command.Write, Run: func(tx *fsm.Txn, args [][]byte) resp.Reply {
			tx.Put(args[1], fsm.Row{Kind: fsm.String, Value: []byte(roll(id))})
			return resp.OK
		}}
		n, err := redoubt.Open(redoubt.Config{ID: id, DataDir: filepath.Join(t.TempDir(), "data"), Cluster: members,
			CacheBytes: 1 << 20, Commands: []command.Spec{dice}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		nodes[id] = n
	}
	return nodes
}

func request(args ...string) *fsm.Request {
	var words [][]byte
	for _, a := range args {
		words = append(words, []byte(a))
	}
	return &fsm.Request{Calls: []fsm.Call{{Args: words, Read: args[0] == "GET"}}}
}

func corruptOnes(nodes map[uint64]*redoubt.Node) (ids []uint64) {
	for id, n := range nodes {
		if n.Status().Corrupt != "" {
			ids = append(ids, id)
		}
	}
	return slices.Sorted(slices.Values(ids))
}

func leadingNode(t *testing.T, nodes map[uint64]*redoubt.Node) (leader uint64) {
	t.Helper()
	eventually(t, "a leader", func() bool {
		for id, n := range nodes {
			if n.Leading() {
				leader = id
				return true
			}
		}
		return false
	})
	return leader
}

// TestNondeterministicCommand runs a command that has another result on one node: a follower, then the
// leader. That node's rows add up, so that only the others can tell.
func TestNondeterministicCommand(t *testing.T) {
	for _, who := range []string{"follower", "leader"} {
		t.Run(who, func(t *testing.T) {
			var odd atomic.Uint64
			nodes := embedded(t, func(id uint64) string {
				if id == odd.Load() {
					return "6"
				}
				return "1"
			})
			leader := leadingNode(t, nodes)
			if err := nodes[leader].Do(request("DICE", "key")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "states are compared", func() bool { return nodes[leadingNode(t, nodes)].Status().CheckedIndex > 0 })
			if found := corruptOnes(nodes); len(found) != 0 {
				t.Fatalf("corrupt without a reason: %v", found)
			}
			bad := leadingNode(t, nodes)
			if who == "follower" {
				bad = bad%3 + 1
			}
			odd.Store(bad)
			sound := nodes[bad%3+1]
			if err := sound.Do(request("DICE", "key")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it is found", func() bool { return slices.Equal(corruptOnes(nodes), []uint64{bad}) })
			if err := nodes[bad].Do(request("GET", "key")); !errors.Is(err, command.ErrCorrupt) {
				t.Errorf("it answers %v", err)
			}
			eventually(t, "another one leads", func() bool { return leadingNode(t, nodes) != bad })
			req := request("GET", "key")
			if err := sound.Do(req); err != nil {
				t.Error(err)
			} else if got := string(req.Replies[0].Append(nil, 2)); got != "$1\r\n1\r\n" {
				t.Errorf("a sound node answers %q", got)
			}
			if found := corruptOnes(nodes); !slices.Equal(found, []uint64{bad}) {
				t.Errorf("corrupt: %v", found)
			}
		})
	}
}

// TestRandomCommand runs a command that has another result on every node: none can be shown right.
func TestRandomCommand(t *testing.T) {
	nodes := embedded(t, func(id uint64) string { return fmt.Sprint(id) })
	if err := nodes[leadingNode(t, nodes)].Do(request("DICE", "key")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are found", func() bool { return len(corruptOnes(nodes)) == 3 })
	for id := range maps.Keys(nodes) {
		if err := nodes[id].Do(request("GET", "key")); !errors.Is(err, command.ErrCorrupt) {
			t.Errorf("node %d answers %v", id, err)
		}
	}
}
