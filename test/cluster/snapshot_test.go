package cluster_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redoubt/test/ports"
)

// fill writes n incompressible values of size bytes under prefix:i, in pipelines.
func fill(t *testing.T, p *process, prefix string, n, size int) {
	t.Helper()
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	value := make([]byte, size)
	for start := 0; start < n; start += 8 {
		end := min(start+8, n)
		for i := start; i < end; i++ {
			if _, err := rand.Read(value); err != nil {
				t.Fatal(err)
			}
			key := fmt.Sprintf("%s:%d", prefix, i)
			copy(value, key) // so that a value can be recognized
			if err := c.send("SET", key, string(value)); err != nil {
				t.Fatal(err)
			}
		}
		for range end - start {
			if reply, err := c.receive(); err != nil || reply != "OK" {
				t.Fatalf("SET: %v, %v", reply, err)
			}
		}
	}
}

// verify reads what fill wrote.
func verify(t *testing.T, p *process, prefix string, n, size int) {
	t.Helper()
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for i := range n {
		key := fmt.Sprintf("%s:%d", prefix, i)
		reply, err := c.do("GET", key)
		if value, ok := reply.(string); err != nil || !ok || len(value) != size || !strings.HasPrefix(value, key) {
			t.Fatalf("node %d: GET %s: %d bytes, %v", p.id, key, len(value), err)
		}
	}
}

// TestSnapshotAfterAbsence leaves a node behind by far more than the log that is kept, and kills it
// again and again while it receives and installs the snapshot.
func TestSnapshotAfterAbsence(t *testing.T) {
	c := newCluster(t, "--snapshot-log-bytes", "1mb")
	away := c.others(c.leader(t))[0]
	away.mustDo("SET", "before", "absence")
	away.kill()
	writer := c.others(away)[0]
	fill(t, writer, "k", 20_000, 1000)
	rnd := mathrand.New(mathrand.NewSource(1))
	for range 6 {
		away.launch()
		time.Sleep(time.Duration(rnd.Intn(700)) * time.Millisecond) // any point will do
		away.kill()
	}
	away.start()
	verify(t, away, "k", 20_000, 1000)
	eventually(t, "the node takes part again", func() bool {
		return away.raftField("applied") == writer.raftField("applied")
	})
	// The line that it is installed may be lost: kill -9 does not wait for the log.
	if !strings.Contains(away.output(), "snapshot received") {
		t.Error("the node caught up without a snapshot")
	}
	if got := away.mustDo("DBSIZE"); got != 20_001 {
		t.Errorf("DBSIZE is %v", got)
	}
	// What it installed is its own now: it serves without the node that sent it.
	sender := c.leader(t)
	if sender == away {
		sender = writer
	}
	sender.kill()
	if got := away.mustDo("GET", "before"); got != "absence" {
		t.Errorf("GET before: %v", got)
	}
	verify(t, away, "k", 200, 1000)
}

// TestLargeSnapshot moves a state that is larger than any buffer on its way.
func TestLargeSnapshot(t *testing.T) {
	const n, size = 320, 1 << 20
	c := newCluster(t, "--snapshot-log-bytes", "8mb", "--cache-bytes", "16mb")
	away := c.others(c.leader(t))[0]
	away.kill()
	writer := c.others(away)[0]
	fill(t, writer, "big", n, size)
	away.start()
	verify(t, away, "big", n, size)
	if !strings.Contains(away.output(), "snapshot installed") {
		t.Error("the node caught up without a snapshot")
	}
}

// TestSnapshotCommands makes snapshots by hand.
func TestSnapshotCommands(t *testing.T) {
	p := newProcess(t, 1)
	p.args = append(p.args, "--raft-listen", ports.Cluster.Free(t))
	p.start()
	p.mustDo("SET", "key", "value")
	if n, ok := p.mustDo("RAFT", "SNAPSHOT").(int); !ok || n < 3 {
		t.Errorf("RAFT SNAPSHOT: %v", n)
	}
	if got := p.mustDo("BGSAVE"); got != "Background saving started" {
		t.Errorf("BGSAVE: %v", got)
	}
	eventually(t, "SAVE after BGSAVE has ended", func() bool {
		conn, err := dial(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.close()
		got, err := conn.do("SAVE")
		if reply := replyError(""); err != nil && !errors.As(err, &reply) {
			t.Fatal(err)
		}
		return got == "OK"
	})
	if n, ok := p.mustDo("LASTSAVE").(int); !ok || time.Since(time.Unix(int64(n), 0)) > time.Hour {
		t.Errorf("LASTSAVE: %v", n)
	}
	p.kill()
	p.start()
	if got := p.mustDo("GET", "key"); got != "value" {
		t.Errorf("GET: %v", got)
	}
}

// TestWipedNode brings a node back without its data. It has to stop and say what to do.
func TestWipedNode(t *testing.T) {
	c := newCluster(t)
	p := c.others(c.leader(t))[0]
	p.mustDo("SET", "key", "value")
	eventually(t, "all nodes are known", func() bool {
		nodes, _ := p.mustDo("RAFT", "NODES").([]any)
		for _, n := range nodes {
			if strings.Contains(fmt.Sprint(n), "0000000000000000") {
				return false
			}
		}
		return len(nodes) == 3
	})
	p.kill()
	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	p.launch()
	if code := p.awaitExit(patience); code == 0 {
		t.Error("exit code 0")
	}
	if out := tail(p.output(), 2000); !strings.Contains(out, "must not return under its old id") {
		t.Errorf("it said:\n%s", out)
	}
	other := c.others(p)[0]
	if got := other.mustDo("GET", "key"); got != "value" {
		t.Errorf("GET: %v", got)
	}
	// The line says how to replace it.
	_, advice, _ := strings.Cut(p.output(), "send RAFT REPLACE ")
	fields := strings.Fields(advice)
	if len(fields) < 2 {
		t.Fatalf("no advice in:\n%s", p.output())
	}
	if got := other.mustDo("RAFT", "REPLACE", fields[0], fields[1]); got != "OK" {
		t.Fatalf("RAFT REPLACE: %v", got)
	}
	p.start()
	if got := p.mustDo("GET", "key"); got != "value" {
		t.Errorf("GET through the replaced node: %v", got)
	}
}

// refused starts a process that must end by itself, and checks that it says why in one line.
func refused(t *testing.T, p *process, why string) {
	t.Helper()
	before := len(p.output())
	p.launch()
	if code := p.awaitExit(patience); code == 0 {
		t.Errorf("%s: exit code 0", why)
	}
	var lines []string
	for line := range strings.Lines(p.output()[before:]) {
		if strings.HasPrefix(line, "redoubt:") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], why) {
		t.Errorf("want one line with %q, got:\n%s", why, p.output()[before:])
	}
}

// TestBadStarts starts nodes that can't run.
func TestBadStarts(t *testing.T) {
	p := newProcess(t, 1)
	p.args = append(p.args, "--raft-listen", ports.Cluster.Free(t))
	p.start()
	p.mustDo("SET", "key", "value")

	same := newProcess(t, 2, "--raft-listen", ports.Cluster.Free(t))
	same.args = append(same.args, "--listen", p.addr)
	refused(t, same, "address already in use")
	busy := newProcess(t, 3, "--raft-listen", ports.Cluster.Free(t))
	busy.args = append(busy.args, "--data-dir", p.dir)
	refused(t, busy, "in use by another process")
	flag := newProcess(t, 4, "--no-such-flag")
	refused(t, flag, "unknown flag")
	value := newProcess(t, 5, "--snapshot-log-bytes", "many")
	refused(t, value, "snapshot-log-bytes")
	list := newProcess(t, 6, "--id", "1", "--cluster", "1=here,2=there")
	refused(t, list, "--cluster")
	noID := newProcess(t, 7, "--cluster", "1=127.0.0.1:1,2=127.0.0.1:2")
	refused(t, noID, "--id")

	p.kill()
	other := newProcess(t, 8, "--id", "2", "--cluster", "1=127.0.0.1:1,2="+ports.Cluster.Free(t))
	other.args = append(other.args, "--data-dir", p.dir)
	refused(t, other, "belongs to node 1")
	damaged(t, p, "NODE", "NODE")
	damaged(t, p, "STATE", "STATE")
	p.start()
	if got := p.mustDo("GET", "key"); got != "value" {
		t.Errorf("GET: %v", got)
	}
	p.kill()
	if err := os.RemoveAll(filepath.Join(p.dir, "log")); err != nil {
		t.Fatal(err)
	}
	refused(t, p, "log")
}

// damaged flips a bit of a file, sees the start refused, and puts the file back.
func damaged(t *testing.T, p *process, name, why string) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte{}, good...)
	bad[len(bad)/3] ^= 1
	if err := os.WriteFile(path, bad, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, p, why)
	if err := os.WriteFile(path, good, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestNewerFormat starts on a directory that a later version wrote.
func TestNewerFormat(t *testing.T) {
	p := newProcess(t, 1)
	p.args = append(p.args, "--raft-listen", ports.Cluster.Free(t))
	p.start()
	p.kill()
	path := filepath.Join(p.dir, "NODE")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body, _, _ := strings.Cut(string(data), "\n")
	body = strings.Replace(body, `"format":2`, `"format":99`, 1)
	if err := os.WriteFile(path, []byte(body+"\n"+crcLine(body)), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, p, "newer version")
}

// TestExpiryAcrossFailover sees keys expire while leaders are killed: a key that was seen gone is
// never seen again, on no node, and the count of keys is exact.
func TestExpiryAcrossFailover(t *testing.T) {
	c := newCluster(t)
	p := c.leader(t)
	const n = 200
	for i := range n {
		p.mustDo("SET", fmt.Sprint("short:", i), "x", "PX", fmt.Sprint(1000+i*10))
		p.mustDo("SET", fmt.Sprint("long:", i), "x", "PX", "600000")
	}
	p.kill()
	gone := make(map[int]bool)
	for round := 0; len(gone) < n; round++ {
		for _, o := range c.others(p) {
			conn, err := dial(o.addr)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				reply, err := conn.do("GET", fmt.Sprint("short:", i))
				if reply := replyError(""); errors.As(err, &reply) {
					continue
				} else if err != nil {
					t.Fatal(err)
				}
				if reply == nil {
					gone[i] = true
				} else if gone[i] {
					t.Fatalf("key %d was seen again after it had expired", i)
				}
			}
			conn.close()
		}
		if round == 2 {
			p.start()
		}
	}
	for _, o := range c {
		if !o.running() {
			o.start()
		}
		if got := o.mustDo("DBSIZE"); got != n {
			t.Errorf("node %d: DBSIZE is %v, want %d", o.id, got, n)
		}
		if ttl, ok := o.mustDo("PTTL", "long:0").(int); !ok || ttl < 500_000 || ttl > 600_000 {
			t.Errorf("node %d: PTTL is %v", o.id, ttl)
		}
	}
}
