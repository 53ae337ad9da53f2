package redoubt

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"redoubt/failpoint"
	"redoubt/fsm"
	"redoubt/raftnode"
)

// errNotExist is what file systems say of a missing file.
var errNotExist = os.ErrNotExist

// replica is the state machine as the raft group sees it: an fsm.Machine, which a snapshot from the
// leader may replace by another one.
type replica struct {
	dir  *dataDir
	opts fsm.Options // for every machine but its directory

	// swap is held by whoever needs the machine to stay for long: making a checkpoint, or replacing
	// the machine. mu guards the pointer, and readers hold it while they read.
	swap    sync.Mutex
	mu      sync.RWMutex
	machine *fsm.Machine
	name    string // of its directory

	observer atomic.Pointer[fsm.Observer] // nil: nobody

	over   chan struct{} // gets a value when the data set is above its limit
	failed chan error    // the first failure of a machine
	closed chan struct{} // ends the watch on the machines

	// The applier's buffers.
	entries []fsm.Entry
	batches []fsm.Batch
}

var _ raftnode.StateMachine = (*replica)(nil)

// openReplica opens the current state, or makes the first one with the given membership.
func openReplica(dir *dataDir, opts fsm.Options, meta []byte) (*replica, error) {
	r := &replica{dir: dir, opts: opts, over: make(chan struct{}, 1), failed: make(chan error, 1), closed: make(chan struct{})}
	name, err := dir.state()
	if err != nil {
		return nil, err
	}
	if err := dir.prune(name); err != nil {
		return nil, err
	}
	first := name == ""
	if first {
		name = firstState
	}
	if r.machine, err = r.open(name, !first); err != nil {
		return nil, err
	}
	r.name = name
	if first {
		err = r.initialize(meta)
	} else if r.machine.Applied() == (fsm.Position{}) && len(dir.id.Members) == 0 {
		err = fmt.Errorf("state in %s is empty", dir.path(name))
	}
	if err != nil {
		return nil, errors.Join(err, r.machine.Close())
	}
	return r, nil
}

// open opens a state. expect says that it was made before.
func (r *replica) open(name string, expect bool) (*fsm.Machine, error) {
	opts := r.opts
	opts.Observer = r
	if expect {
		if err := checkManifest(r.dir.fs, r.dir.path(name)); err != nil {
			return nil, err
		}
	}
	opts.FS, opts.Dir, opts.Expect = r.dir.fs, r.dir.path(name), expect
	m, err := fsm.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("open state in %s: %w", opts.Dir, err)
	}
	go r.watch(m)
	return m, nil
}

// watch passes on a failure that no call returns: of a flush or a compaction in the background.
func (r *replica) watch(m *fsm.Machine) {
	select {
	case <-m.Failed():
		select {
		case r.failed <- m.Err():
		default: // another one came first
		}
	case <-r.closed:
	}
}

// initialize gives the state its initial position, durably, and its name. That of a node that joins a
// cluster has no position until it gets a snapshot.
func (r *replica) initialize(meta []byte) error {
	initial := []fsm.Entry{{Position: fsm.Position(raftnode.InitialPosition)}}
	if len(r.dir.id.Members) > 0 {
		initial = nil
	}
	if err := r.machine.Apply(initial, meta); err != nil {
		return err
	}
	if err := r.machine.Flush(); err != nil {
		return err
	}
	return r.dir.write(stateFile, []byte(r.name))
}

// State is part of raftnode.StateMachine.
func (r *replica) State() (raftnode.Position, []byte) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.machine.Applied() == (fsm.Position{}) { // this node has joined, and got nothing yet
		return raftnode.Position{}, r.dir.id.Members
	}
	return raftnode.Position(r.machine.Applied()), r.machine.Meta()
}

// Apply is part of raftnode.StateMachine.
func (r *replica) Apply(entries []raftnode.Entry, meta []byte) error {
	r.entries, r.batches = r.entries[:0], r.batches[:0]
	n := 0
	for _, e := range entries {
		n += len(e.Proposals)
	}
	if cap(r.batches) < n {
		r.batches = make([]fsm.Batch, 0, 2*n)
	}
	for _, e := range entries {
		first := len(r.batches)
		for _, p := range e.Proposals {
			b := fsm.Batch{Payload: p.Payload}
			if p.Local != nil {
				b.Local = p.Local.Context.(*fsm.Request)
			}
			r.batches = append(r.batches, b)
		}
		r.entries = append(r.entries, fsm.Entry{Position: fsm.Position{Index: e.Index, Term: e.Term},
			Time: e.Time, Seed: e.Seed, Batches: r.batches[first:len(r.batches):len(r.batches)]})
	}
	if meta != nil {
		if err := r.dir.noteOthers(meta); err != nil {
			return err
		}
	}
	err := r.machine.Apply(r.entries, meta) // only Restore replaces it, on this same goroutine
	clear(r.entries)
	clear(r.batches)
	if m := r.machine.Memory(); m.Over() {
		select {
		case r.over <- struct{}{}:
		default:
		}
	}
	return err
}

// Hash is part of raftnode.StateMachine. It does not wait while the machine is being replaced: raft's
// own loop asks.
func (r *replica) Hash(index uint64) (uint64, bool) {
	if !r.mu.TryRLock() {
		return 0, false
	}
	defer r.mu.RUnlock()
	return r.machine.Hash(index)
}

// Read runs read calls on what has been applied here: see fsm.Machine.Read.
func (r *replica) Read(req *fsm.Request, now int64) (agree bool, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.machine.Read(req, now)
}

// ExpireDue says whether there are keys to delete at now.
func (r *replica) ExpireDue(now int64) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.machine.ExpireDue(now)
}

// Memory says how large the data set is, and its limit.
func (r *replica) Memory() fsm.Memory {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.machine.Memory()
}

// Settings returns those of the cluster.
func (r *replica) Settings() fsm.Settings {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.machine.Settings()
}

// SetClock tells the time by which uses of keys are noted.
func (r *replica) SetClock(now int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	r.machine.SetClock(now)
}

// Victims chooses keys to evict.
func (r *replica) Victims(hand *fsm.Hand, random uint64, wanted int64, limit int) ([]fsm.Victim, error) {
	r.mu.RLock()
	m := r.machine
	r.mu.RUnlock()
	return m.Victims(hand, random, wanted, limit)
}

// Check compares all rows with their sums: see fsm.Machine.Check.
func (r *replica) Check(pause func() error) (fsm.Position, error) {
	r.mu.RLock()
	m := r.machine
	r.mu.RUnlock()
	return m.Check(pause)
}

// Durable returns the position up to which the state survives a crash by itself; zero when it can't be
// read, which the next flush will complain about.
func (r *replica) Durable() fsm.Position {
	r.mu.RLock()
	defer r.mu.RUnlock()
	pos, err := r.machine.Durable()
	if err != nil {
		return fsm.Position{}
	}
	return pos
}

// Stats describes the state.
func (r *replica) Stats() fsm.Stats {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.machine.Stats()
}

// Checkpoint is part of raftnode.StateMachine.
func (r *replica) Checkpoint(dir string) (raftnode.Position, error) {
	r.swap.Lock()
	defer r.swap.Unlock()
	if err := r.machine.Checkpoint(dir); err != nil {
		return raftnode.Position{}, fmt.Errorf("checkpoint: %w", err)
	}
	pos, _, err := fsm.Inspect(r.dir.fs, dir)
	return raftnode.Position(pos), err
}

// Verify is part of raftnode.StateMachine.
func (r *replica) Verify(dir string) error { return fsm.Verify(r.dir.fs, dir) }

// Inspect is part of raftnode.StateMachine.
func (r *replica) Inspect(dir string) (raftnode.Position, []byte, error) {
	pos, meta, err := fsm.Inspect(r.dir.fs, dir)
	return raftnode.Position(pos), meta, err
}

// Restore is part of raftnode.StateMachine. The atomic step is the replacement of the STATE file: a
// crash before it leaves the old state current, and a directory that the next start removes.
func (r *replica) Restore(dir string) error {
	r.swap.Lock()
	defer r.swap.Unlock()
	name, err := nextState(r.name)
	if err != nil {
		return err
	}
	if err := failpoint.RestoreBefore.Err(); err != nil {
		return err
	}
	if err := failpoint.RestoreRenamed.After(r.dir.fs.Rename(dir, r.dir.path(name))); err != nil {
		return err
	}
	if err := r.dir.sync(); err != nil {
		return err
	}
	if err := failpoint.RestoreSwitched.After(r.dir.write(stateFile, []byte(name))); err != nil {
		return err
	}
	r.machine.Interrupt()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.machine.Close(); err != nil {
		return err
	}
	m, err := r.open(name, true)
	if err = failpoint.RestoreOpened.After(err); err != nil {
		return err // readers go on to meet the old machine, which says that it is closed
	}
	old := r.name
	r.machine, r.name = m, name
	r.Skipped()
	return r.dir.fs.RemoveAll(r.dir.path(old))
}

// nextState names the directory of the state that takes the place of another.
func nextState(name string) (string, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(name, statePrefix), 10, 64)
	if err != nil {
		return "", fmt.Errorf("state directory %q: %w", name, err)
	}
	return statePrefix + strconv.FormatUint(n+1, 10), nil
}

func (r *replica) close() error {
	close(r.closed)
	r.swap.Lock()
	defer r.swap.Unlock()
	r.machine.Interrupt()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Close()
}

// Wants is part of fsm.Observer: what the node's own observer wants.
func (r *replica) Wants() fsm.Wants {
	if o := r.observer.Load(); o != nil {
		return (*o).Wants()
	}
	return fsm.Wants{}
}

// Applied is part of fsm.Observer.
func (r *replica) Applied(e *fsm.Effects) {
	if o := r.observer.Load(); o != nil {
		(*o).Applied(e)
	}
}

// Skipped is part of fsm.Observer.
func (r *replica) Skipped() {
	if o := r.observer.Load(); o != nil {
		(*o).Skipped()
	}
}
