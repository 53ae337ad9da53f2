package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"redoubt/failpoint"
)

// Keys of the log engine: group id, kind, and for some an 8-byte big-endian number.
const (
	keyHardState = 'h'
	keyTruncated = 't' // index and term of the entry before the first
	keyInstall   = 'i' // index and term of a snapshot that is being installed
	keyCorrupt   = 'c' // why the state was found to be wrong
	keyRemoved   = 'r' // this node was removed from the group
	keyCommit    = 'm' // an index that is known to be committed
	keyPeer      = 'p' // node id -> the incarnation it had at the first contact
	keyEntry     = 'z' // index -> term, type, data
)

// logGroup is the id of the only group so far; it leads every key, so that a node with several
// groups can keep them in one engine and pay one sync for all.
const logGroup = 1

// Position is a place in the log.
type Position struct {
	Index, Term uint64
}

// Log is the durable raft log of one group: raft.Storage on a Pebble engine of its own, in front of
// it the newest entries in memory, from which followers and the applier are served. The appender
// writes it, the loop reads it; both may do so at the same time.
type Log struct {
	db       *pebble.DB
	tailMax  int64
	snapshot func() (*pb.Snapshot, error)
	acked    *acked
	synced   *walPlace

	acceptLoss bool
	conf       *pb.ConfState

	mu        sync.Mutex
	hard      *pb.HardState
	truncated Position // the entry before the first one kept
	last      uint64   // equals truncated.Index when the log is empty
	tail      []*pb.Entry
	tailBytes int64
	bytes     int64 // of all entries kept, estimated for those from before the start
	peers     map[uint64]uint64
	corrupt   string
	removed   bool
	closed    bool
}

var _ raft.Storage = (*Log)(nil)

// LogOptions configure a Log.
type LogOptions struct {
	FS  vfs.FS
	Dir string
	// TailBytes bounds the entries kept in memory, in bytes of data.
	TailBytes int64
	// MemTableBytes should exceed the log that is kept, so that truncated entries are mostly dropped
	// in memory and never reach a table.
	MemTableBytes uint64
	Logger        pebble.Logger
	// Expect says that the log was made before, so that it is lost when it is not there.
	Expect Expect
	// AcceptLoss lets a log be opened that is known to have lost what it had acknowledged.
	AcceptLoss bool
	// Failed hears of damage and failures that Pebble meets in the background, and may be nil.
	Failed func(error)
}

// Expect says what a log's directory must hold.
type Expect int

// What a log's directory must hold.
const (
	ExpectNothing Expect = iota // a new log is made if there is none
	ExpectLog                   // a log, if only one of the time before acknowledgements were noted
	ExpectNote                  // a log with a note of what was acknowledged
)

func (l *Log) load() error {
	if v, err := l.get(logKey(keyHardState)); err != nil {
		return err
	} else if v != nil {
		r := reader{b: v}
		l.hard = &pb.HardState{Term: new(r.uint64()), Vote: new(r.uint64()), Commit: new(r.uint64())}
		if r.bad {
			return errors.New("malformed hard state")
		}
	}
	why, err := l.get(logKey(keyCorrupt))
	if err != nil {
		return err
	}
	l.corrupt = string(why)
	removed, err := l.get(logKey(keyRemoved))
	if err != nil {
		return err
	}
	l.removed = removed != nil
	pos, err := l.position(keyTruncated)
	if err != nil {
		return err
	}
	l.truncated, l.last = pos, pos.Index
	it, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: entryKey(pos.Index + 1), UpperBound: logKey(keyEntry + 1)})
	if err != nil {
		return err
	}
	if it.Last() {
		l.last = binary.BigEndian.Uint64(it.Key()[2:])
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	if err := l.loadCommit(); err != nil {
		return err
	}
	size, err := l.db.EstimateDiskUsage(logKey(keyEntry), logKey(keyEntry+1))
	l.bytes = int64(size)
	return errors.Join(err, l.loadPeers())
}

func (l *Log) loadCommit() error {
	v, err := l.get(logKey(keyCommit))
	if err != nil || v == nil {
		return err
	}
	r := reader{b: v}
	if commit := min(r.uint64(), l.last); commit > l.hard.GetCommit() {
		l.hard.Commit = new(commit)
	}
	if r.bad {
		return errors.New("malformed commit index")
	}
	return nil
}

// NoteCommit notes durably that index is committed. It may be called at the same time as anything else.
func (l *Log) NoteCommit(index uint64) error {
	if err := l.db.Set(logKey(keyCommit), binary.BigEndian.AppendUint64(nil, index), pebble.Sync); err != nil {
		return fmt.Errorf("note that log entry %d is committed: %w", index, err)
	}
	return nil
}

func (l *Log) loadPeers() error {
	l.peers = make(map[uint64]uint64)
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: logKey(keyPeer), UpperBound: logKey(keyPeer + 1)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		id, incarnation := reader{b: it.Key()[2:]}, reader{b: it.Value()}
		l.peers[id.uint64()] = incarnation.uint64()
		if id.bad || incarnation.bad {
			err = errors.New("malformed incarnation of a peer")
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// Empty says whether the log was never bootstrapped.
func (l *Log) Empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last == 0 && raft.IsEmptyHardState(l.hard)
}

// Bootstrap writes the log that every node of a new cluster starts with.
func (l *Log) Bootstrap() error { return l.Reset(InitialPosition) }

// BootstrapEmpty writes the log of a node that joins a cluster. It lies before that of all others, so
// that the node gets a snapshot first.
func (l *Log) BootstrapEmpty() error {
	return l.Append(&pb.HardState{Term: new(InitialPosition.Term), Vote: new(uint64(0)), Commit: new(uint64(0))}, nil, true)
}

// Append makes entries and, when it is not empty, the hard state durable. Entries replace those of
// the same and of later indexes. When sync is false the write may be lost in a crash.
func (l *Log) Append(hard *pb.HardState, entries []*pb.Entry, sync bool) error {
	b := l.db.NewBatch()
	defer b.Close()
	last, size := l.lastIndex(), int64(0)
	for _, e := range entries {
		op := b.SetDeferred(entryKeyLen, entryValueLen(e))
		putEntryKey(op.Key, e.GetIndex())
		putEntryValue(op.Value, e)
		if err := op.Finish(); err != nil {
			return err
		}
		size += entryBytes(e)
	}
	if n := len(entries); n > 0 {
		if end := entries[n-1].GetIndex(); end < last {
			if err := b.DeleteRange(entryKey(end+1), entryKey(last+1), nil); err != nil {
				return err
			}
		}
	}
	if !raft.IsEmptyHardState(hard) {
		if err := b.Set(logKey(keyHardState), encodeHardState(hard), nil); err != nil {
			return err
		}
	}
	if err := failpoint.LogAppendBefore.Err(); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	end := l.acked.last()
	if n := len(entries); n > 0 {
		end = Position{entries[n-1].GetIndex(), entries[n-1].GetTerm()}
	}
	if err := l.retreat(end); err != nil {
		return err
	}
	if err := failpoint.LogAppendAfter.After(b.Commit(writeOptions(sync))); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	if sync {
		if err := l.acknowledge(end, hard); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !raft.IsEmptyHardState(hard) {
		l.hard = hard
	}
	l.bytes += size
	l.extendTail(entries)
	return nil
}

// extendTail puts entries, which are durable now, at the end of the tail in memory.
func (l *Log) extendTail(entries []*pb.Entry) {
	if len(entries) == 0 {
		return
	}
	first := entries[0].GetIndex()
	if n := len(l.tail); n > 0 {
		if start := l.tail[0].GetIndex(); first <= start {
			l.tail, l.tailBytes = nil, 0
		} else if first <= l.last { // a new leader replaces what was not committed
			for _, e := range l.tail[first-start:] {
				l.tailBytes -= entryBytes(e)
			}
			l.tail = l.tail[: first-start : first-start]
		}
	}
	l.tail = append(l.tail, entries...)
	l.last = entries[len(entries)-1].GetIndex()
	for _, e := range entries {
		l.tailBytes += entryBytes(e)
	}
	drop := 0
	for l.tailBytes > l.tailMax && drop < len(l.tail)-1 {
		l.tailBytes -= entryBytes(l.tail[drop])
		drop++
	}
	l.dropTail(drop)
}

// dropTail forgets the first n entries of the tail. The array is left behind as well once most of
// it is unused, so that dropped entries can be collected.
func (l *Log) dropTail(n int) {
	clear(l.tail[:n])
	l.tail = l.tail[n:]
	if cap(l.tail) > 2*len(l.tail)+1024 {
		l.tail = append(make([]*pb.Entry, 0, len(l.tail)+256), l.tail...)
	}
}

// Truncate forgets the entries up to and including index. The write is not synced: a log that is
// longer after a crash does no harm.
func (l *Log) Truncate(index uint64) error {
	term, err := l.Term(index)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if index <= l.truncated.Index {
		return nil
	}
	size, err := l.db.EstimateDiskUsage(entryKey(l.truncated.Index), entryKey(index+1))
	if err != nil {
		return fmt.Errorf("truncate log: %w", err)
	}
	b := l.db.NewBatch()
	defer b.Close()
	if err := failpoint.LogTruncateBefore.Err(); err != nil {
		return fmt.Errorf("truncate log: %w", err)
	}
	err = errors.Join(b.DeleteRange(entryKey(0), entryKey(index+1), nil),
		b.Set(logKey(keyTruncated), encodePosition(Position{index, term}), nil),
		b.Commit(pebble.NoSync))
	if err = failpoint.LogTruncateAfter.After(err); err != nil {
		return fmt.Errorf("truncate log: %w", err)
	}
	if n := len(l.tail); n > 0 && l.tail[0].GetIndex() <= index {
		drop := min(int(index-l.tail[0].GetIndex())+1, n)
		dropped := int64(0)
		for _, e := range l.tail[:drop] {
			dropped += entryBytes(e)
		}
		l.tailBytes -= dropped
		size = max(size, uint64(dropped))
		l.dropTail(drop)
	}
	l.truncated = Position{index, term}
	l.bytes = max(0, l.bytes-int64(size))
	if index >= l.last {
		l.bytes = 0
	}
	return nil
}

// BeginInstall notes durably that the state machine is about to be replaced by a snapshot at pos,
// together with the hard state that raft gave with it. Its commit index is that of the snapshot, which
// the log does not reach before Reset: until then the old one stays, or a crash in between would leave
// a log on which raft does not start.
func (l *Log) BeginInstall(hard *pb.HardState, pos Position) error {
	if !raft.IsEmptyHardState(hard) {
		stored, _, _ := l.InitialState()
		hard = &pb.HardState{Term: new(hard.GetTerm()), Vote: new(hard.GetVote()), Commit: new(stored.GetCommit())}
	}
	b := l.db.NewBatch()
	defer b.Close()
	var err error
	if !raft.IsEmptyHardState(hard) {
		err = b.Set(logKey(keyHardState), encodeHardState(hard), nil)
	}
	err = errors.Join(err, b.Set(logKey(keyInstall), encodePosition(pos), nil), b.Commit(pebble.Sync))
	if err != nil {
		return fmt.Errorf("note snapshot installation: %w", err)
	}
	if err := l.acknowledge(l.acked.last(), hard); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !raft.IsEmptyHardState(hard) {
		l.hard = hard
	}
	return nil
}

// Reset empties the log and lets it go on after pos, which the state machine holds now. It ends an
// installation that BeginInstall began.
func (l *Log) Reset(pos Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	hard := &pb.HardState{Term: new(max(l.hard.GetTerm(), pos.Term)), Vote: new(l.hard.GetVote()),
		Commit: new(max(l.hard.GetCommit(), pos.Index))}
	if err := l.retreat(pos); err != nil {
		return err
	}
	b := l.db.NewBatch()
	defer b.Close()
	err := errors.Join(
		b.DeleteRange(logKey(keyEntry), logKey(keyEntry+1), nil),
		b.Set(logKey(keyTruncated), encodePosition(pos), nil),
		b.Set(logKey(keyHardState), encodeHardState(hard), nil),
		b.Delete(logKey(keyInstall), nil),
		b.Commit(pebble.Sync))
	if err != nil {
		return fmt.Errorf("reset log: %w", err)
	}
	if err := l.acknowledge(pos, hard); err != nil {
		return err
	}
	l.hard, l.truncated, l.last = hard, pos, pos.Index
	l.tail, l.tailBytes, l.bytes = nil, 0, 0
	return nil
}

// Recover makes the log agree with what the state machine holds after a start: applied is its
// position. A state machine that is ahead of the log is right only when a snapshot was being
// installed; otherwise entries that this node may have acknowledged are missing, which is refused.
func (l *Log) Recover(applied Position) error {
	pos, err := l.position(keyInstall)
	if err != nil {
		return err
	}
	if pos.Index != 0 && applied.Index >= pos.Index {
		return l.Reset(applied)
	}
	if pos.Index != 0 { // the crash came before the switch: the old state and log are whole
		if err := l.db.Delete(logKey(keyInstall), pebble.Sync); err != nil {
			return err
		}
	}
	if applied.Index > l.lastIndex() && l.acceptLoss {
		return l.Reset(applied)
	}
	if applied.Index > l.lastIndex() {
		return fmt.Errorf("the log ends at index %d, before the applied index %d of the state: "+
			"log entries are missing", l.lastIndex(), applied.Index)
	}
	if applied.Index < l.truncated.Index {
		return fmt.Errorf("the log starts after index %d, but the state holds only index %d: "+
			"the state lost what it had made durable", l.truncated.Index, applied.Index)
	}
	term, err := l.Term(applied.Index)
	if err != nil {
		return err
	}
	if term != applied.Term {
		return fmt.Errorf("the state applied term %d at index %d, the log has term %d there: "+
			"they are not of the same node", applied.Term, applied.Index, term)
	}
	l.hard.Commit = new(max(l.hard.GetCommit(), applied.Index))
	return nil
}

// AdmitPeer notes durably the incarnation of node id at the first contact, and returns the one that
// it had then.
func (l *Log) AdmitPeer(id, incarnation uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.peers[id]; ok {
		return known, nil
	}
	if l.closed {
		return 0, pebble.ErrClosed
	}
	if err := l.db.Set(peerKey(id), binary.BigEndian.AppendUint64(nil, incarnation), pebble.Sync); err != nil {
		return 0, fmt.Errorf("note incarnation of node %d: %w", id, err)
	}
	if err := l.acknowledge(l.acked.last(), nil); err != nil {
		return 0, err
	}
	l.peers[id] = incarnation
	return incarnation, nil
}

// MarkCorrupt notes durably that the state machine beside this log was found to be wrong, and why.
// Nothing takes the note back: who replaces the state has to replace the log with it.
func (l *Log) MarkCorrupt(why string) error {
	if err := l.db.Set(logKey(keyCorrupt), []byte(why), pebble.Sync); err != nil {
		return fmt.Errorf("note that this node is corrupt: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.corrupt = why
	return nil
}

// MarkRemoved notes durably that this node was removed from its group. Nothing takes the note back.
func (l *Log) MarkRemoved() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return pebble.ErrClosed
	}
	if err := l.db.Set(logKey(keyRemoved), []byte{1}, pebble.Sync); err != nil {
		return fmt.Errorf("note that this node was removed: %w", err)
	}
	l.removed = true
	return nil
}

// Removed says whether MarkRemoved was called.
func (l *Log) Removed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removed
}

// Corrupt returns what MarkCorrupt has noted, or "".
func (l *Log) Corrupt() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.corrupt
}

// Bytes returns the size of the entries kept: exact for those written since the start.
func (l *Log) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

// Close closes the engine. Nothing else but AdmitPeer and MarkRemoved may be called any more.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	err := l.db.Close()
	return errors.Join(err, l.acknowledge(l.acked.last(), nil), l.acked.close())
}

func (l *Log) lastIndex() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *Log) get(key []byte) ([]byte, error) {
	v, closer, err := l.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return append([]byte{}, v...), closer.Close()
}

func (l *Log) position(kind byte) (Position, error) {
	v, err := l.get(logKey(kind))
	if err != nil || v == nil {
		return Position{}, err
	}
	r := reader{b: v}
	pos := Position{r.uint64(), r.uint64()}
	if r.bad {
		return pos, fmt.Errorf("malformed position %q", kind)
	}
	return pos, nil
}
