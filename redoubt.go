// Package redoubt is a replicated, durable store of Redis's data types: one Node is one replica, which
// takes commands, agrees with the others on their order through raft, and keeps the state in Pebble.
// Package server puts a Redis listener in front of a Node; a program may also use one directly.
//
// A write that Do has answered is on the disks of a majority of the nodes. A read that Do has answered
// (with Reads other than ReadsLocal) saw every write that was answered to anyone before it began.
package redoubt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/raftnode"
	"redoubt/resp"
	"redoubt/snapshot"
)

const (
	// bufferBytes is how much of what was applied waits to be written to the state, while as much is being
	// written. Rows of it are larger than the half of a memtable: see fsm/buffer.go.
	bufferBytes = 32 << 20
	// stateMemTable is small, so that the places where keys are inserted stay in the processor's caches:
	// with 8 to 16 MiB, pipelined SETs measured 5 to 8 % faster than with 64 MiB.
	stateMemTable = 16 << 20
	// expireEvery is how often the leader looks for keys that are due.
	expireEvery = 100 * time.Millisecond
	// sweepMax is how many keys one log entry deletes at most because they are due.
	sweepMax = "512"
	// handOver bounds the wait for another leader when a node stops.
	handOver = 2 * time.Second
)

// Node is one replica. Its methods may be called by any number of goroutines.
type Node struct {
	cfg      Config
	platform platform
	table    *command.Table
	dir      *dataDir
	log      *raftnode.Log
	state    *replica
	group    *raftnode.Group
	space    *spaceWatch
	backups  backups
	growing  growing
	logger   *zap.Logger
	broken   chan error // a failure of the log in the background
	audience atomic.Pointer[command.Audience]

	clock        func() time.Duration // monotonic
	freshAt      atomic.Int64         // on clock, see keepFresh; 0: never
	maxStaleness atomic.Int64         // ns, see Config

	proposals sync.Pool // *raftnode.Proposal
	ctx       context.Context
	closing   context.CancelFunc
	stopped   sync.WaitGroup
}

// Open starts a node on its data directory, which it makes on the first start. It returns as soon as
// the node takes commands; commands wait until there is a leader.
func Open(cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n, err := openOn(system, cfg)
	if err != nil {
		return nil, err
	}
	n.stopped.Add(6)
	go n.keepFresh()
	go n.scrub()
	go n.watchSpace()
	go n.expire()
	go n.evict()
	go n.watch()
	return n, nil
}

// openOn opens a node on a platform, without the goroutines that look after it.
func openOn(p platform, cfg Config) (*Node, error) {
	table, err := command.NewTable(cfg.Commands...)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, table: table, logger: cfg.Logger, platform: p, broken: make(chan error, 1)}
	if n.clock = p.clock; n.clock == nil {
		start := time.Now()
		n.clock = func() time.Duration { return time.Since(start) }
	}
	n.SetMaxStaleness(cfg.MaxStaleness)
	n.ctx, n.closing = context.WithCancel(context.Background())
	n.proposals.New = func() any { return raftnode.NewProposal() }
	if err := n.open(); err != nil {
		return nil, oneLine(errors.Join(err, n.closeStorage()))
	}
	return n, nil
}

// platform is what a node stands on: all that it has from outside of itself. Simulations have others.
type platform struct {
	fs     vfs.FS
	rand   func() uint64        // for names and seeds
	wall   func() int64         // ms since 1970
	clock  func() time.Duration // monotonic; nil: the system's
	listen func(addr string) (raftnode.Transport, error)
	group  func(raftnode.Config) (*raftnode.Group, error)
	still  bool // the state engine does nothing by itself
}

var system = platform{fs: vfs.Default, rand: rand.Uint64, wall: func() int64 { return time.Now().UnixMilli() },
	listen: func(addr string) (raftnode.Transport, error) {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, err
		}
		return raftnode.NewTCP(ln), nil
	}, group: raftnode.Open}

// open opens what lies on disk, from the directory's lock to the raft group.
func (n *Node) open() (err error) {
	cfg := n.cfg
	if n.dir, err = openDataDir(n.platform.fs, n.platform.rand, cfg); err != nil {
		return err
	}
	id := n.dir.id
	if len(cfg.Cluster) == 0 {
		cfg.Cluster = map[uint64]string{id.NodeID: cfg.RaftAdvertise}
	}
	logger := pebbleLogger{n.logger.Sugar()}
	if n.log, err = n.openLog(logger); err != nil {
		return err
	}
	meta, err := raftnode.InitialMembership(id.ClusterID, membersOf(cfg.Cluster))
	if err != nil {
		return err
	}
	n.state, err = openReplica(n.dir, fsm.Options{CacheBytes: cfg.CacheBytes, BlockCacheBytes: cfg.blockCacheBytes(),
		BufferBytes: bufferBytes, MemTableBytes: stateMemTable, Still: n.platform.still, Exec: n.table.Exec, Logger: logger}, meta)
	if err != nil {
		return err
	}
	if err := n.initialize(); err != nil {
		return err
	}
	return n.join(cfg)
}

// openLog opens the raft log, or makes it on the first start.
func (n *Node) openLog(logger pebbleLogger) (*raftnode.Log, error) {
	expect := raftnode.ExpectNothing
	switch {
	case n.dir.id.Initialized && n.dir.id.Format == 1:
		expect = raftnode.ExpectLog
	case n.dir.id.Initialized:
		expect = raftnode.ExpectNote
	}
	others, err := ParseCluster(n.dir.id.Cluster)
	if n.cfg.AcceptLoss && (n.dir.id.Others || err == nil && len(others) > 1) {
		return nil, errors.New("a node that has others must not accept a loss: let it be replaced instead (RAFT REPLACE)")
	}
	if n.cfg.AcceptLoss {
		n.logger.Warn("whatever the log has lost of what was acknowledged is accepted as lost")
	}
	if err := checkManifest(n.dir.fs, n.dir.path(logDir)); expect != raftnode.ExpectNothing && err != nil {
		return nil, err
	}
	return raftnode.OpenLog(raftnode.LogOptions{FS: n.dir.fs, Dir: n.dir.path(logDir),
		TailBytes: n.cfg.logTailBytes(), MemTableBytes: uint64(n.cfg.logMemTableBytes()), Logger: logger,
		Expect: expect, AcceptLoss: n.cfg.AcceptLoss, Failed: func(err error) {
			select {
			case n.broken <- err:
			default: // another one came first
			}
		}})
}

// initialize ends the first start: from then on log and state must be there.
func (n *Node) initialize() error {
	switch {
	case n.dir.id.Initialized && n.log.Empty() && !n.cfg.AcceptLoss:
		return fmt.Errorf("%s is empty or missing: the data directory is damaged", n.dir.path(logDir))
	case n.dir.id.Initialized && !n.log.Empty() && n.dir.id.Format == dirFormat:
		return nil
	}
	if n.log.Empty() {
		bootstrap := n.log.Bootstrap
		if len(n.dir.id.Members) > 0 {
			bootstrap = n.log.BootstrapEmpty
		}
		if err := bootstrap(); err != nil {
			return err
		}
	}
	n.dir.id.Initialized, n.dir.id.Format = true, dirFormat
	return n.dir.saveIdentity()
}

// join starts the node's part in the raft group.
func (n *Node) join(cfg Config) error {
	store, err := snapshot.OpenStore(n.dir.fs, n.dir.path(snapshotDir))
	if err != nil {
		return err
	}
	transport, err := n.platform.listen(cfg.RaftListen)
	if err != nil {
		return fmt.Errorf("listen for peers: %w", err)
	}
	tick := cfg.HeartbeatInterval / ticksPerHeartbeat
	n.space = newSpaceWatch(cfg)
	n.group, err = n.platform.group(raftnode.Config{
		NodeID: n.dir.id.NodeID, ClusterID: n.dir.id.ClusterID, Incarnation: n.dir.id.Incarnation,
		RaftAddr: cfg.RaftAdvertise, ClientAddr: cfg.ClientAdvertise,
		Log: n.log, Machine: n.state, Snapshots: store, IncomingDir: n.dir.path(incomingDir), FS: n.dir.fs,
		Transport: transport, Logger: n.logger.Named("raft"),
		Wall: n.platform.wall, Clock: n.platform.clock, Rand: n.platform.rand,
		TickInterval: tick, HeartbeatTicks: ticksPerHeartbeat, ElectionTicks: int(cfg.ElectionTimeout / tick),
		RequestTimeout: cfg.RequestTimeout, SnapshotLogBytes: cfg.SnapshotLogBytes,
		Space: n.space.Level, Check: n.checkPayload, Lease: cfg.Reads != ReadsLinearizable, Audience: listener{n}})
	if err != nil {
		return errors.Join(err, transport.Close())
	}
	return nil
}

// Observe has an observer told what is applied from now on, in place of the one before.
func (n *Node) Observe(o fsm.Observer) { n.state.observer.Store(&o) }

// Table returns the commands that the node knows.
func (n *Node) Table() *command.Table { return n.table }

// Do runs the calls of a request, in order and with nothing in between, and fills its replies. If any
// of them is a write, the writes become durable on a majority and the reads see the state at their
// place; otherwise nothing is logged. A write for which there is no room is answered with
// command.NoRoom or command.OutOfMemory; all of a request that is Atomic, with a command.Refusal. Errors: command.ErrNoLeader, command.ErrStale, command.ErrClosed and
// command.ErrCorrupt, with no effect; command.ErrUncertain, after which the request must not be used again.
func (n *Node) Do(req *fsm.Request) error {
	if n.group.Corrupt() != "" {
		return command.ErrCorrupt
	}
	do := n.do
	switch {
	case n.group.Space() != raftnode.SpaceOK:
		do = n.doWithoutRoom
	case n.state.Memory().MaxMemory > 0:
		do = n.doWithin
	}
	write, err := do(req)
	switch {
	case err != nil || n.group.Corrupt() == "":
		return err
	case write: // it has happened, but what this node would answer may be false
		return command.ErrUncertain
	}
	return command.ErrCorrupt
}

// do says whether the request goes through the log.
func (n *Node) do(req *fsm.Request) (write bool, err error) {
	for i := range req.Calls {
		if !req.Calls[i].Read {
			return true, n.write(req)
		}
	}
	return false, n.read(req)
}

func (n *Node) write(req *fsm.Request) error {
	p := n.proposals.Get().(*raftnode.Proposal)
	p.Payload = fsm.AppendRequest(p.Payload[:0], req)
	p.Context = req
	if len(p.Payload) >= largeWrite {
		n.space.look()
	}
	err := n.group.Propose(p)
	if errors.Is(err, raftnode.ErrUncertain) {
		return command.ErrUncertain // and p is left to whoever still holds it
	}
	p.Context = nil
	if cap(p.Payload) > keepPayload {
		p.Payload = nil
	}
	n.proposals.Put(p)
	return engineError(err)
}

// checkPayload says why writes that another node forwards can't be applied.
func (n *Node) checkPayload(payload []byte) error {
	return fsm.EachCall(payload, func(c fsm.Call) error { return n.table.CheckWrite(c.Args) })
}

// keepPayload is the largest buffer that is kept for the next proposal, in bytes.
const keepPayload = 64 << 10

func (n *Node) read(req *fsm.Request) error {
	if n.cfg.Reads == ReadsLocal || req.Local {
		return n.readLocal(req)
	}
	if err := n.group.ReadBarrier(); err != nil {
		return engineError(err)
	}
	agree, err := n.state.Read(req, n.platform.wall())
	if err == nil && agree {
		// A key is past its time by this node's clock, but not by the log's. No client may see it gone
		// before the log agrees, or another could still see it afterwards.
		if err := n.sweep(); err != nil {
			return command.ErrNoLeader // a read has no effect, so nothing is uncertain about it
		}
		_, err = n.state.Read(req, 0)
	}
	if err != nil {
		n.group.Fail(fmt.Errorf("read: %w", err))
		return command.ErrClosed
	}
	return nil
}

// sweep puts the leader's time into the log and deletes keys that are due by it.
func (n *Node) sweep() error {
	return n.write(&fsm.Request{Calls: []fsm.Call{{Args: [][]byte{[]byte("SWEEPEXPIRED"), []byte(sweepMax)}}},
		Replies: make([]resp.Reply, 1)})
}

// expire has keys deleted as they become due, while this node leads.
func (n *Node) expire() {
	defer n.stopped.Done()
	ticker := time.NewTicker(expireEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-n.ctx.Done():
			return
		}
		for n.Leading() && n.state.ExpireDue(n.platform.wall()) && n.ctx.Err() == nil {
			if n.sweep() != nil {
				break // no leader: whoever becomes it goes on
			}
		}
	}
}

// watch stops the node when its state fails in the background.
func (n *Node) watch() {
	defer n.stopped.Done()
	select {
	case err := <-n.state.failed:
		n.group.Fail(fmt.Errorf("state: %w", err))
	case err := <-n.broken:
		n.group.Fail(err)
	case <-n.ctx.Done():
	}
}

// Leading says whether this node leads, as far as it knows.
func (n *Node) Leading() bool {
	return n.group.View().Leader == n.dir.id.NodeID
}

// Snapshot makes a snapshot of this node's state and truncates its log.
func (n *Node) Snapshot(context.Context) error {
	_, err := n.group.MakeSnapshot()
	return err
}

// WaitReplicas waits until at least count other members have all that is committed now on disk, or ctx
// ends, and returns how many do.
func (n *Node) WaitReplicas(ctx context.Context, count int) (int, error) {
	goal := uint64(0)
	for {
		commit, members, err := n.group.Progress(untilEnd(ctx, n.cfg.RequestTimeout))
		if err != nil && !errors.Is(err, raftnode.ErrNoLeader) {
			return 0, engineError(err)
		}
		if goal == 0 {
			goal = commit
		}
		have := 0
		for id, p := range members {
			if id != n.dir.id.NodeID && p.Match >= goal {
				have++
			}
		}
		if have >= count {
			return have, nil
		}
		select {
		case <-time.After(n.cfg.HeartbeatInterval / 4):
		case <-ctx.Done():
			return have, nil
		}
	}
}

// HandOver gives leadership to another node if this one has it and there is one to take it.
func (n *Node) HandOver() {
	voters := 0
	for _, m := range n.group.Status().Members {
		if !m.Learner {
			voters++
		}
	}
	if voters > 1 && n.Leading() {
		if err := n.group.Transfer(0, handOver); err != nil {
			n.logger.Warn("leadership not handed over", zap.Error(err))
		}
	}
}

// Failed is closed when the node can't go on: a disk error, damage, or a refusal by its peers. Err
// says why. The process should exit; Close is safe to call.
func (n *Node) Failed() <-chan struct{} { return n.group.Failed() }

// Err returns why the node failed, or nil.
func (n *Node) Err() error { return oneLine(n.group.Err()) }

// Close stops the node and makes its state durable, so that the next start has nothing to replay. It
// does not hand over leadership.
func (n *Node) Close() error {
	n.closing()
	n.backups.close()
	err := n.group.Close()
	n.stopped.Wait()
	return errors.Join(err, n.closeStorage())
}

func (n *Node) closeStorage() error {
	var errs []error
	if n.state != nil {
		errs = append(errs, n.state.close())
	}
	if n.log != nil {
		errs = append(errs, n.log.Close())
	}
	if n.dir != nil {
		errs = append(errs, n.dir.lock.Close())
	}
	return errors.Join(errs...)
}

// engineError turns an error of the raft group into the one that Do promises.
func engineError(err error) error {
	switch {
	case errors.Is(err, raftnode.ErrNoLeader):
		return command.ErrNoLeader
	case errors.Is(err, raftnode.ErrUncertain):
		return command.ErrUncertain
	case errors.Is(err, raftnode.ErrClosed):
		return command.ErrClosed
	}
	return err
}

// pebbleLogger hands Pebble's words to zap. Pebble calls Fatalf when it can't go on, for one when an
// fsync failed: the process ends, since nothing written before may be relied on.
type pebbleLogger struct{ *zap.SugaredLogger }

var _ pebble.Logger = pebbleLogger{}

func (l pebbleLogger) Infof(format string, args ...any) { l.Debugf(format, args...) }
