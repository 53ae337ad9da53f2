package raftnode

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
)

// replayBytes bounds the entries that Replay reads at once.
const replayBytes = 16 << 20

// Replay applies everything that the log holds and the state machine does not, committed or not, and
// leaves the membership as it is. It is for the survivor of a group that has lost its majority for good:
// nobody else will say what was committed, and no Group may run on either of the two afterwards, other
// than one of a new cluster.
func Replay(l *Log, m StateMachine) error {
	for {
		at, _ := m.State()
		last := l.lastIndex()
		if at.Index >= last {
			return nil
		}
		logged, err := l.Entries(at.Index+1, last+1, replayBytes)
		if err != nil {
			return err
		}
		entries := make([]Entry, 0, len(logged))
		for _, e := range logged {
			entry, err := effects(e)
			if err != nil {
				return fmt.Errorf("log entry %d: %w", e.GetIndex(), err)
			}
			entries = append(entries, entry)
		}
		if err := m.Apply(entries, nil); err != nil {
			return err
		}
	}
}

// effects is what an entry does to the state machine, the membership aside.
func effects(e *pb.Entry) (Entry, error) {
	out := Entry{Index: e.GetIndex(), Term: e.GetTerm()}
	data := e.GetData()
	switch {
	case e.GetType() != pb.EntryNormal, len(data) == 0, data[0] == entryMember, data[0] == entryVersion:
		return out, nil
	case data[0] != entryBatch:
		return out, fmt.Errorf("%w: kind %d: it was written by a newer version", errEntry, data[0])
	}
	var err error
	out.Time, out.Seed, err = decodeBatch(data, func(_, _ uint64, payload []byte) {
		out.Proposals = append(out.Proposals, Committed{Payload: payload})
	})
	return out, err
}
