package raftnode_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"redoubt/raftnode"
	"redoubt/snapshot"
)

// listMachine is a StateMachine that remembers every payload. It is durable as of its last
// checkpoint, so that a restart replays the log from there.
type listMachine struct {
	fs vfs.FS

	mu     sync.Mutex
	state  listState
	hashes map[uint64]uint64
	broken error // what Apply says from now on
}

type listState struct {
	Pos   raftnode.Position
	Meta  []byte
	Items []string
	Hash  uint64
}

const machineFile = "/state.json"

func openMachine(t testing.TB, fs vfs.FS, pos raftnode.Position, meta []byte) *listMachine {
	t.Helper()
	m := &listMachine{fs: fs, hashes: make(map[uint64]uint64)}
	err := m.load(machineFile)
	if errors.Is(err, io.EOF) || err != nil && vfsNotExist(fs, machineFile) {
		m.state = listState{Pos: pos, Meta: meta}
		err = m.save(machineFile)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.hashes[m.state.Pos.Index] = m.state.Hash
	return m
}

func vfsNotExist(fs vfs.FS, path string) bool {
	_, err := fs.Stat(path)
	return err != nil
}

func (m *listMachine) load(path string) error {
	f, err := m.fs.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewDecoder(f).Decode(&m.state)
}

// save writes the state durably, by a rename.
func (m *listMachine) save(path string) error {
	f, err := m.fs.Create(path+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(f).Encode(m.state); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close(), m.fs.Rename(path+".tmp", path)); err != nil {
		return err
	}
	d, err := m.fs.OpenDir(m.fs.PathDir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (m *listMachine) State() (raftnode.Position, []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Pos, m.state.Meta
}

func (m *listMachine) Apply(entries []raftnode.Entry, meta []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	for _, e := range entries {
		if e.Index != m.state.Pos.Index+1 {
			return fmt.Errorf("entry %d follows %d", e.Index, m.state.Pos.Index)
		}
		m.state.Pos = raftnode.Position{Index: e.Index, Term: e.Term}
		for _, p := range e.Proposals {
			m.state.Items = append(m.state.Items, string(p.Payload))
			m.state.Hash = m.state.Hash*31 + crc64.Checksum(p.Payload, crcTable)
			if p.Local != nil {
				p.Local.Context = len(m.state.Items)
			}
		}
		m.hashes[e.Index] = m.state.Hash
	}
	if meta != nil {
		m.state.Meta = meta
	}
	return nil
}

var crcTable = crc64.MakeTable(crc64.ECMA)

func (m *listMachine) Hash(index uint64) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	hash, ok := m.hashes[index]
	return hash, ok
}

// falsify gives the machine another state than the log has made.
func (m *listMachine) falsify() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Hash += 12345
	m.state.Items = append(m.state.Items, "false")
	m.hashes[m.state.Pos.Index] = m.state.Hash
}

func (m *listMachine) Checkpoint(dir string) (raftnode.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := errors.Join(m.fs.MkdirAll(dir, 0o755), m.save(dir+machineFile), m.save(machineFile))
	return m.state.Pos, err
}

func (m *listMachine) Verify(dir string) error {
	_, _, err := m.Inspect(dir)
	return err
}

func (m *listMachine) Inspect(dir string) (raftnode.Position, []byte, error) {
	other := &listMachine{fs: m.fs}
	err := other.load(dir + machineFile)
	return other.state.Pos, other.state.Meta, err
}

func (m *listMachine) Restore(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = listState{}
	err := errors.Join(m.load(dir+machineFile), m.save(machineFile))
	m.hashes[m.state.Pos.Index] = m.state.Hash
	return err
}

func (m *listMachine) items() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.state.Items)
}

// network connects the nodes of a test and does harm when told to.
type network struct {
	mu    sync.Mutex
	nodes map[uint64]*memTransport
	cut   map[[2]uint64]bool // from, to
	rnd   *rand.Rand
	drop  float64
	twice float64
}

func newNetwork(seed int64) *network {
	return &network{nodes: make(map[uint64]*memTransport), cut: make(map[[2]uint64]bool), rnd: rand.New(rand.NewSource(seed))}
}

func (n *network) isolate(id uint64, isolated bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for other := range uint64(10) {
		n.cut[[2]uint64{id, other}], n.cut[[2]uint64{other, id}] = isolated, isolated
	}
}

func (n *network) lossy(drop, twice float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop, n.twice = drop, twice
}

// to returns the other node, if a frame gets through, and how often it does.
func (n *network) to(from, to uint64) (*memTransport, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.nodes[to]
	if t == nil || n.cut[[2]uint64{from, to}] || n.rnd.Float64() < n.drop {
		return nil, 0
	}
	if n.rnd.Float64() < n.twice {
		return t, 2
	}
	return t, 1
}

type memTransport struct {
	net     *network
	id      uint64
	handler raftnode.Handler
	inbox   chan func()
	done    chan struct{}
	once    sync.Once
}

func (n *network) transport(id uint64) *memTransport {
	return &memTransport{net: n, id: id, inbox: make(chan func(), 4096), done: make(chan struct{})}
}

func (t *memTransport) Start(h raftnode.Handler) error {
	t.handler = h
	t.net.mu.Lock()
	t.net.nodes[t.id] = t
	t.net.mu.Unlock()
	go func() {
		for {
			select {
			case f := <-t.inbox:
				f()
			case <-t.done:
				return
			}
		}
	}()
	return nil
}

// SetPeers says hello to all, as a node does that opens its streams.
func (t *memTransport) SetPeers(addrs map[uint64]string) {
	select {
	case t.inbox <- func() {
		for id := range addrs {
			if other, _ := t.net.to(t.id, id); other != nil {
				t.admitted(other)
			}
		}
	}:
	default:
	}
}

// admitted plays the hello of a stream, as if every frame had one of its own.
func (t *memTransport) admitted(other *memTransport) bool {
	err := other.handler.Admit(t.handler.Hello(other.id))
	if refused := (*raftnode.RefusedError)(nil); errors.As(err, &refused) {
		t.handler.Refused(other.id, refused)
	}
	return err == nil && t.handler.Admit(other.handler.Hello(t.id)) == nil
}

func (t *memTransport) Send(to uint64, _ raftnode.Lane, frame []byte) {
	other, times := t.net.to(t.id, to)
	for range times {
		select {
		case other.inbox <- func() {
			if t.admitted(other) {
				other.handler.Receive(t.id, slices.Clone(frame))
			}
		}:
		default:
		}
	}
}

func (t *memTransport) SendSnapshot(to uint64, write func(func([]byte) error) error) error {
	other, _ := t.net.to(t.id, to)
	if other == nil || !t.admitted(other) {
		return errors.New("unreachable")
	}
	var chunks [][]byte
	if err := write(func(c []byte) error { chunks = append(chunks, slices.Clone(c)); return nil }); err != nil {
		return err
	}
	return other.handler.ReceiveSnapshot(t.id, func() ([]byte, error) {
		if len(chunks) == 0 {
			return nil, io.EOF
		}
		c := chunks[0]
		chunks = chunks[1:]
		return c, nil
	})
}

func (t *memTransport) Close() error {
	t.net.mu.Lock()
	if t.net.nodes[t.id] == t {
		delete(t.net.nodes, t.id)
	}
	t.net.mu.Unlock()
	t.once.Do(func() { close(t.done) })
	return nil
}

// cluster is a group of nodes in memory.
type cluster struct {
	t     testing.TB
	net   *network
	ids   []uint64
	fs    map[uint64]*vfs.MemFS
	inc   map[uint64]uint64
	nodes map[uint64]*node
	snap  int64
	lease bool
	// listen has the nodes hear what is broadcast.
	listen bool

	initial []raftnode.Member
	joined  map[uint64][]byte // what nodes that joined were told of the members
	joins   uint64
}

type node struct {
	*raftnode.Group
	machine *listMachine
	log     *raftnode.Log

	audience *audience
}

const (
	tick    = 4 * time.Millisecond
	timeout = 20 * time.Second // for conditions that should come much sooner
)

func newCluster(t testing.TB, size int, seed int64, configure func(*cluster)) *cluster {
	t.Helper()
	c := &cluster{t: t, net: newNetwork(seed), fs: make(map[uint64]*vfs.MemFS), inc: make(map[uint64]uint64),
		nodes: make(map[uint64]*node), snap: 1 << 30, lease: true, joined: make(map[uint64][]byte)}
	if configure != nil {
		configure(c)
	}
	for id := uint64(1); id <= uint64(size); id++ {
		c.ids = append(c.ids, id)
		c.fs[id] = newFS()
		c.inc[id] = 1000 + id
		c.initial = append(c.initial, raftnode.Member{ID: id, RaftAddr: fmt.Sprintf("raft-%d:1", id)})
	}
	for _, id := range c.ids {
		c.start(id)
	}
	t.Cleanup(func() {
		for _, id := range c.ids {
			c.stop(id)
		}
	})
	return c
}

func (c *cluster) start(id uint64) *node {
	c.t.Helper()
	n, err := c.open(id)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// open starts a node, or says why it does not start.
func (c *cluster) open(id uint64) (*node, error) {
	c.t.Helper()
	meta, err := raftnode.InitialMembership(77, c.initial)
	if err != nil {
		c.t.Fatal(err)
	}
	fs := c.fs[id]
	log, err := raftnode.OpenLog(raftnode.LogOptions{FS: fs, Dir: "/log", TailBytes: 1 << 20,
		MemTableBytes: 1 << 20, Logger: quiet{}})
	if err != nil {
		c.t.Fatal(err)
	}
	pos, bootstrap := raftnode.InitialPosition, log.Bootstrap
	if c.joined[id] != nil {
		pos, meta, bootstrap = raftnode.Position{}, c.joined[id], log.BootstrapEmpty
	}
	if log.Empty() {
		if err := bootstrap(); err != nil {
			c.t.Fatal(err)
		}
	}
	snaps, err := snapshot.OpenStore(fs, "/snapshots")
	if err != nil {
		c.t.Fatal(err)
	}
	machine := openMachine(c.t, fs, pos, meta)
	heard := &audience{heard: make(map[uint64][]string)}
	var listener raftnode.Audience
	if c.listen {
		listener = heard
	}
	g, err := raftnode.Open(raftnode.Config{
		NodeID: id, Audience: listener, ClusterID: 77, Incarnation: c.inc[id], RaftAddr: fmt.Sprintf("raft-%d:1", id),
		ClientAddr: fmt.Sprint("client-", id), Log: log, Machine: machine, Snapshots: snaps,
		IncomingDir: "/incoming", FS: fs, Transport: c.net.transport(id), Logger: zap.NewNop(),
		TickInterval: tick, HeartbeatTicks: 2, ElectionTicks: 12, RequestTimeout: 2 * time.Second,
		SnapshotLogBytes: c.snap, Lease: c.lease})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	n := &node{Group: g, machine: machine, log: log, audience: heard}
	c.nodes[id] = n
	return n, nil
}

func (c *cluster) stop(id uint64) {
	n := c.nodes[id]
	if n == nil {
		return
	}
	delete(c.nodes, id)
	if err := errors.Join(n.Close(), n.log.Close()); err != nil {
		c.t.Error(err)
	}
}

// crash stops a node as a power failure would: what was not synced is gone.
func (c *cluster) crash(id uint64) {
	crashed := c.fs[id].CrashClone(vfs.CrashCloneCfg{})
	c.stop(id)
	c.fs[id] = crashed
}

// eventually waits for a condition.
func (c *cluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(timeout); !ok(); time.Sleep(tick) {
		if time.Now().After(deadline) {
			c.t.Fatalf("never: %s", what)
		}
	}
}

// leader waits until a majority agrees on a leader, and returns it.
func (c *cluster) leader() uint64 {
	c.t.Helper()
	var id uint64
	c.eventually("a leader", func() bool {
		votes := make(map[raftnode.View]int)
		for _, n := range c.nodes {
			v := n.Status().View
			v.Role = ""
			if votes[v]++; v.Leader != 0 && votes[v] > len(c.ids)/2 {
				id = v.Leader
				return true
			}
		}
		return false
	})
	return id
}

// agree waits until all running nodes have applied the same, and returns it.
func (c *cluster) agree() []string {
	c.t.Helper()
	var items []string
	c.eventually("all nodes hold the same", func() bool {
		var pos []raftnode.Position
		for _, n := range c.nodes {
			p, _ := n.machine.State()
			pos = append(pos, p)
			items = n.machine.items()
		}
		for _, p := range pos {
			if p != pos[0] {
				return false
			}
		}
		return true
	})
	for id, n := range c.nodes {
		if !slices.Equal(n.machine.items(), items) {
			c.t.Fatalf("node %d holds something else", id)
		}
		if why := n.Corrupt(); why != "" {
			c.t.Fatalf("node %d takes itself to be corrupt: %s", id, why)
		}
	}
	return items
}

// change has the members changed through a node.
func (c *cluster) change(at uint64, op raftnode.Op, m raftnode.Member) error {
	_, err := c.nodes[at].Change(raftnode.Change{Op: op, Member: m}, timeout)
	return err
}

func (c *cluster) propose(id uint64, payload string) error {
	p := raftnode.NewProposal()
	p.Payload = []byte(payload)
	return c.nodes[id].Propose(p)
}

func newFS() *vfs.MemFS { return vfs.NewCrashableMem() }

// quiet is a pebble.Logger that keeps what goes well to itself.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
