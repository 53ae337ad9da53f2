package cluster_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"redoubt/test/ports"
)

// run runs a command of the program to its end, and returns what it printed.
func run(args ...string) (string, error) {
	out, err := exec.Command(binary, args...).CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(args...)
	if err != nil {
		t.Fatalf("redoubt %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// counter writes an ascending number to a key of its own, one after the other.
type counter struct {
	key   string
	acked atomic.Int64
}

func (c *counter) run(t *testing.T, p *process, stop <-chan struct{}) {
	conn, err := dial(p.addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.close()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := conn.do("SET", c.key, fmt.Sprint(c.acked.Load()+1)); err != nil {
			t.Error(err)
			return
		}
		c.acked.Add(1)
	}
}

// load is clients that write to all nodes.
func (c cluster) load(t *testing.T) (counters []*counter, stop func()) {
	var running sync.WaitGroup
	end := make(chan struct{})
	for i := range 12 {
		n := &counter{key: fmt.Sprint("counter", i)}
		counters = append(counters, n)
		running.Go(func() { n.run(t, c[i%len(c)], end) })
	}
	return counters, sync.OnceFunc(func() { close(end); running.Wait() })
}

func mark(counters []*counter) (marks []int64) {
	for _, c := range counters {
		marks = append(marks, c.acked.Load())
	}
	return marks
}

// between checks that every counter is where it was at some time between two marks.
func between(t *testing.T, p *process, counters []*counter, from, to []int64) {
	t.Helper()
	for i, c := range counters {
		var n int64
		if _, err := fmt.Sscan(fmt.Sprint(p.mustDo("GET", c.key)), &n); err != nil || n < from[i] || n > to[i]+1 {
			t.Errorf("node %d: %s is %d, it was between %d and %d", p.id, c.key, n, from[i], to[i]+1)
		}
	}
}

// restored prepares processes with the addresses of others, whose directories are restored from a backup.
func (c cluster) restored(t *testing.T, backup string) cluster {
	t.Helper()
	var out cluster
	for _, old := range c {
		old.kill()
		p := newProcess(t, old.id)
		p.addr = old.addr
		p.args = append(append([]string{}, old.args...), "--data-dir", p.dir)
		mustRun(t, append([]string{"restore", "--from", backup}, p.args...)...)
		out = append(out, p)
	}
	return out
}

// TestBackupUnderLoad backs a follower up while all nodes take writes, and makes three nodes of it.
func TestBackupUnderLoad(t *testing.T) {
	c := newCluster(t, "--snapshot-log-bytes", "1mb")
	leader := c.leader(t)
	file := filepath.Join(t.TempDir(), "backup")
	counters, stop := c.load(t)
	defer stop()
	for i := range 40 {
		leader.mustDo("SET", fmt.Sprint("large", i), strings.Repeat("x", 100<<10))
	}
	before := mark(counters)
	mustRun(t, "backup", "--addr", c.others(leader)[0].addr, "--out", file)
	after := mark(counters)
	stop()
	if out := mustRun(t, "backup", "verify", file); !strings.Contains(out, "is whole") {
		t.Error(out)
	}
	damagedRefused(t, file)
	r := c.restored(t, file)
	if out, err := run("restore", "--from", file, "--data-dir", r[0].dir); err == nil || !strings.Contains(out, "not empty") {
		t.Errorf("a directory that is not empty: %v, %s", err, out)
	}
	for _, p := range r {
		p.launch()
	}
	for _, p := range r {
		p.awaitAnswer()
		if got := fmt.Sprint(p.mustDo("GET", "large39")); len(got) != 100<<10 {
			t.Errorf("node %d: a value of %d bytes", p.id, len(got))
		}
		between(t, p, counters, before, after)
		p.mustDo("RAFT", "VERIFY")
	}
}

// TestBackupOfLaggard asks a node that has to catch up with what was acknowledged before.
func TestBackupOfLaggard(t *testing.T) {
	c := newCluster(t)
	leader := c.leader(t)
	laggard := c.others(leader)[0]
	laggard.signal(syscall.SIGSTOP)
	for i := range 200 {
		leader.mustDo("SET", "large", fmt.Sprint(i, strings.Repeat("x", 100<<10)))
	}
	leader.mustDo("SET", "last", "1")
	file := filepath.Join(t.TempDir(), "backup")
	backup := exec.Command(binary, "backup", "--addr", laggard.addr, "--out", file)
	var out bytes.Buffer
	backup.Stderr = &out
	if err := backup.Start(); err != nil {
		t.Fatal(err)
	}
	laggard.signal(syscall.SIGCONT)
	if err := backup.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	p := newProcess(t, 1)
	mustRun(t, "restore", "--from", file, "--data-dir", p.dir)
	p.start()
	if got := p.mustDo("GET", "last"); got != "1" {
		t.Errorf("the last key is %v", got)
	}
}

// damagedRefused changes and cuts a backup at random places.
func damagedRefused(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	damaged, target := filepath.Join(dir, "damaged"), filepath.Join(dir, "data")
	for i := range 10 {
		at := rand.IntN(len(data))
		bad := data[:at]
		if i%2 == 0 {
			bad = bytes.Clone(data)
			bad[at] ^= 1 << rand.IntN(8)
		}
		if err := os.WriteFile(damaged, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"backup", "verify", damaged}, {"restore", "--from", damaged, "--data-dir", target}} {
			if out, err := run(args...); err == nil || !strings.Contains(out, "at offset ") {
				t.Errorf("%s with damage at %d of %d: %v, %s", args[0], at, len(data), err, out)
			}
		}
		if _, err := os.Stat(target); err == nil {
			t.Errorf("a refused restore left its directory")
		}
	}
}

// TestBackupInterrupted: what was written of a backup whose node dies, or that is told to stop, is gone.
func TestBackupInterrupted(t *testing.T) {
	p := newProcess(t, 1)
	p.start()
	for i := range 60 {
		p.mustDo("SET", fmt.Sprint("large", i), incompressible(uint64(i), 1<<20))
	}
	dir := t.TempDir()
	for _, interrupt := range []func(backup *exec.Cmd){
		func(backup *exec.Cmd) { _ = backup.Process.Signal(syscall.SIGTERM) },
		func(*exec.Cmd) { p.kill() },
	} {
		backup := exec.Command(binary, "backup", "--addr", p.addr, "--out", "-")
		out, err := backup.StdoutPipe() // which nobody reads, so that it does not come to its end
		if err != nil {
			t.Fatal(err)
		}
		file := exec.Command(binary, "backup", "--addr", p.addr, "--out", filepath.Join(dir, "backup"))
		if err := backup.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := file.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the file is being written", func() bool {
			names, _ := os.ReadDir(dir)
			return len(names) > 0
		})
		interrupt(file)
		fileErr := file.Wait()
		if _, err := os.Stat(filepath.Join(dir, "backup")); err == nil {
			mustRun(t, "backup", "verify", filepath.Join(dir, "backup")) // it was faster
			_ = os.Remove(filepath.Join(dir, "backup"))
		} else if fileErr == nil {
			t.Error("it ended well, without a file")
		}
		if names, _ := os.ReadDir(dir); len(names) > 0 {
			t.Errorf("%s is left", names[0].Name())
		}
		_ = backup.Process.Kill()
		_ = backup.Wait()
	}
}

// incompressible is a text that can't be stored in less.
func incompressible(seed uint64, size int) string {
	rng := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return string(b)
}

// TestRecover makes a cluster of one of three nodes, the others being gone for good.
func TestRecover(t *testing.T) {
	c := newCluster(t)
	leader := c.leader(t)
	id := leader.raftField("cluster")
	counters, stop := c.load(t)
	defer stop()
	eventually(t, "writes are taken", func() bool { return counters[0].acked.Load() > 50 })
	survivor := c.others(leader)[0]
	if out, err := run("recover", "--data-dir", survivor.dir, "--lose-what-was-not-copied", id); err == nil ||
		!strings.Contains(out, "in use") {
		t.Errorf("a running node: %v, %s", err, out)
	}
	stop()
	marks := mark(counters)
	eventually(t, "the survivor has everything", func() bool {
		return survivor.raftField("applied") == leader.raftField("applied")
	})
	for _, p := range c {
		p.kill()
	}
	survivor.start() // alone, it has no majority
	if out, err := run("status", "--addr", survivor.addr); err == nil || !strings.Contains(out, "no leader") ||
		strings.Count(out, "down") != 2 {
		t.Errorf("status of a cluster without a leader: %v\n%s", err, out)
	}
	survivor.kill()
	for _, typed := range []string{"", "0000000000000001"} {
		if out, err := run("recover", "--data-dir", survivor.dir, "--lose-what-was-not-copied", typed); err == nil ||
			!strings.Contains(out, "nothing was changed") {
			t.Errorf("recover with the id %q: %v, %s", typed, err, out)
		}
	}
	out := mustRun(t, "recover", "--data-dir", survivor.dir, "--lose-what-was-not-copied", id)
	survivor.launch()
	if code := survivor.awaitExit(patience); code != 1 { // it has --cluster still
		t.Errorf("as a node of the old cluster it exits with %d", code)
	}
	survivor.args = []string{"--listen", survivor.addr, "--data-dir", survivor.dir, "--raft-listen", ports.Cluster.Free(t)}
	survivor.start()
	between(t, survivor, counters, marks, marks)
	if now := survivor.raftField("cluster"); now == id || !strings.Contains(out, now) {
		t.Errorf("the cluster was %s and is %s: %s", id, now, out)
	}
	survivor.mustDo("SET", "after", "1")
	if out := mustRun(t, "status", "--addr", survivor.addr); !strings.Contains(out, "led by node") {
		t.Error(out)
	}
}

// TestRecoverUnacknowledged keeps what the survivor has in its log and was never acknowledged.
func TestRecoverUnacknowledged(t *testing.T) {
	c := newCluster(t)
	leader := c.leader(t)
	id := leader.raftField("cluster")
	for _, p := range c.others(leader) {
		p.kill()
	}
	last := leader.raftField("last")
	conn, err := dial(leader.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	if err := conn.send("SET", "unacknowledged", "1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the write is in the log", func() bool { return leader.raftField("last") != last })
	leader.kill()
	out := mustRun(t, "recover", "--data-dir", leader.dir, "--lose-what-was-not-copied", id, "--id", "9")
	if !strings.Contains(out, "now node 9") {
		t.Error(out)
	}
	leader.args = []string{"--listen", leader.addr, "--data-dir", leader.dir, "--raft-listen", ports.Cluster.Free(t)}
	leader.start()
	if got := leader.mustDo("GET", "unacknowledged"); got != "1" {
		t.Errorf("it is %v", got)
	}
}
