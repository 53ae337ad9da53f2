package raftnode

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// errEntry says that a log entry does not follow the format of this version.
var errEntry = errors.New("malformed log entry")

// The first byte of an entry's data is its kind. A kind that changes its layout gets a new number.
const (
	entryBatch   = 1 // proposals: header, then each with its identity
	entryMember  = 2 // a Member, as JSON: a node tells where it is reached and who it is
	entryVersion = 4 // a versionEntry, as JSON
)

// Entry is one committed log entry as the StateMachine gets it. Entries of the group's own (a new
// leader's empty entry, a member's announcement) have no proposals, but count as applied.
type Entry struct {
	Index, Term uint64
	// Time is the leader's clock when it made the entry, in ms since the epoch. It may go backwards
	// from one entry to the next, when leaders' clocks differ: a StateMachine that needs monotonic
	// time takes the maximum, which is the same on every node.
	Time int64
	// Seed is random, chosen by the leader.
	Seed      uint64
	Proposals []Committed
}

// Committed is one proposal in a committed entry.
type Committed struct {
	Payload []byte
	Local   *Proposal // non-nil on the node that proposed it and still waits for it
}

// entryHead starts the data of a batch entry.
func entryHead(dst []byte, timeMS int64, seed uint64) []byte {
	dst = append(dst, entryBatch)
	dst = binary.AppendUvarint(dst, uint64(timeMS))
	return binary.BigEndian.AppendUint64(dst, seed)
}

// appendProposal adds one proposal to a batch entry.
func appendProposal(dst []byte, origin, seq uint64, payload []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, origin)
	dst = binary.AppendUvarint(dst, seq)
	dst = binary.AppendUvarint(dst, uint64(len(payload)))
	return append(dst, payload...)
}

// decodeBatch reads a batch entry and calls each for every proposal. The payloads alias data.
func decodeBatch(data []byte, each func(origin, seq uint64, payload []byte)) (timeMS int64, seed uint64, err error) {
	r := reader{b: data}
	if r.byte() != entryBatch {
		return 0, 0, errEntry
	}
	timeMS = int64(r.uvarint())
	seed = r.uint64()
	for len(r.b) > 0 && !r.bad {
		origin, seq := r.uint64(), r.uvarint()
		payload := r.bytes()
		if !r.bad {
			each(origin, seq, payload)
		}
	}
	if r.bad || timeMS < 0 {
		return 0, 0, errEntry
	}
	return timeMS, seed, nil
}

func decodeMember(data []byte) (Member, error) {
	var m Member
	if err := json.Unmarshal(data[1:], &m); err != nil {
		return m, fmt.Errorf("%w: member: %w", errEntry, err)
	}
	return m, nil
}

// reader takes values off the front of b. After a value that is not there it is bad and returns
// zeros, so that a caller checks once at the end.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) < 1 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.bad = true
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bytes reads a length and that many bytes, which alias b.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}
