package redoubt

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"redoubt/fsm"
	"redoubt/raftnode"
	"redoubt/resp"
)

// simNode is one node of a simulation: a real Node on simulated clocks, files and network.
type simNode struct {
	w     *world
	id    uint64
	disk  *vfs.MemFS
	node  *Node
	step  *raftnode.Stepper
	boots int

	joined bool // it was not there from the beginning
	gone   bool // it was removed, and has stopped for good
	paused bool // stopped by a signal: nothing runs, messages wait
	erred  bool // it met an error of its disk, and may give up
	doomed bool // it has crashed in the middle of a step: from then on nothing of it is to be seen
	fuse   int  // operations on files until then; 0: it does not burn
	after  *vfs.MemFS

	rate  float64       // of its clocks
	jump  time.Duration // by which its wall clock is wrong
	ticks float64       // of its own time that have not been handed to it

	pending []*simOp
	sweeps  []*raftnode.Proposal
}

func (n *simNode) up() bool { return n.node != nil && !n.doomed }

// clock is the node's monotonic clock.
func (n *simNode) clock() time.Duration { return time.Duration(float64(n.w.now) * n.rate) }

// wall is the node's idea of the time of day, in ms.
func (n *simNode) wall() int64 { return simEpoch + (n.clock() + n.jump).Milliseconds() }

func simDiskUsage(string) (uint64, error) { return 1 << 40, nil }

// simTimeout is how long requests wait for a leader.
const simTimeout = 700 * time.Millisecond

const simEpoch = int64(1_700_000_000_000)

// start opens the node on what its disk holds.
func (n *simNode) start() {
	n.boots++
	n.fuse, n.erred, n.doomed, n.after, n.paused = 0, false, false, nil, false
	cfg := n.config()
	p := platform{fs: errorfs.Wrap(n.disk, n), rand: n.w.rnd.Uint64, wall: n.wall, clock: n.clock,
		listen: func(string) (raftnode.Transport, error) { return &simTransport{n, n.boots}, nil },
		still:  true, group: func(cfg raftnode.Config) (g *raftnode.Group, err error) {
			g, n.step, err = raftnode.OpenStepped(cfg)
			return g, err
		}}
	if n.w.faults > 0 && n.w.rnd.IntN(3) == 0 {
		n.armCrash() // perhaps while it starts
	}
	var err error
	n.node, err = openOn(p, cfg)
	removed := (*raftnode.RemovedError)(nil)
	switch {
	case err == nil:
	case errors.As(err, &removed):
		n.leave()
		return
	case n.erred || n.doomed:
		n.node, n.disk, n.doomed = nil, cmp.Or(n.after, n.disk), false
		return
	default:
		n.w.fail("node %d does not start: %v", n.id, err)
	}
	if n.doomed {
		n.crash()
		return
	}
	n.fuse = 0
	n.w.note("start %d at %v", n.id, n.node.state.machine.Applied())
}

func (n *simNode) config() Config {
	cfg := Config{ID: n.id, DataDir: "data", Cluster: n.w.cluster, CacheBytes: 1 << 20,
		Reads: n.w.reads, DiskUsage: simDiskUsage}
	if n.joined {
		cfg.Cluster, cfg.RaftListen = nil, simAddr(n.id)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		n.w.fail("%v", err)
	}
	cfg.SnapshotLogBytes, cfg.RequestTimeout = n.w.snapshotBytes, simTimeout
	return cfg
}

// crash takes the node away; what its disk holds is decided by keep: nothing that was not synced,
// everything, or some of it.
func (n *simNode) crash() {
	if n.after == nil {
		n.after = n.crashDisk()
	}
	n.doomed = true
	n.w.note("crash %d", n.id)
	for _, op := range n.pending {
		op.unknown()
	}
	n.pending, n.sweeps = nil, nil
	_ = n.node.Close() // of no effect on what counts
	n.node, n.disk, n.after = nil, n.after, nil
	n.w.net.lose(n.id)
	for _, other := range n.w.nodes {
		if other.up() {
			other.node.group.PeerDown(n.id, io.EOF)
		}
	}
	n.w.seen.crashes++
}

// crashDisk is the disk as a power cut or a kill -9 leaves it. How many draws that takes depends on
// what Pebble has done by itself, so they come from a generator of their own.
func (n *simNode) crashDisk() *vfs.MemFS {
	how, own := n.w.rnd.IntN(3), n.w.rnd.Uint64()
	lost := n.disk.CrashClone(vfs.CrashCloneCfg{})
	if how == 0 {
		return lost
	}
	kept := n.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(own, 0))})
	if how == 1 {
		return kept // the process died, the machine did not
	}
	n.tear(lost, kept, own)
	return lost
}

// tear writes some of the blocks that were not synced into the raft log of a disk that lost them.
func (n *simNode) tear(lost, kept *vfs.MemFS, own uint64) {
	const block = 4096
	dir := "data/" + logDir
	names, _ := lost.List(dir)
	slices.Sort(names)
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		old, all := simRead(lost, dir+"/"+name), simRead(kept, dir+"/"+name)
		f, err := lost.OpenReadWrite(dir+"/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			n.w.fail("%v", err)
		}
		for at := 0; at < len(all); at += block {
			piece := all[at:min(at+block, len(all))]
			rnd := rand.New(rand.NewPCG(own, uint64(at)))
			if at+len(piece) <= len(old) && string(old[at:at+len(piece)]) == string(piece) || rnd.IntN(2) == 0 {
				continue
			}
			if _, err := f.WriteAt(piece, int64(at)); err != nil {
				n.w.fail("%v", err)
			}
		}
		_ = f.Sync()
		_ = f.Close()
	}
}

func simRead(fs vfs.FS, path string) []byte {
	f, err := fs.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, _ := io.ReadAll(f)
	return data
}

// armCrash lets the node crash in the middle of one of its next operations on files.
func (n *simNode) armCrash() { n.fuse = 1 + n.w.rnd.IntN(25) }

// MaybeError is part of errorfs.Injector: it sees the operations on files before they happen.
func (n *simNode) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || !inStep(op) || n.fuse == 0 || n.doomed {
		return nil
	}
	if n.fuse--; n.fuse > 0 {
		return nil
	}
	// A log that can't be synced ends the process; elsewhere an error is an error.
	if n.w.rnd.IntN(3) == 0 && !strings.HasSuffix(op.Path, ".log") {
		n.erred = true
		n.w.seen.errors++
		n.w.note("error of %d: %v %s", n.id, op.Kind, op.Path)
		return errSimulated
	}
	n.after = n.crashDisk()
	n.doomed = true
	n.w.seen.crashesInside++
	return nil
}

// inStep says whether an operation is part of a step, rather than one of those that Pebble does by
// itself, in an order of its own.
func inStep(op errorfs.Op) bool {
	switch path := strings.TrimPrefix(op.Path, "data"); {
	case strings.HasPrefix(path, "/"+logDir):
		return strings.HasSuffix(path, ".log") && op.Kind == errorfs.OpFileSyncData // how many writes come before varies
	case strings.HasPrefix(path, "/"+statePrefix):
		return op.Kind == errorfs.OpRename // a new state takes the place of the old one
	}
	return true
}

// String is part of errorfs.Injector.
func (n *simNode) String() string { return fmt.Sprintf("node %d", n.id) }

// reap ends a node that has crashed inside a step, and fails the run when one has given up.
func (n *simNode) reap() {
	if n.node == nil {
		return
	}
	if n.doomed {
		n.crash()
		return
	}
	removed := (*raftnode.RemovedError)(nil)
	if err := n.node.Err(); errors.As(err, &removed) {
		n.crash()
		n.leave()
		return
	} else if err != nil && n.erred {
		n.crash()
		return
	} else if err != nil {
		n.w.fail("node %d failed: %v", n.id, err)
	}
	select {
	case err := <-n.node.state.failed:
		if n.erred {
			n.crash()
			return
		}
		n.w.fail("node %d: its state failed: %v", n.id, err)
	default:
	}
}

// work does one piece of work, and says whether there was any.
func (n *simNode) work() bool {
	if !n.up() || n.paused {
		return false
	}
	steps := []func() bool{n.step.Loop, n.step.Append, n.step.Apply, n.step.Snapshot, n.step.Send}
	names := []string{"loop", "append", "apply", "snapshot", "send"}
	first := n.w.rnd.IntN(len(steps))
	for i := range steps {
		if k := (first + i) % len(steps); steps[k]() {
			n.w.note("%s %d", names[k], n.id)
			n.reap()
			n.poll()
			return true
		}
	}
	return false
}

// tick hands the node the time that has passed.
func (n *simNode) tick(passed time.Duration) {
	interval := float64(n.node.cfg.HeartbeatInterval / ticksPerHeartbeat)
	n.ticks += float64(passed) * n.rate / interval
	if n.ticks >= 1 {
		n.ticks -= float64(int(n.ticks)) // who was held up gets one tick
		n.step.Tick()
		n.reap()
	}
}

// sweep is what Node.expire does.
func (n *simNode) sweep() {
	keep := n.sweeps[:0]
	for _, p := range n.sweeps {
		if done, _ := n.step.Finished(p); !done {
			keep = append(keep, p)
		}
	}
	n.sweeps = keep
	if n.node.Leading() && len(n.sweeps) == 0 && n.node.state.ExpireDue(n.wall()) {
		n.sweeps = append(n.sweeps, n.propose(simSweep()))
	}
}

func simSweep() *fsm.Request {
	return &fsm.Request{Calls: []fsm.Call{{Args: [][]byte{[]byte("SWEEPEXPIRED"), []byte(sweepMax)}}},
		Replies: make([]resp.Reply, 1)}
}

// propose begins what Node.write does.
func (n *simNode) propose(req *fsm.Request) *raftnode.Proposal {
	p := raftnode.NewProposal()
	p.Payload, p.Context = fsm.AppendRequest(nil, req), req
	n.step.Propose(p)
	return p
}

// poll looks which operations have come to their end.
func (n *simNode) poll() {
	keep := n.pending[:0]
	for _, op := range n.pending {
		if n.doomed || !op.advance() {
			keep = append(keep, op)
		}
	}
	n.pending = keep
}
