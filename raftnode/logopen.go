package raftnode

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// OpenLog opens or creates the log engine. It fails on damage, naming the file, rather than forget
// anything that was acknowledged: see acked. Only the torn end of a write that nobody waited for is
// dropped.
func OpenLog(opts LogOptions) (*Log, error) {
	if err := opts.FS.MkdirAll(opts.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	note, seq, noted, err := readAcked(opts.FS, opts.Dir)
	if err == nil {
		err = opts.checkFiles(note, noted)
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	synced := &walPlace{}
	db, err := openEngine(opts, synced)
	if err != nil {
		return nil, fmt.Errorf("open log in %s: %w", opts.Dir, located(err))
	}
	l := &Log{db: db, synced: synced, tailMax: opts.TailBytes, acceptLoss: opts.AcceptLoss,
		hard: &pb.HardState{}, conf: &pb.ConfState{}}
	if err = l.load(); err == nil {
		err = l.openNote(opts, note, seq, noted)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read log in %s: %w", opts.Dir, located(err)), db.Close())
	}
	return l, nil
}

// checkFiles looks for damage before Pebble opens the directory and tidies up.
func (opts *LogOptions) checkFiles(note acknowledgement, noted bool) error {
	engine, err := pebble.Peek(opts.Dir, opts.FS)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", opts.Dir, err)
	case !engine.Exists && (noted || opts.Expect != ExpectNothing && !opts.AcceptLoss):
		return fmt.Errorf("%s: the files of the log are missing or damaged: there is no marker of a manifest", opts.Dir)
	case !noted && opts.Expect == ExpectNote && !opts.AcceptLoss:
		return fmt.Errorf("%s is missing: it says how much of the log was acknowledged", opts.FS.PathJoin(opts.Dir, ackedFile))
	}
	err = checkWALs(opts.FS, opts.Dir, note)
	for damage := (*DamageError)(nil); opts.AcceptLoss && errors.As(err, &damage); {
		if err := cut(opts.FS, damage.Path, damage.Offset); err != nil {
			return err
		}
		note.wal = 0 // what was acknowledged is known to be lost
		err = checkWALs(opts.FS, opts.Dir, note)
	}
	return err
}

func openEngine(opts LogOptions, synced *walPlace) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil { // some damage is a panic to Pebble
			err = fmt.Errorf("the engine's files are damaged: %v", p)
		}
	}()
	failed := opts.Failed
	if failed == nil {
		failed = func(error) {}
	}
	o := &pebble.Options{
		FS:                          walFS{FS: opts.FS, synced: synced},
		FormatMajorVersion:          pebble.FormatWALSyncChunks,
		MemTableSize:                opts.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       32,
		Logger:                      opts.Logger,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { failed(fmt.Errorf("log: %w", located(err))) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				failed(fmt.Errorf("log: %s: %w", info.Path, info.Details))
			},
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return pebble.Open(opts.Dir, o)
}

// located is err with the path of the damaged file, when damage is what it reports.
func located(err error) error {
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return fmt.Errorf("%s: %w", info.Path, info.Details)
	}
	return err
}

// check reads all entries: none may be missing between the first and the last, and terms only grow.
func (l *Log) check() error {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: entryKey(0), UpperBound: logKey(keyEntry + 1)})
	if err != nil {
		return err
	}
	at := l.truncated
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var e *pb.Entry
		if e, err = decodeEntry(it.Key(), it.Value()); err != nil {
			continue
		}
		switch {
		case e.GetIndex() != at.Index+1:
			err = fmt.Errorf("log entry %d is missing", at.Index+1)
		case e.GetTerm() < at.Term:
			err = fmt.Errorf("log entry %d has term %d, the one before it %d", e.GetIndex(), e.GetTerm(), at.Term)
		}
		at = Position{e.GetIndex(), e.GetTerm()}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// openNote compares the log with the note of what was acknowledged, and goes on with it.
func (l *Log) openNote(opts LogOptions, note acknowledgement, seq uint64, noted bool) error {
	term, err := l.Term(l.last)
	if err != nil {
		return err
	}
	now := acknowledgement{last: Position{l.last, term}, term: l.hard.GetTerm(), vote: l.hard.GetVote()}
	now.wal, now.walBytes = l.synced.get()
	if noted {
		if err := note.lost(now); err != nil && !opts.AcceptLoss {
			return fmt.Errorf("%w (the log's end was in %s)", err, opts.walName(note.wal))
		}
	}
	if !noted || opts.AcceptLoss {
		seq = 1
		if err := createAcked(opts.FS, opts.Dir, now); err != nil {
			return err
		}
	}
	l.acked, err = openAcked(opts.FS, opts.Dir, now, seq)
	return err
}

// walName describes where acknowledged entries were.
func (opts *LogOptions) walName(number uint64) string {
	return opts.FS.PathJoin(opts.Dir, fmt.Sprintf("%06d.log", number))
}

// lost says what a log that ends as now says lacks of what was acknowledged, if anything.
func (a acknowledgement) lost(now acknowledgement) error {
	if now.last.before(a.last) {
		return fmt.Errorf("the log ends at index %d of term %d, but index %d of term %d was acknowledged: log entries are missing",
			now.last.Index, now.last.Term, a.last.Index, a.last.Term)
	}
	if now.term < a.term || now.term == a.term && a.vote != 0 && now.vote != a.vote {
		return fmt.Errorf("the log is at term %d with a vote for %d, but term %d with a vote for %d was acknowledged",
			now.term, now.vote, a.term, a.vote)
	}
	return nil
}

// retreat prepares for a log that will end at end. Raft's order of logs mostly grows; where it does
// not, the note must be back on the disk before the entries are.
func (l *Log) retreat(end Position) error {
	if !end.before(l.acked.last()) {
		return nil
	}
	return l.acked.note(true, func(a *acknowledgement) { a.last = end })
}

// acknowledge notes what the log has on disk now. hard may be nil or empty: as before.
func (l *Log) acknowledge(end Position, hard *pb.HardState) error {
	return l.acked.note(false, func(a *acknowledgement) {
		if !end.before(a.last) {
			a.last = end
		}
		if hard != nil && !raft.IsEmptyHardState(hard) {
			a.term, a.vote = hard.GetTerm(), hard.GetVote()
		}
		a.wal, a.walBytes = l.synced.get()
	})
}
