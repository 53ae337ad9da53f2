package raftnode

import (
	"encoding/binary"
	"encoding/json"
)

// The first byte of a frame between peers is its kind.
const (
	frameRaft       = 1 // a raft message: see message.go
	frameForward    = 2 // proposals on their way to the leader
	frameForwardAck = 3 // the leader has them
	frameRead       = 4 // asks the leader for a read index
	frameReadResp   = 5
	frameAnnounce   = 6  // a Member, as JSON, for the leader to log
	frameAsk        = 7  // a request for the leader, as JSON: see ask.go
	frameAnswer     = 8  // an answer, as JSON
	frameRemoved    = 9  // tells a node that it is not a member any more
	frameCheck      = 11 // asks a member for the hash of its state after an entry: see check.go
	frameCheckResp  = 12
	frameVerdict    = 13 // tells a member that it is corrupt
	frameSpace      = 14 // how much room for data there is: the node's, or by the leader the group's
	frameCast       = 15 // messages beside the log: see cast.go
)

// forward is the body of a frameForward. The leader of term takes proposals of one origin in the
// order of their sequence numbers and none twice. The origin wants nothing before base any more, but
// when something from base on is missing before first, the leader waits for it to be sent again.
type forward struct {
	term, origin, base, first uint64
	payloads                  [][]byte
}

func encodeForward(f forward, size int) []byte {
	b := make([]byte, 0, size+64+8*len(f.payloads))
	b = append(b, frameForward)
	b = binary.AppendUvarint(b, f.term)
	b = binary.BigEndian.AppendUint64(b, f.origin)
	b = binary.AppendUvarint(b, f.base)
	b = binary.AppendUvarint(b, f.first)
	for _, p := range f.payloads {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

func decodeForward(body []byte) (forward, bool) {
	r := reader{b: body}
	f := forward{term: r.uvarint(), origin: r.uint64(), base: r.uvarint(), first: r.uvarint()}
	for len(r.b) > 0 && !r.bad {
		f.payloads = append(f.payloads, r.bytes())
	}
	return f, !r.bad
}

// numbers encodes the frames that are a few numbers.
func numbers(kind byte, values ...uint64) []byte {
	b := make([]byte, 1, 1+len(values)*binary.MaxVarintLen64)
	b[0] = kind
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// decodeNumbers fills values and says whether body was exactly that.
func decodeNumbers(body []byte, values ...*uint64) bool {
	r := reader{b: body}
	for _, v := range values {
		*v = r.uvarint()
	}
	return !r.bad && len(r.b) == 0
}

// encodeJSON encodes the frames, and the log entries, that are rare.
func encodeJSON(kind byte, v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of numbers and strings
	}
	return append([]byte{kind}, body...)
}
