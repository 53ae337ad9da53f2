package redoubt

import (
	"errors"
	"io"
	"slices"

	"redoubt/raftnode"
)

// simNet is the network of a simulation: frames lie in it until the world delivers them.
type simNet struct {
	w     *world
	lanes []*simLane // in the order of their first frame, so that it is the same in every run
	cut   map[[2]uint64]bool

	drop, twice, swap float64 // chances
}

// simLane is one lane of a connection. What it carries arrives in order or not at all, except for
// raft's own messages, which must bear anything.
type simLane struct {
	from, to uint64
	lane     raftnode.Lane
	frames   [][]byte
	boots    [2]int // of both ends when they said hello
}

// laneMax bounds what lies in a lane; a real one drops frames, too, when a peer does not take them.
const laneMax = 64

// frameRaft is the first byte of raft's messages.
const frameRaft = 1

func (n *simNet) send(from, to uint64, lane raftnode.Lane, frame []byte) {
	w := n.w
	if to > uint64(len(w.nodes)) || n.cut[[2]uint64{from, to}] || w.chance(n.drop) {
		return // the first: to one that has not heard yet that it is a member
	}
	i := slices.IndexFunc(n.lanes, func(l *simLane) bool { return l.from == from && l.to == to && l.lane == lane })
	if i < 0 {
		i = len(n.lanes)
		n.lanes = append(n.lanes, &simLane{from: from, to: to, lane: lane})
	}
	l := n.lanes[i]
	if len(l.frames) >= laneMax {
		return
	}
	l.frames = append(l.frames, slices.Clone(frame))
	if frame[0] == frameRaft && w.chance(n.twice) {
		l.frames = append(l.frames, slices.Clone(frame))
	}
	if k := len(l.frames); k > 1 && l.frames[k-2][0] == frameRaft && frame[0] == frameRaft && w.chance(n.swap) {
		l.frames[k-1], l.frames[k-2] = l.frames[k-2], l.frames[k-1]
	}
}

// deliver hands on the first frame of a lane, and says whether there was any frame.
func (n *simNet) deliver() bool {
	var full []*simLane
	for _, l := range n.lanes {
		if len(l.frames) > 0 && !n.w.nodes[l.to-1].paused {
			full = append(full, l)
		}
	}
	if len(full) == 0 {
		return false
	}
	l := full[n.w.rnd.IntN(len(full))]
	frame := l.frames[0]
	l.frames = l.frames[1:]
	from, to := n.w.nodes[l.from-1], n.w.nodes[l.to-1]
	if n.cut[[2]uint64{l.from, l.to}] || !to.up() || !n.connected(l, from, to) {
		return true
	}
	n.w.note("deliver %d->%d/%d %x", l.from, l.to, l.lane, frame)
	to.node.group.Receive(l.from, frame)
	return true
}

// connected has both ends say hello when one of them has been started since they last did.
func (n *simNet) connected(l *simLane, from, to *simNode) bool {
	if l.boots == [2]int{from.boots, to.boots} {
		return true
	}
	if !from.up() {
		return false
	}
	for _, pair := range [][2]*simNode{{from, to}, {to, from}} {
		if err := pair[1].node.group.Admit(pair[0].node.group.Hello(pair[1].id)); err != nil {
			n.w.note("refused: %v", err)
			if refused := (*raftnode.RefusedError)(nil); errors.As(err, &refused) {
				pair[0].node.group.Refused(pair[1].id, refused)
			}
			return false
		}
	}
	l.boots = [2]int{from.boots, to.boots}
	from.node.group.PeerUp(l.to)
	return true
}

// lose forgets what was on its way to a node that crashed.
func (n *simNet) lose(id uint64) {
	for _, l := range n.lanes {
		if l.to == id {
			l.frames = nil
		}
	}
}

// simTransport is one start of one node in the network.
type simTransport struct {
	node *simNode
	boot int
}

var errSimulated = errors.New("simulated failure")

func (t *simTransport) Start(raftnode.Handler) error { return nil }
func (t *simTransport) SetPeers(map[uint64]string)   {}
func (t *simTransport) Close() error                 { return nil }

// Send is part of raftnode.Transport.
func (t *simTransport) Send(to uint64, lane raftnode.Lane, frame []byte) {
	if !t.node.doomed && t.boot == t.node.boots {
		t.node.w.net.send(t.node.id, to, lane, frame)
	}
}

// SendSnapshot is part of raftnode.Transport. The stream may break, carry a damaged chunk, or end with
// a crash of the receiver.
func (t *simTransport) SendSnapshot(to uint64, write func(emit func([]byte) error) error) error {
	w := t.node.w
	if to > uint64(len(w.nodes)) {
		return errSimulated
	}
	target := w.nodes[to-1]
	if t.node.doomed || w.net.cut[[2]uint64{t.node.id, to}] || !target.up() || target.paused {
		return errSimulated
	}
	var chunks [][]byte
	if err := write(func(chunk []byte) error {
		chunks = append(chunks, slices.Clone(chunk))
		return nil
	}); err != nil {
		return err
	}
	breakAt, damaged, crashLater := -1, false, false
	switch kind := w.rnd.IntN(6); {
	case w.healed:
	case kind == 0:
		breakAt = w.rnd.IntN(len(chunks))
	case kind == 1:
		c := chunks[w.rnd.IntN(len(chunks))]
		c[w.rnd.IntN(len(c))] ^= 1 << w.rnd.IntN(8)
		damaged = true
	case kind == 2:
		target.armCrash()
	case kind == 3:
		crashLater = true
	}
	w.note("snapshot %d->%d: %d chunks, break %d, damaged %v", t.node.id, to, len(chunks), breakAt, damaged)
	next := func() ([]byte, error) {
		if breakAt == 0 {
			return nil, errSimulated
		}
		breakAt--
		if len(chunks) == 0 {
			return nil, io.EOF
		}
		c := chunks[0]
		chunks = chunks[1:]
		return c, nil
	}
	err := target.node.group.ReceiveSnapshot(t.node.id, next)
	if err == nil && damaged {
		w.fail("node %d accepted a damaged snapshot", to)
	}
	if err == nil {
		w.seen.snapshots++
		if crashLater {
			target.fuse = 1 + w.rnd.IntN(6) // while it installs it
		}
	}
	target.reap()
	if err == nil && !target.up() {
		return errSimulated // it crashed before it could say so
	}
	return err
}
