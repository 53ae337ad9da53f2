package redoubt

import (
	"encoding/binary"
	"testing"

	"redoubt/fsm"
	"redoubt/raftnode"
)

// TestForwardedNonsense: what a peer forwards and no node could apply is not logged, where it would
// stop every node at once and at each start.
func TestForwardedNonsense(t *testing.T) {
	c := startTrio(t)
	n := c.nodes[c.leader()]
	const frameForward = 2
	from := n.dir.id.NodeID%3 + 1
	for i, payload := range [][]byte{{}, []byte("nonsense"), fsm.AppendCalls(nil, []fsm.Call{call("NOSUCH", "a")}),
		fsm.AppendRequest(nil, &fsm.Request{Watched: []fsm.Watched{{Key: []byte("k")}}, Calls: []fsm.Call{call("PING")}}),
		{2, 1, 16, 0, 0, 0}, {2, 200}, {3, 0},
		fsm.AppendCalls(nil, []fsm.Call{call("PING")}), append(fsm.AppendCalls(nil, []fsm.Call{call("SET", "a", "b")}), 0xff)} {
		frame := binary.AppendUvarint([]byte{frameForward}, n.group.View().Term)
		frame = binary.BigEndian.AppendUint64(frame, 12345+uint64(i))
		frame = append(frame, 1, 1, byte(len(payload)))
		raftnode.Handler(n.group).Receive(from, append(frame, payload...))
	}
	for i := range c.nodes {
		if got := c.do(i, "SET", "after", "1"); got != "OK" {
			t.Errorf("node %d answers %q: %v", i+1, got, c.nodes[i].Err())
		}
	}
}
