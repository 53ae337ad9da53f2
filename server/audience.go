package server

import (
	"encoding/binary"

	"go.uber.org/zap"
)

// The kinds of messages between nodes: the first byte of each.
const (
	messageToChannel = 1
	messageToShard   = 2
)

// encodeMessage makes what the other nodes get of a PUBLISH.
func encodeMessage(kind byte, channel, text []byte) []byte {
	b := make([]byte, 0, 1+binary.MaxVarintLen64+len(channel)+len(text))
	b = binary.AppendUvarint(append(b, kind), uint64(len(channel)))
	return append(append(b, channel...), text...)
}

// audience takes what was published on other nodes.
type audience struct{ server *Server }

// Heard is part of command.Audience. What it does not know is of a later version, and nothing that clients here wait for.
func (a audience) Heard(_ uint64, messages [][]byte) {
	for _, m := range messages {
		if len(m) == 0 {
			continue
		}
		kind, rest := m[0], m[1:]
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			continue
		}
		channel, text := string(rest[n:n+int(size)]), string(rest[n+int(size):])
		switch kind {
		case messageToChannel:
			a.server.hub.publish(channel, text)
		case messageToShard:
			a.server.hub.publishShard(channel, text)
		}
	}
}

// Lost is part of command.Audience.
func (a audience) Lost(from uint64) { a.server.cutOff(from) }

// cutOff disconnects all who are subscribed to what clients publish, since they may have missed something: a client
// takes the end of a connection for what it is, and nothing else would tell it. from is the node of which messages are
// missing, 0 if it may be any.
func (s *Server) cutOff(from uint64) {
	count := 0
	for _, c := range s.all() {
		if c.subs.foreign.Load() > 0 {
			c.kill()
			count++
		}
	}
	if count > 0 {
		s.log.Warn("subscribers are disconnected: messages may have been lost", zap.Uint64("from", from), zap.Int("clients", count))
	}
}
