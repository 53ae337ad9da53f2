package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// InitialState is part of raft.Storage.
func (l *Log) InitialState() (*pb.HardState, *pb.ConfState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hard, l.conf, nil
}

// FirstIndex is part of raft.Storage.
func (l *Log) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.truncated.Index + 1, nil
}

// LastIndex is part of raft.Storage.
func (l *Log) LastIndex() (uint64, error) {
	return l.lastIndex(), nil
}

// Term is part of raft.Storage.
func (l *Log) Term(index uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case index == l.truncated.Index:
		return l.truncated.Term, nil
	case index < l.truncated.Index:
		return 0, raft.ErrCompacted
	case index > l.last:
		return 0, raft.ErrUnavailable
	}
	if len(l.tail) > 0 && index >= l.tail[0].GetIndex() {
		return l.tail[index-l.tail[0].GetIndex()].GetTerm(), nil
	}
	v, closer, err := l.db.Get(entryKey(index))
	if err != nil {
		return 0, fmt.Errorf("term of log entry %d: %w", index, err)
	}
	term, _ := binary.Uvarint(v)
	return term, closer.Close()
}

// Entries is part of raft.Storage.
func (l *Log) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lo <= l.truncated.Index {
		return nil, raft.ErrCompacted
	}
	if hi > l.last+1 {
		return nil, raft.ErrUnavailable
	}
	if len(l.tail) > 0 && lo >= l.tail[0].GetIndex() {
		start := l.tail[0].GetIndex()
		return limitEntries(append([]*pb.Entry{}, l.tail[lo-start:hi-start]...), maxSize), nil
	}
	return l.read(lo, hi, maxSize)
}

// read takes entries from the engine: for a follower that is far behind, and for replay at start.
func (l *Log) read(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: entryKey(lo), UpperBound: entryKey(hi)})
	if err != nil {
		return nil, fmt.Errorf("read log entries: %w", err)
	}
	defer it.Close()
	var out []*pb.Entry
	size := uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		e, err := decodeEntry(it.Key(), it.Value())
		if err != nil {
			return nil, err
		}
		if e.GetIndex() != lo+uint64(len(out)) {
			return nil, fmt.Errorf("log entry %d is missing", lo+uint64(len(out)))
		}
		size += uint64(entryBytes(e))
		if len(out) > 0 && size > maxSize {
			return out, nil
		}
		out = append(out, e)
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("read log entries: %w", err)
	}
	if uint64(len(out)) != hi-lo {
		return nil, fmt.Errorf("log entry %d is missing", lo+uint64(len(out)))
	}
	return out, nil
}

// Snapshot is part of raft.Storage.
func (l *Log) Snapshot() (*pb.Snapshot, error) {
	return l.snapshot()
}

func limitEntries(entries []*pb.Entry, maxSize uint64) []*pb.Entry {
	size := uint64(0)
	for i, e := range entries {
		if size += uint64(entryBytes(e)); i > 0 && size > maxSize {
			return entries[:i]
		}
	}
	return entries
}

// entryBytes is what an entry counts for in limits: its data and about what surrounds it.
func entryBytes(e *pb.Entry) int64 { return int64(len(e.GetData())) + 24 }

const entryKeyLen = 10

func logKey(kind byte) []byte { return []byte{logGroup, kind} }

func entryKey(index uint64) []byte {
	return putEntryKey(make([]byte, entryKeyLen), index)
}

func putEntryKey(dst []byte, index uint64) []byte {
	dst[0], dst[1] = logGroup, keyEntry
	binary.BigEndian.PutUint64(dst[2:], index)
	return dst
}

func peerKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64(logKey(keyPeer), id)
}

func entryValueLen(e *pb.Entry) int {
	var buf [binary.MaxVarintLen64]byte
	return binary.PutUvarint(buf[:], e.GetTerm()) + 1 + len(e.GetData())
}

func putEntryValue(dst []byte, e *pb.Entry) {
	n := binary.PutUvarint(dst, e.GetTerm())
	dst[n] = byte(e.GetType())
	copy(dst[n+1:], e.GetData())
}

func decodeEntry(key, value []byte) (*pb.Entry, error) {
	term, n := binary.Uvarint(value)
	if len(key) != entryKeyLen || n <= 0 || len(value) <= n {
		return nil, errors.New("malformed entry in the log engine")
	}
	e := &pb.Entry{Term: new(term), Index: new(binary.BigEndian.Uint64(key[2:])),
		Type: pb.EntryType(value[n]).Enum()}
	if data := value[n+1:]; len(data) > 0 {
		e.Data = append([]byte{}, data...)
	}
	return e, nil
}

func encodeHardState(h *pb.HardState) []byte {
	b := binary.BigEndian.AppendUint64(nil, h.GetTerm())
	b = binary.BigEndian.AppendUint64(b, h.GetVote())
	return binary.BigEndian.AppendUint64(b, h.GetCommit())
}

func encodePosition(p Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.Index), p.Term)
}

func writeOptions(sync bool) *pebble.WriteOptions {
	if sync {
		return pebble.Sync
	}
	return pebble.NoSync
}
