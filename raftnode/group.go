package raftnode

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"redoubt/snapshot"
)

// Errors of a Group.
var (
	// ErrNoLeader: there was no leader for as long as the request was allowed to wait. It certainly
	// had no effect and never will.
	ErrNoLeader = errors.New("no leader: the request was not executed")
	// ErrUncertain: the proposal may have been, or may still be, applied; this node can't tell.
	ErrUncertain = errors.New("outcome unknown: the proposal may or may not be applied")
	// ErrTimeout: what was asked of the group has not happened in time; it still may.
	ErrTimeout = errors.New("it has not happened in time")
	// ErrClosed: the group is stopping. The request had no effect.
	ErrClosed = errors.New("the raft group is closed")
)

// StateMachine is what a Group drives. Apply, Restore and Close are called by one goroutine; the
// other methods may be called at any time.
type StateMachine interface {
	// State returns the position of the last applied entry and the group's own data stored with it.
	State() (pos Position, meta []byte)
	// Apply applies entries in order. All effects, the position of the last entry, and meta when it is
	// not nil, become visible and later durable as one. An error stops the node.
	Apply(entries []Entry, meta []byte) error
	// Hash returns a hash of the state as it was right after the entry with this index, which is the
	// same on every node. ok is false for an entry that is not applied yet, or was too long ago. It
	// does not wait for anything.
	Hash(index uint64) (hash uint64, ok bool)
	// Checkpoint writes the state into the new directory dir while entries go on being applied, and
	// returns the position it holds. That state is then durable in the machine itself as well.
	Checkpoint(dir string) (Position, error)
	// Verify checks a received checkpoint without using it.
	Verify(dir string) error
	// Inspect returns what State would of a checkpoint, without looking at the rest of it.
	Inspect(dir string) (pos Position, meta []byte, err error)
	// Restore replaces the state by the checkpoint in dir, for good, in one atomic step.
	Restore(dir string) error
}

// Config configures a Group.
type Config struct {
	NodeID, ClusterID, Incarnation uint64
	// RaftAddr and ClientAddr are announced to the other nodes.
	RaftAddr, ClientAddr string

	Log       *Log
	Machine   StateMachine
	Snapshots *snapshot.Store
	// IncomingDir receives snapshots; it must be on the file system of the state.
	IncomingDir string
	FS          vfs.FS
	Transport   Transport
	Logger      *zap.Logger

	// TickInterval is raft's unit of time; the next two count in it.
	TickInterval                  time.Duration
	HeartbeatTicks, ElectionTicks int
	// RequestTimeout is how long a request waits for a leader.
	RequestTimeout time.Duration
	// SnapshotLogBytes is the growth of the log after which a snapshot is made.
	SnapshotLogBytes int64
	// Lease lets the leader answer reads without a round of messages while its lease holds.
	Lease bool
	// Space says how much room this node has for data. It is asked often and must not wait. nil: enough.
	Space func() Space
	// Check refuses payloads that another node forwards and the Machine could not apply: logged, they
	// would stop every node. nil: none.
	Check func(payload []byte) error
	// Audience takes what other members broadcast. nil: nobody does, and nothing is sent either but by Broadcast.
	Audience Audience
	// Wall and Clock are the sources of time: the first stamps entries (ms since the epoch), the
	// second is monotonic and measures the lease. Defaults: the system's.
	Wall  func() int64
	Clock func() time.Duration
	// Rand is the source of what only has to be unlike: names and seeds. Default: math/rand/v2.
	Rand func() uint64
}

// Group is one node's replica of a raft group.
type Group struct {
	cfg    Config
	logger *zap.Logger
	origin uint64 // names this run of this node in proposals

	mail    mailbox
	appends fifo[*pb.Message]
	applies fifo[applyTask]
	pending pendingSet
	waiting appliedWaiters

	// Written by the loop, read by everyone.
	commit     atomic.Uint64
	space      atomic.Uint32 // a Space: see Group.Space
	leaseUntil atomic.Int64  // on cfg.Clock, in ns; 0 = no lease
	view       atomic.Pointer[View]
	checked    atomic.Uint64          // see Status
	corrupt    atomic.Pointer[string] // why this node is, nil: it is not
	hard       *pb.HardState          // appender only: the last that raft gave
	// Written by the applier, read by everyone.
	applied    atomic.Uint64
	members    atomic.Pointer[membership]
	sinceSnap  atomic.Int64 // bytes of log applied since the last snapshot
	stats      Stats
	announceAt time.Duration // loop only: when to announce again

	loop    loopState
	applier applier
	steps   *Stepper // nil where goroutines run the group

	making    sync.Mutex // held while a snapshot is made
	makingNow atomic.Bool
	makeNow   chan struct{}
	snapDone  atomic.Pointer[SnapshotResult]
	incoming  incoming
	refusals  refusals
	cast      cast

	book   addressBook
	asks   atomic.Uint64
	askers sync.Map // id -> chan answer: see ask

	stop    chan struct{}
	looping chan struct{} // closed when the loop has ended
	stopped sync.WaitGroup
	closing sync.Once
	ended   chan struct{} // closed when nothing waits for the group any more
	failed  chan struct{}
	failure atomic.Pointer[error]
}

// transferContext marks the vote requests of an election that the old leader itself asked for. It
// gave up its lease before.
const transferContext = "CampaignTransfer"

// loopState is what only the loop touches.
type loopState struct {
	rn        *raft.RawNode
	term      uint64
	lead      uint64
	role      raft.StateType
	queue     []item // proposals not yet in the log or on their way to the leader
	appending int    // MsgStorageAppend with entries that the appender has not finished

	// Of the last entry: see paced.
	lastIndex              uint64
	lastCount              int // proposals
	proposedAt, commitTook time.Duration
	gather                 gather

	notices  map[uint64]*pb.Message // by follower: see holdNotice
	nextSeq  uint64
	fwd      forwardState
	origins  map[uint64]uint64 // as leader: origin -> the sequence number expected next
	resolved uint64            // the highest term up to which pending proposals were resolved

	reads        readState
	leaseBarred  uint64 // no lease in this term, because leadership was to be transferred
	noVotesUntil time.Duration
	heartbeat    int    // ticks since the last lease round
	rounds       uint64 // of reads that raft was asked for in this term
	contradicted contradiction
	space        spaceState
	check        checkState
	change       changeState
	slow         slowState
	leadsSince   time.Duration // when this node became leader
	raiseAt      time.Duration // when the version may be proposed again
	castTicks    int           // since the last pulse: see cast.go
}

// Open starts the group. The log and the state machine must hold the same node's data.
func Open(cfg Config) (*Group, error) {
	g, err := open(cfg)
	if err != nil {
		return nil, err
	}
	g.stopped.Add(5)
	go g.runLoop()
	go g.runCaster()
	go g.runAppender()
	go g.runApplier()
	go g.runMaker()
	go g.end()
	return g, nil
}

// open makes a group of which nothing runs yet.
func open(cfg Config) (*Group, error) {
	start := time.Now()
	if cfg.Clock == nil {
		cfg.Clock = func() time.Duration { return time.Since(start) }
	}
	if cfg.Wall == nil {
		cfg.Wall = func() int64 { return time.Now().UnixMilli() }
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Uint64
	}
	g := &Group{cfg: cfg, logger: cfg.Logger, origin: cfg.Rand(), makeNow: make(chan struct{}, 1),
		stop: make(chan struct{}), looping: make(chan struct{}), ended: make(chan struct{}), failed: make(chan struct{})}
	g.mail.wake = make(chan struct{}, 1)
	g.cast.wake = make(chan struct{}, 1)
	g.cast.sources = make(map[uint64]*source)
	g.appends.init()
	g.applies.init()
	g.applier.g = g
	g.loop.nextSeq = 1
	g.loop.notices = make(map[uint64]*pb.Message)
	g.loop.change.heard = make(map[uint64]time.Duration)
	if err := g.recover(); err != nil {
		return nil, err
	}
	if why := cfg.Log.Corrupt(); why != "" {
		g.corrupt.Store(&why)
		g.logCorrupt(why)
	}
	if err := g.startRaft(); err != nil {
		return nil, err
	}
	if err := cfg.Transport.Start(g); err != nil {
		return nil, fmt.Errorf("listen for peers: %w", err)
	}
	g.updatePeers(nil)
	return g, nil
}

// recover brings the log, the state and the snapshots of a start to one consistent whole.
func (g *Group) recover() error {
	if g.cfg.Log.Empty() {
		return errors.New("the log is empty or missing")
	}
	pos, meta := g.cfg.Machine.State()
	ms, err := decodeMembership(meta)
	if err != nil {
		return err
	}
	if ms.ClusterID != g.cfg.ClusterID {
		return fmt.Errorf("the state is of cluster %016x, this node of cluster %016x", ms.ClusterID, g.cfg.ClusterID)
	}
	if g.cfg.Log.Removed() || ms.removed(g.cfg.NodeID) {
		return &RemovedError{NodeID: g.cfg.NodeID, Detail: "this was noted when it was told"}
	}
	if err := g.cfg.Log.Recover(pos); err != nil {
		return err
	}
	g.members.Store(&ms)
	g.applied.Store(pos.Index)
	g.cfg.Log.conf = ms.confState()
	g.cfg.Log.snapshot = g.latestSnapshot
	g.incoming.init(g.cfg.FS, g.cfg.IncomingDir, g.cfg.Clock)
	return g.incoming.clear()
}

func (g *Group) startRaft() (err error) {
	defer func() { // as in runLoop
		if p := recover(); p != nil {
			err = fmt.Errorf("start raft: %v", p)
		}
	}()
	rn, err := raft.NewRawNode(&raft.Config{
		ID:                        g.cfg.NodeID,
		ElectionTick:              g.cfg.ElectionTicks,
		HeartbeatTick:             g.cfg.HeartbeatTicks,
		Storage:                   g.cfg.Log,
		Applied:                   g.applied.Load(),
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             1 << 20,
		MaxCommittedSizePerReady:  8 << 20,
		MaxInflightMsgs:           256,
		MaxInflightBytes:          64 << 20,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    raftLogger{g.logger.Sugar()},
	})
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	g.loop.rn = rn
	hard := rn.BasicStatus().HardState
	g.loop.term = hard.GetTerm()
	g.commit.Store(hard.GetCommit())
	g.loop.role = raft.StateFollower
	g.publishView()
	// A node that answered a heartbeat just before it was restarted does not remember that it thereby
	// promised not to elect another leader for an election timeout: leases rest on it.
	g.loop.noVotesUntil = g.cfg.Clock() + time.Duration(g.cfg.ElectionTicks)*g.cfg.TickInterval
	ms := g.members.Load()
	if self, _ := ms.find(g.cfg.NodeID); !self.Learner && ms.voters(everyMember) == 1 {
		return rn.Campaign() // nobody else to wait for
	}
	return nil
}

// Close stops the group: nothing is proposed, sent or applied any more.
func (g *Group) Close() error {
	g.closing.Do(func() { close(g.stop) })
	if g.steps != nil {
		close(g.looping)
		g.end()
	}
	<-g.ended
	g.stopped.Wait()
	return g.cfg.Transport.Close()
}

// end waits for the group to be told to stop, or to fail, and answers whoever waits for it.
func (g *Group) end() {
	<-g.stop
	g.appends.close()
	g.applies.close()
	<-g.looping
	g.abandon()
	close(g.ended)
}

// awaitStop waits until all goroutines have ended, but not for ever.
func (g *Group) awaitStop(limit time.Duration) {
	stopped := make(chan struct{})
	go func() { g.stopped.Wait(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(limit):
	}
}

// Failed is closed when the group can't go on; Err says why. The process should end then: a replica
// that failed to write or to apply must not guess what it holds.
func (g *Group) Failed() <-chan struct{} { return g.failed }

// Err returns why the group failed, or nil.
func (g *Group) Err() error {
	if e := g.failure.Load(); e != nil {
		return *e
	}
	return nil
}

// Fail stops the group because of an error that its user met, as if it had met it itself.
func (g *Group) Fail(err error) { g.fail(err) }

func (g *Group) fail(err error) {
	if g.failure.CompareAndSwap(nil, &err) {
		g.logger.Error("replica stops", zap.Error(err))
		close(g.failed)
		g.closing.Do(func() { close(g.stop) })
	}
}

// runLoop owns the RawNode.
func (g *Group) runLoop() {
	defer g.stopped.Done()
	defer close(g.looping)
	ticker := time.NewTicker(g.cfg.TickInterval)
	defer ticker.Stop()
	company := time.NewTimer(0)
	defer company.Stop()
	g.loop.gather.timer = company
	for ok := true; ok; {
		tick := false
		select {
		case <-g.stop:
			return
		case <-company.C:
		case <-ticker.C:
			tick = true
		case <-g.mail.wake:
		}
		ok = g.turnLoop(tick)
	}
}

// turnLoop takes the mail, and a tick, and does what follows from them. It returns false when the
// group has failed.
func (g *Group) turnLoop(tick bool) (ok bool) {
	defer func() {
		// Raft panics when what it is told contradicts what it knows, which is so when this node, or
		// another, lost what it had made durable.
		if p := recover(); p != nil {
			g.fail(fmt.Errorf("raft: %v", p))
		}
	}()
	// Messages come before the tick, so that a node that was held up does not call an election
	// while the leader's heartbeats lie in its mailbox.
	g.drain()
	if tick {
		g.tick()
	}
	for {
		g.flow()
		if !g.loop.rn.HasReady() {
			return true
		}
		g.handleReady()
	}
}

// drain steps everything that arrived since the last time.
func (g *Group) drain() {
	in, now := g.mail.take(), g.cfg.Clock()
	l := &g.loop
	if in.appended > 0 {
		l.appending -= in.appended
		l.slow.appended(now, g.electionTimeout()/slowPart, g.commit.Load())
	}
	for _, m := range in.messages {
		if t := m.GetType(); (t == pb.MsgVote || t == pb.MsgPreVote) && now < l.noVotesUntil &&
			string(m.GetContext()) != transferContext {
			continue
		}
		if m.GetType() == pb.MsgTimeoutNow && g.Corrupt() != "" {
			continue // it is not to lead
		}
		if !g.plausible(m) || !g.hasRoomFor(m) {
			continue
		}
		if from := m.GetFrom(); from != g.cfg.NodeID && !raft.IsLocalMsgTarget(from) {
			l.change.heard[from] = now
		}
		// An error says that the message was ignored: from a node that is not a member, or a
		// response to what was asked in an earlier term.
		_ = l.rn.Step(m)
	}
	for _, f := range in.calls {
		f()
	}
	l.queue = slices.Grow(l.queue, len(in.proposals))
	for _, p := range in.proposals {
		p.since = now
		l.queue = append(l.queue, item{local: p, payload: p.Payload})
	}
	for _, w := range in.reads {
		w.since = now
		l.reads.queue = append(l.reads.queue, w)
	}
	if in.appliedTerm > l.resolved {
		g.resolve(in.appliedTerm)
	}
}

// tick is raft's time, and ours: timeouts, renewals and repeats.
func (g *Group) tick() {
	g.loop.rn.Tick()
	g.expire()
	g.resendForwards()
	g.tickReads()
	g.announce()
	g.tickPeers()
	g.tickLearners()
	g.tickVersion()
	g.tickSlow()
	g.tickChecks()
	g.tickSpace()
	g.tickCast()
}

// flow moves what waits as far as the node's role allows.
func (g *Group) flow() {
	switch {
	case g.loop.role == raft.StateLeader:
		if !g.proposeQueued() && g.loop.appending == 0 {
			g.sendNotices()
		}
	case g.loop.lead != raft.None && g.applied.Load() > 0: // who has just joined gets a state first
		g.forwardQueued()
	}
	g.flowReads()
}

// call runs f on the loop and waits for it. It returns false when the group is closed.
func (g *Group) call(f func()) bool {
	if g.steps != nil {
		f() // nothing else is running
		return true
	}
	done := make(chan struct{})
	g.mail.put(func(m *mail) { m.calls = append(m.calls, func() { f(); close(done) }) })
	select {
	case <-done:
		return true
	case <-g.stop:
		return false
	}
}
