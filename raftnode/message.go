package raftnode

import (
	"encoding/binary"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Raft's messages have a layout of our own between nodes: the protobuf that raft defines allocates every
// field of every message and copies what the entries hold, which cost more than sending it.

// messageHead is more than what a message takes beside its context and its entries, entryHeadMax beside the data of
// an entry.
const (
	messageHead  = 2 + 7*binary.MaxVarintLen64
	entryHeadMax = 1 + 3*binary.MaxVarintLen64
)

// encodeRaft makes the frame of one of the messages that decodeRaft takes.
func encodeRaft(m *pb.Message) []byte {
	size := 1 + messageHead + binary.MaxVarintLen64 + len(m.GetContext())
	for _, e := range m.GetEntries() {
		size += entryHeadMax + len(e.GetData())
	}
	b := append(make([]byte, 0, size), frameRaft, byte(m.GetType()), byte(boolBit(m.GetReject())))
	for _, n := range []uint64{m.GetFrom(), m.GetTo(), m.GetTerm(), m.GetLogTerm(), m.GetIndex(), m.GetCommit(), m.GetRejectHint()} {
		b = binary.AppendUvarint(b, n)
	}
	b = appendBytes(b, m.GetContext())
	for _, e := range m.GetEntries() {
		b = append(b, byte(e.GetType()))
		b = binary.AppendUvarint(b, e.GetTerm())
		b = binary.AppendUvarint(b, e.GetIndex())
		b = appendBytes(b, e.GetData())
	}
	return b
}

func boolBit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func appendBytes(dst, value []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(value))), value...)
}

// A message that was received is allocated at once, with what its fields point to.
type receivedMessage struct {
	pb.Message
	kind                                               pb.MessageType
	reject                                             bool
	from, to, term, logTerm, index, commit, rejectHint uint64
}

type receivedEntry struct {
	pb.Entry
	kind        pb.EntryType
	term, index uint64
}

// decodeRaft reads a raft message from a peer and checks what raft itself takes on trust. The message
// aliases body.
func decodeRaft(body []byte, from, to uint64) (*pb.Message, bool) {
	r := reader{b: body}
	m := &receivedMessage{kind: pb.MessageType(r.byte())}
	reject := r.byte()
	m.reject = reject == 1
	for _, n := range []*uint64{&m.from, &m.to, &m.term, &m.logTerm, &m.index, &m.commit, &m.rejectHint} {
		*n = r.uvarint()
	}
	context := r.bytes()
	if r.bad || reject > 1 || m.from != from || m.to != to {
		return nil, false
	}
	switch m.kind {
	case pb.MsgApp, pb.MsgAppResp, pb.MsgVote, pb.MsgVoteResp, pb.MsgPreVote, pb.MsgPreVoteResp,
		pb.MsgHeartbeat, pb.MsgTimeoutNow, pb.MsgHeartbeatResp:
	default: // snapshots come on a stream of their own; the rest is never sent between nodes
		return nil, false
	}
	m.Type, m.From, m.To, m.Term, m.LogTerm = &m.kind, &m.from, &m.to, &m.term, &m.logTerm
	m.Index, m.Commit, m.Reject, m.RejectHint = &m.index, &m.commit, &m.reject, &m.rejectHint
	if len(context) > 0 {
		m.Context = context
	}
	for len(r.b) > 0 && !r.bad {
		e := &receivedEntry{kind: pb.EntryType(r.byte()), term: r.uvarint(), index: r.uvarint()}
		e.Type, e.Term, e.Index, e.Data = &e.kind, &e.term, &e.index, r.bytes()
		m.Entries = append(m.Entries, &e.Entry)
	}
	return &m.Message, !r.bad && wellFormed(&m.Message)
}
