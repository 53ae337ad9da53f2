package cluster_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/test/ports"
)

// damageLog flips a bit in the last of what a stopped node wrote to its log, and returns the file's name.
func damageLog(t *testing.T, p *process) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(p.dir, "log", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no log: %v", err)
	}
	path := logs[len(logs)-1]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(data, "\x00"))
	data[end-20] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// advice starts a node that has lost its data, and returns the command that it says would let it in.
func advice(t *testing.T, p *process) []string {
	t.Helper()
	p.launch()
	if code := p.awaitExit(patience); code == 0 {
		t.Error("exit code 0")
	}
	_, text, found := strings.Cut(p.output(), "send RAFT REPLACE ")
	fields := strings.Fields(text)
	if !found || len(fields) < 2 {
		t.Fatalf("no advice in:\n%s", p.output())
	}
	return append([]string{"RAFT", "REPLACE"}, fields[:2]...)
}

// TestDamagedNode damages the end of a killed node's log, which it had acknowledged: the node must not
// come back by itself. The recovery is the one that the README describes.
func TestDamagedNode(t *testing.T) {
	c := newCluster(t)
	p := c.others(c.leader(t))[0]
	for i := range 50 {
		p.mustDo("SET", fmt.Sprint("key", i), fmt.Sprint("value", i))
	}
	p.kill()
	path := damageLog(t, p)
	refused(t, p, path+" is damaged at offset ")
	c.others(p)[0].mustDo("SET", "meanwhile", "yes")

	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	if got := c.others(p)[0].mustDo(advice(t, p)...); got != "OK" {
		t.Fatalf("RAFT REPLACE: %v", got)
	}
	p.start()
	for i := range 50 {
		if got := p.mustDo("GET", fmt.Sprint("key", i)); got != fmt.Sprint("value", i) {
			t.Errorf("key%d: %v", i, got)
		}
	}
	// It counts again, once it has its vote back: with another one gone, the two that are left are a majority.
	p.awaitVoters(1, 2, 3)
	c.others(p)[0].kill()
	if got := p.mustDo("GET", "meanwhile"); got != "yes" {
		t.Errorf("GET: %v", got)
	}
}

// TestAcceptLoss damages the log of a node that is alone. It goes on only if it is told to.
func TestAcceptLoss(t *testing.T) {
	p := newProcess(t, 1, "--raft-listen", ports.Cluster.Free(t))
	p.start()
	for i := range 50 {
		p.mustDo("SET", fmt.Sprint("key", i), fmt.Sprint("value", i))
	}
	p.kill()
	path := damageLog(t, p)
	refused(t, p, path+" is damaged at offset ")
	refused(t, p, path+" is damaged at offset ") // the first refusal has changed nothing
	args := p.args
	p.args = append(p.args[:len(args):len(args)], "--accept-loss")
	p.start()
	if got := p.mustDo("GET", "key48"); got != "value48" {
		t.Errorf("before the damage: %v", got)
	}
	if got := p.mustDo("GET", "key49"); got != nil {
		t.Errorf("after the damage: %v", got)
	}
	p.mustDo("SET", "later", "x")
	p.mustDo("RAFT", "SNAPSHOT")
	p.kill()
	p.args = args
	p.start() // it was told once; nothing is amiss any more
	if got := p.mustDo("GET", "later"); got != "x" {
		t.Errorf("GET: %v", got)
	}
	p.kill()

	if err := os.RemoveAll(filepath.Join(p.dir, "log")); err != nil {
		t.Fatal(err)
	}
	refused(t, p, filepath.Join(p.dir, "log"))
	p.args = append(p.args[:len(args):len(args)], "--accept-loss")
	p.start()
	if got := p.mustDo("GET", "later"); got != "x" {
		t.Errorf("what the state holds: %v", got)
	}
	p.mustDo("SET", "last", "y")
	p.kill()
	p.args = args
	p.start()
	if got := p.mustDo("GET", "last"); got != "y" {
		t.Errorf("GET: %v", got)
	}
}

// TestAcceptLossAmongOthers tells a node that has others to accept a loss.
func TestAcceptLossAmongOthers(t *testing.T) {
	p := newProcess(t, 1, "--accept-loss", "--id", "1")
	p.args = append(p.args, "--cluster", "1="+ports.Cluster.Free(t)+",2=127.0.0.1:1,3=127.0.0.1:2")
	refused(t, p, "must not accept a loss")
}
