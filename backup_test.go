package redoubt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/resp"
	"redoubt/snapshot"
)

func (c *trio) raft(node int, words ...string) resp.Reply {
	args := [][]byte{[]byte("RAFT")}
	for _, w := range words {
		args = append(args, []byte(w))
	}
	return c.nodes[node].Raft(context.Background(), args)
}

// begin begins a backup and returns its handle and size.
func (c *trio) begin(node int) (handle string, size int64) {
	c.t.Helper()
	reply := c.raft(node, "BACKUP", "BEGIN")
	if reply.IsError() {
		c.t.Fatal(reply.Text)
	}
	return reply.Elems[1].Text, reply.Elems[3].Int
}

// rest reads a backup from an offset to its end.
func (c *trio) rest(node int, handle string, from int64) []byte {
	c.t.Helper()
	var data []byte
	for {
		reply := c.raft(node, "BACKUP", "READ", handle, fmt.Sprint(from+int64(len(data))))
		if reply.IsError() {
			c.t.Fatal(reply.Text)
		}
		if len(reply.Bytes) == 0 {
			return data
		}
		data = append(data, reply.Bytes...)
	}
}

// fill writes keys with values that don't compress well.
func (c *trio) fill(round, keys int) {
	c.t.Helper()
	rng := rand.New(rand.NewPCG(uint64(round), 1))
	value := make([]byte, 20<<10)
	for k := range keys {
		for i := range value {
			value[i] = byte(rng.Uint32())
		}
		if got := c.do(0, "SET", fmt.Sprint("key", k), fmt.Sprint(round, " ", string(value))); got != "OK" {
			c.t.Fatal(got)
		}
	}
}

func (c *trio) backupDirs(node int) int {
	names, _ := os.ReadDir(filepath.Join(c.nodes[node].cfg.DataDir, backupDir))
	return len(names)
}

// TestBackup reads a backup from a follower while all it holds is overwritten, flushed and snapshotted
// away, and makes a cluster of three of it.
func TestBackup(t *testing.T) {
	c := startTrio(t)
	follower := (c.leader() + 1) % 3
	c.fill(1, 100)
	if got := c.do(0, "SET", "soon", "1", "PX", "3600000"); got != "OK" {
		t.Fatal(got)
	}
	handle, size := c.begin(follower)
	first := c.raft(follower, "BACKUP", "READ", handle, "0").Bytes
	c.fill(2, 100)
	c.do(0, "DEL", "soon")
	for range 2 {
		if reply := c.raft(follower, "SNAPSHOT"); reply.IsError() {
			t.Fatal(reply.Text)
		}
	}
	data := append(bytes.Clone(first), c.rest(follower, handle, int64(len(first)))...)
	if int64(len(data)) != size {
		t.Fatalf("%d bytes, %d were promised", len(data), size)
	}
	c.eventually("the backup's files are gone", func() bool { return c.backupDirs(follower) == 0 })
	h, err := CheckBackup(bytes.NewReader(data))
	if err != nil || h.NodeID != uint64(follower+1) || h.ClusterID != c.nodes[0].dir.id.ClusterID {
		t.Fatalf("header %+v, %v", h, err)
	}
	for i := range c.nodes {
		c.stop(i)
	}
	r := restoreTrio(t, c, data)
	r.eventually("the restored cluster takes a write", func() bool { return r.do(0, "SET", "new", "1") == "OK" })
	for node := range r.nodes {
		if got := r.do(node, "GET", "key99"); !strings.HasPrefix(got, "1 ") {
			t.Errorf("node %d has %.10q", node+1, got)
		}
	}
	if ttl := r.do(1, "PTTL", "soon"); len(ttl) < 6 {
		t.Errorf("a key with an hour to live has %s ms", ttl)
	}
	if got := r.nodes[0].Status().ClusterID; got == h.ClusterID || got != r.nodes[2].Status().ClusterID {
		t.Errorf("the clusters' ids are %x and %x, the old one is %x", got, r.nodes[2].Status().ClusterID, h.ClusterID)
	}
}

// restoreTrio makes new nodes with the configurations of old ones.
func restoreTrio(t *testing.T, old *trio, data []byte) *trio {
	t.Helper()
	r := &trio{t: t}
	for i := range r.nodes {
		cfg := old.nodes[i].cfg
		cfg.DataDir = filepath.Join(t.TempDir(), "new")
		if _, _, err := Restore(cfg, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		n, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		r.nodes[i] = n
		t.Cleanup(func() { r.stop(i) })
	}
	return r
}

// TestBackupRefusals: backups that are read out of order, too many, or given up.
func TestBackupRefusals(t *testing.T) {
	c := startTrio(t)
	handle, _ := c.begin(0)
	for _, wrong := range [][]string{
		{"READ", handle, "1"}, {"READ", handle, "-1"}, {"READ", handle, "x"}, {"READ", "none", "0"}, {"READ", handle},
		{"END", "none"}, {"END"}, {"BEGIN", "x"}, {"READ"}, {"x"},
	} {
		if reply := c.raft(0, append([]string{"BACKUP"}, wrong...)...); !reply.IsError() {
			t.Errorf("%q is answered with %+v", wrong, reply)
		}
	}
	for range backupsMax - 1 {
		c.begin(0)
	}
	if reply := c.raft(0, "BACKUP", "BEGIN"); !reply.IsError() {
		t.Error("one backup too many was begun")
	}
	if reply := c.raft(0, "BACKUP", "END", handle); reply.IsError() {
		t.Error(reply.Text)
	}
	if reply := c.raft(0, "BACKUP", "READ", handle, "0"); !reply.IsError() {
		t.Error("a backup that has ended is read")
	}
	c.eventually("there is room for another", func() bool { return !c.raft(0, "BACKUP", "BEGIN").IsError() })
	c.nodes[0].backups.mu.Lock()
	for _, b := range c.nodes[0].backups.open {
		b.idle.Reset(0) // nobody reads
	}
	c.nodes[0].backups.mu.Unlock()
	c.eventually("backups that nobody reads end", func() bool { return c.backupDirs(0) == 0 })
	c.begin(0)
	c.stop(0)
	if n := c.backupDirs(0); n != 0 {
		t.Errorf("%d backups outlive their node", n)
	}
}

// TestRestoreRefusals: damaged backups leave nothing, and directories with something in them are kept.
func TestRestoreRefusals(t *testing.T) {
	c := startTrio(t)
	c.fill(1, 20)
	handle, _ := c.begin(1)
	data := c.rest(1, handle, 0)
	root := t.TempDir()
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 40 {
		at := rng.IntN(len(data))
		damaged := data[:at]
		if i%2 == 0 {
			damaged = bytes.Clone(data)
			damaged[at] ^= 1 << rng.IntN(8)
		}
		dir := filepath.Join(root, "new")
		if i%4 < 2 {
			dir = filepath.Join(root, "empty")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := Restore(Config{DataDir: dir}, bytes.NewReader(damaged))
		if !errors.Is(err, snapshot.ErrCorrupt) || !strings.Contains(err.Error(), "at offset ") {
			t.Errorf("damaged at %d of %d: %v", at, len(data), err)
		}
		if names, err := os.ReadDir(dir); len(names) > 0 || i%4 >= 2 && err == nil {
			t.Errorf("damaged at %d of %d: %v was left", at, len(data), names)
		}
	}
	kept := filepath.Join(root, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Restore(Config{DataDir: root}, bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a directory that is not empty: %v", err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

// TestRecover makes a cluster of the directory of one node out of three.
func TestRecover(t *testing.T) {
	c := startTrio(t)
	c.fill(1, 50)
	if reply := c.raft(2, "SNAPSHOT"); reply.IsError() {
		t.Fatal(reply.Text)
	}
	c.fill(2, 50)
	cfg := c.nodes[2].cfg
	if _, err := OpenSurvivor(cfg); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the directory of a running node: %v", err)
	}
	c.stop(0)
	c.stop(1)
	last := c.nodes[2].Status()
	c.stop(2)
	s, err := OpenSurvivor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.Last.Index < last.Commit || s.ClusterID != last.ClusterID || s.NodeID != 3 || len(s.Members) != 3 {
		t.Errorf("found %+v, the node was at %+v", s, last)
	}
	id, err := s.Recover(3)
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSurvivor(cfg); err == nil || !strings.Contains(err.Error(), beforeRecovery) {
		t.Errorf("a second recovery: %v", err)
	}
	if _, err := Open(cfg); err == nil {
		t.Error("it starts as a node of the old cluster")
	}
	cfg.Cluster = nil
	r := &trio{t: t}
	if r.nodes[2], err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.stop(2) })
	r.eventually("it takes writes", func() bool { return r.do(2, "SET", "new", "1") == "OK" })
	for k := range 50 {
		if got := r.do(2, "GET", fmt.Sprint("key", k)); !strings.HasPrefix(got, "2 ") {
			t.Errorf("key%d is %.10q", k, got)
		}
	}
	if st := r.nodes[2].Status(); st.ClusterID != id || id == last.ClusterID || len(st.Members) != 1 {
		t.Errorf("cluster %x with %d members, want %x with 1", st.ClusterID, len(st.Members), id)
	}
	if _, err := r.nodes[2].state.Check(func() error { return nil }); err != nil {
		t.Error(err)
	}
}

// TestRecoverUndone puts back what Recover left, and the old cluster goes on.
func TestRecoverUndone(t *testing.T) {
	c := startTrio(t)
	c.fill(1, 20)
	cfg := c.nodes[2].cfg
	c.stop(2)
	s, err := OpenSurvivor(cfg)
	if err == nil {
		_, err = s.Recover(9)
	}
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(cfg.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if n.Name() != beforeRecovery {
			err = errors.Join(err, os.RemoveAll(filepath.Join(cfg.DataDir, n.Name())))
		}
	}
	aside := filepath.Join(cfg.DataDir, beforeRecovery)
	names, _ = os.ReadDir(aside)
	for _, n := range names {
		err = errors.Join(err, os.Rename(filepath.Join(aside, n.Name()), filepath.Join(cfg.DataDir, n.Name())))
	}
	if err != nil {
		t.Fatal(err)
	}
	if c.nodes[2], err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	c.gone[2] = false
	c.stop(0) // so that the third one is needed
	c.eventually("the old cluster goes on", func() bool { return c.do(2, "SET", "after", "1") == "OK" })
	if got := c.do(1, "GET", "key19"); !strings.HasPrefix(got, "1 ") {
		t.Errorf("key19 is %.10q", got)
	}
}
