package raftnode

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"redoubt/failpoint"
	"redoubt/snapshot"
)

const (
	// retainFactor times SnapshotLogBytes is how much log is kept for followers that are reachable
	// but behind, and while a snapshot is on its way to one: beyond it they get a snapshot (again).
	retainFactor = 4
	// snapshotRetry delays the report of a failed transfer, and with it the next attempt.
	snapshotRetry = time.Second
)

// SnapshotResult is the outcome of the last attempt to make a snapshot.
type SnapshotResult struct {
	Position
	At  time.Time
	Err error
}

// runMaker makes a snapshot whenever the log has grown enough.
func (g *Group) runMaker() {
	defer g.stopped.Done()
	for {
		select {
		case <-g.stop:
			return
		case <-g.makeNow:
			g.makeDue()
		}
	}
}

func (g *Group) makeDue() {
	if g.sinceSnap.Load() < g.cfg.SnapshotLogBytes {
		return // another one has just been made by hand
	}
	if _, err := g.MakeSnapshot(); err != nil {
		g.logger.Error("snapshot failed", zap.Error(err))
	}
}

// MakeSnapshot makes a snapshot of what this node has applied, and truncates its log as far as that
// and the followers allow. Entries go on being applied meanwhile.
func (g *Group) MakeSnapshot() (Position, error) {
	g.making.Lock()
	defer g.making.Unlock()
	if g.applied.Load() == 0 {
		return Position{}, errors.New("this node has yet to get its first state")
	}
	g.makingNow.Store(true)
	defer g.makingNow.Store(false)
	start := time.Now()
	grown := g.sinceSnap.Load()
	id, err := g.cfg.Snapshots.Create(func(dir string) (snapshot.ID, error) {
		pos, err := g.cfg.Machine.Checkpoint(dir)
		return snapshot.ID(pos), err
	})
	pos := Position(id)
	g.snapDone.Store(&SnapshotResult{Position: pos, At: time.Now(), Err: err})
	if err != nil {
		return pos, err
	}
	g.sinceSnap.Add(-grown)
	g.logger.Info("snapshot made", zap.Uint64("index", pos.Index), zap.Duration("took", time.Since(start)))
	upTo := pos.Index
	if !g.call(func() { upTo = g.truncationPoint(pos.Index) }) {
		return pos, ErrClosed // and the log may be closed by now
	}
	if err := g.cfg.Log.Truncate(upTo); err != nil && !errors.Is(err, raft.ErrCompacted) {
		return pos, err
	}
	return pos, nil
}

// truncationPoint returns the last index that the log may lose, at most snapped: the state holds it
// durably. Followers that are reachable keep what they still need, within limits.
func (g *Group) truncationPoint(snapped uint64) uint64 {
	// Raft looks at what it does not know to be applied when it campaigns; it may know less than the
	// machine has done.
	snapped = min(snapped, g.loop.rn.BasicStatus().Applied)
	if g.cfg.Log.Bytes() > retainFactor*g.cfg.SnapshotLogBytes {
		return snapped
	}
	if held := g.cfg.Snapshots.Held(); held != 0 { // who receives it will need what follows it
		snapped = min(snapped, held)
	}
	if g.loop.role == raft.StateLeader {
		for id, pr := range g.loop.rn.Status().Progress {
			if id != g.cfg.NodeID && pr.RecentActive && pr.Match > 0 {
				snapped = min(snapped, pr.Match)
			}
		}
	}
	return snapped
}

// latestSnapshot tells raft what could be sent to a follower whose next entry is truncated.
func (g *Group) latestSnapshot() (*pb.Snapshot, error) {
	id, ok := g.cfg.Snapshots.Latest()
	first, err := g.cfg.Log.FirstIndex()
	if !ok || err != nil || id.Index+1 < first {
		g.sinceSnap.Add(g.cfg.SnapshotLogBytes)
		g.grown(0)
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(id.Index), Term: new(id.Term),
		ConfState: g.members.Load().confState()}}, nil
}

// sendSnapshot streams the newest snapshot to the node that m is for, and tells raft how it went. The
// message itself is the header of the stream, so that it arrives after all of the state or not at all.
func (g *Group) sendSnapshot(m *pb.Message) {
	to := m.GetTo()
	start := time.Now()
	size, err := g.streamSnapshot(m)
	status := raft.SnapshotFinish
	if err != nil {
		status = raft.SnapshotFailure
		g.logger.Warn("snapshot not delivered", zap.Uint64("to", to), zap.Error(err))
		if !g.sleep(snapshotRetry) {
			return
		}
	} else {
		g.logger.Info("snapshot sent", zap.Uint64("to", to), zap.Int64("bytes", size),
			zap.Uint64("index", m.GetSnapshot().GetMetadata().GetIndex()), zap.Duration("took", time.Since(start)))
	}
	g.call(func() { g.loop.rn.ReportSnapshot(to, status) })
}

// sleep returns false when the group closes meanwhile.
func (g *Group) sleep(d time.Duration) bool {
	if g.steps != nil {
		return true // time passes between steps only
	}
	select {
	case <-time.After(d):
		return true
	case <-g.stop:
		return false
	}
}

func (g *Group) streamSnapshot(m *pb.Message) (size int64, err error) {
	if g.Corrupt() != "" {
		return 0, errors.New("this node is corrupt: its state stays here")
	}
	conf, dir, release, err := g.holdFor(m.GetTo())
	if err != nil {
		return 0, err
	}
	defer release()
	// A newer one may have been made since raft asked; it serves as well.
	m.Snapshot.Metadata = conf
	header, err := proto.Marshal(m)
	if err != nil {
		return 0, err
	}
	err = g.cfg.Transport.SendSnapshot(m.GetTo(), func(emit func([]byte) error) error {
		size, err = snapshot.Send(g.cfg.FS, dir, header, emit)
		return failpoint.SnapshotSent.After(err)
	})
	return size, err
}

// holdFor holds the newest snapshot for a member, and makes one if that is from before its time. The
// members that go with a snapshot are those of its own position.
func (g *Group) holdFor(to uint64) (meta *pb.SnapshotMetadata, dir string, release func(), err error) {
	for range 2 {
		id, dir, release, ok := g.cfg.Snapshots.Hold()
		if !ok {
			return nil, "", nil, errors.New("there is no snapshot")
		}
		_, ms, err := g.inspect(dir)
		if err != nil {
			release()
			return nil, "", nil, err
		}
		if _, member := ms.find(to); member {
			return &pb.SnapshotMetadata{Index: new(id.Index), Term: new(id.Term), ConfState: ms.confState()}, dir, release, nil
		}
		release()
		if _, err := g.MakeSnapshot(); err != nil {
			return nil, "", nil, err
		}
	}
	return nil, "", nil, fmt.Errorf("node %d is not a member", to)
}

// inspect returns the position of a checkpoint, and the members in it.
func (g *Group) inspect(dir string) (Position, membership, error) {
	pos, meta, err := g.cfg.Machine.Inspect(dir)
	if err != nil {
		return pos, membership{}, err
	}
	ms, err := decodeMembership(meta)
	if err == nil && ms.ClusterID != g.cfg.ClusterID {
		err = fmt.Errorf("it is of cluster %016x, not %016x", ms.ClusterID, g.cfg.ClusterID)
	}
	return pos, ms, err
}

// incoming is the place where one received snapshot at a time waits to be installed.
type incoming struct {
	fs  vfs.FS
	dir string

	mu      sync.Mutex
	busy    bool     // a snapshot is being received, or was stepped into raft
	ready   Position // the complete one, if any
	expires time.Duration
	clock   func() time.Duration
}

// offerTime is how long a complete snapshot waits for raft to want it. Raft refuses one silently when
// it has caught up otherwise.
const offerTime = 10 * time.Second

func (in *incoming) init(fs vfs.FS, dir string, clock func() time.Duration) {
	in.fs, in.dir, in.clock = fs, dir, clock
}

// clear removes what is left of earlier receptions.
func (in *incoming) clear() error {
	if err := in.fs.RemoveAll(in.dir); err != nil {
		return fmt.Errorf("clear %s: %w", in.dir, err)
	}
	return in.fs.MkdirAll(in.dir, 0o755)
}

func (in *incoming) path() string { return in.fs.PathJoin(in.dir, "state") }

func (in *incoming) begin() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.busy && (in.ready == (Position{}) || in.clock() < in.expires) {
		return errors.New("another snapshot is being received or installed")
	}
	if err := in.clear(); err != nil {
		return err
	}
	in.busy, in.ready = true, Position{}
	return nil
}

func (in *incoming) offer(pos Position) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ready, in.expires = pos, in.clock()+offerTime
}

func (in *incoming) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.busy, in.ready = false, Position{}
}

// claim keeps the complete snapshot at pos from being replaced while it is installed.
func (in *incoming) claim(pos Position) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ready != pos {
		return fmt.Errorf("snapshot at index %d was not received", pos.Index)
	}
	in.ready = Position{} // busy without an expiry
	return nil
}

// ReceiveSnapshot is part of Handler. It returns nil only when the state is here, whole, verified and
// durable; then raft learns of it.
func (g *Group) ReceiveSnapshot(from uint64, next func() ([]byte, error)) error {
	next = g.whileSpace(next)
	if err := g.incoming.begin(); err != nil {
		return err
	}
	m := &pb.Message{}
	start := time.Now()
	err := snapshot.Receive(g.cfg.FS, g.incoming.path(), next, func(header []byte) error {
		if proto.Unmarshal(header, m) != nil || !g.acceptable(m, from) {
			return fmt.Errorf("%w: header", snapshot.ErrCorrupt)
		}
		g.logger.Info("snapshot arriving", zap.Uint64("from", from),
			zap.Uint64("index", m.GetSnapshot().GetMetadata().GetIndex()))
		return nil
	})
	meta := m.GetSnapshot().GetMetadata()
	pos := Position{meta.GetIndex(), meta.GetTerm()}
	if err == nil {
		err = g.verify(pos, meta.GetConfState())
	}
	if err != nil {
		g.incoming.end()
		g.logger.Warn("snapshot refused", zap.Uint64("from", from), zap.Error(err))
		return err
	}
	g.stats.SnapshotsReceived.Add(1)
	g.logger.Info("snapshot received", zap.Uint64("from", from), zap.Uint64("index", pos.Index),
		zap.Duration("took", time.Since(start)))
	g.incoming.offer(pos)
	g.mail.put(func(in *mail) { in.messages = append(in.messages, m) })
	failpoint.SnapshotOffered.Hit()
	return nil
}

// verify checks what was received: it has to be what was announced.
func (g *Group) verify(want Position, conf *pb.ConfState) error {
	if err := failpoint.SnapshotVerify.Err(); err != nil {
		return err
	}
	err := g.cfg.Machine.Verify(g.incoming.path())
	if err = failpoint.SnapshotVerified.After(err); err != nil {
		return err
	}
	pos, ms, err := g.inspect(g.incoming.path())
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", snapshot.ErrCorrupt, err)
	case pos != want:
		return fmt.Errorf("%w: it holds index %d, not %d", snapshot.ErrCorrupt, pos.Index, want.Index)
	case !proto.Equal(ms.confState(), conf):
		return fmt.Errorf("%w: its members are not those that came with it", snapshot.ErrCorrupt)
	}
	return nil
}

// install replaces the state by the snapshot that raft accepted. A crash before the state machine's
// own atomic switch leaves the old state and the old log; after it, Log.Recover finds the note.
func (g *Group) install(m *pb.Message) error {
	meta := m.GetSnapshot().GetMetadata()
	pos := Position{meta.GetIndex(), meta.GetTerm()}
	if err := g.incoming.claim(pos); err != nil {
		return err
	}
	defer g.incoming.end()
	hard := &pb.HardState{}
	if m.GetTerm() != 0 {
		hard = &pb.HardState{Term: new(m.GetTerm()), Vote: new(m.GetVote()), Commit: new(m.GetCommit())}
	}
	if err := failpoint.InstallBefore.Err(); err != nil {
		return err
	}
	if err := failpoint.InstallNoted.After(g.cfg.Log.BeginInstall(hard, pos)); err != nil {
		return err
	}
	done := make(chan error, 1)
	g.applies.put(applyTask{run: func() { done <- g.restore(pos) }}) // after all that was applied before
	if g.steps != nil {
		g.steps.Apply()
	}
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("install snapshot at index %d: %w", pos.Index, err)
		}
	case <-g.stop:
		return nil // nothing is delivered any more either
	}
	if err := failpoint.InstallRestored.Err(); err != nil {
		return err
	}
	if err := failpoint.InstallReset.After(g.cfg.Log.Reset(pos)); err != nil {
		return err
	}
	if entries := m.GetEntries(); len(entries) > 0 {
		if err := g.cfg.Log.Append(nil, entries, true); err != nil {
			return err
		}
	}
	g.logger.Info("snapshot installed", zap.Uint64("index", pos.Index), zap.Uint64("term", pos.Term))
	return nil
}

// restore runs on the applier.
func (g *Group) restore(pos Position) error {
	if err := g.cfg.Machine.Restore(g.incoming.path()); err != nil {
		return err
	}
	got, meta := g.cfg.Machine.State()
	if got != pos {
		return fmt.Errorf("the state is at index %d after it was restored", got.Index)
	}
	ms, err := decodeMembership(meta)
	if err != nil {
		return err
	}
	g.setMembers(ms)
	// The snapshot skips entries, among which may be proposals of this node.
	for _, p := range g.pending.takeIf(func(p *Proposal) bool { return true }) {
		p.finish(ErrUncertain)
	}
	g.sinceSnap.Store(0)
	g.advance(pos)
	return nil
}
