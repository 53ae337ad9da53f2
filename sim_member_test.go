package redoubt

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/raftnode"
)

// simJoiner is a node that has yet to hear which id it has.
type simJoiner struct {
	disk        *vfs.MemFS
	incarnation uint64
	asked       int64 // event number of the last time
}

func simAddr(id uint64) string { return fmt.Sprintf("127.0.0.1:%d", 10000+id) }

func (w *world) anyNode() *simNode { return w.nodes[w.rnd.IntN(len(w.nodes))] }

// present are the nodes that run.
func (w *world) present() []*simNode {
	var out []*simNode
	for _, n := range w.nodes {
		if n.up() {
			out = append(out, n)
		}
	}
	return out
}

// members describes the members as a node knows them.
func (n *simNode) members() string {
	meta, err := n.node.group.Membership()
	if err != nil {
		n.w.fail("%v", err)
	}
	return string(meta)
}

// simWish is a change of the members that is asked for again and again for a while, as a node does that
// was asked for it: the leader may hand over first, be a new one, or refuse.
type simWish struct {
	change       raftnode.Change
	until, asked int64 // event numbers
}

// simRepeat is how many events lie between two times of asking, simPatience how many between the first and
// the last.
const simRepeat, simPatience = 40, 400

// changeMembers has the members changed.
func (w *world) changeMembers() {
	change := raftnode.Change{Member: raftnode.Member{ID: w.anyNode().id}}
	switch w.rnd.IntN(8) {
	case 0, 1, 2:
		w.beginJoin()
		return
	case 3, 4, 5:
		change.Op = raftnode.OpRemove
	case 6:
		change.Op = raftnode.OpDemote
	case 7:
		change.Op = raftnode.OpPromote
	}
	w.wish = simWish{change: change, until: w.events + simPatience}
}

// pollMembers asks for what is wished for.
func (w *world) pollMembers() {
	w.pollJoiner()
	if s := &w.wish; w.events < s.until && w.events-s.asked > simRepeat && w.ask(s.change) {
		s.asked = w.events
	}
}

// ask has some node ask, if that runs.
func (w *world) ask(change raftnode.Change) bool {
	at := w.anyNode()
	if !at.up() || at.paused {
		return false
	}
	w.note("ask %d: %s %+v", at.id, change.Op, change.Member)
	at.step.Change(change)
	at.reap()
	return true
}

// beginJoin makes the directory of another node.
func (w *world) beginJoin() {
	members := 0
	for _, n := range w.nodes {
		if !n.gone {
			members++
		}
	}
	if w.joiner != nil || members >= simMost || len(w.nodes) >= simEver {
		return
	}
	w.joiner = &simJoiner{disk: vfs.NewCrashableMem()}
	dir := w.joiner.dir(w)
	w.joiner.incarnation = dir.id.Incarnation
	if err := dir.lock.Close(); err != nil {
		w.fail("%v", err)
	}
}

func (j *simJoiner) dir(w *world) *dataDir {
	dir, err := openDataDir(j.disk, w.rnd.Uint64, Config{DataDir: "data", joining: true})
	if err != nil {
		w.fail("%v", err)
	}
	return dir
}

// pollJoiner asks again and again for an id, and starts the node once a member knows it.
func (w *world) pollJoiner() {
	j := w.joiner
	if j == nil {
		return
	}
	for _, n := range w.present() {
		members := []byte(n.members())
		if _, id, err := raftnode.Locate(members, j.incarnation); err == nil {
			w.startJoiner(id, members)
			return
		}
	}
	join := raftnode.Change{Op: raftnode.OpAdd, Member: raftnode.Member{Promote: true, Incarnation: j.incarnation,
		RaftAddr: simAddr(uint64(len(w.nodes) + 1)), ClientAddr: "127.0.0.1:6379"}}
	if w.events-j.asked > simRepeat && w.ask(join) {
		j.asked = w.events
	}
}

func (w *world) startJoiner(id uint64, members []byte) {
	if want := uint64(len(w.nodes) + 1); id != want {
		w.fail("a node that joined got the id %d, not %d", id, want)
	}
	dir := w.joiner.dir(w)
	if err := dir.adopt(members); err != nil {
		w.fail("%v", err)
	}
	if err := dir.lock.Close(); err != nil {
		w.fail("%v", err)
	}
	n := &simNode{w: w, id: id, joined: true, disk: w.joiner.disk, rate: 0.97 + 0.06*w.rnd.Float64()}
	w.joiner = nil
	w.nodes = append(w.nodes, n)
	w.seen.joins++
	w.note("join %d: %s", id, members)
	n.start()
}

// countVotes counts who got and who lost a vote, as far as a leader knows.
func (w *world) countVotes(leader *simNode) {
	for _, m := range leader.node.group.Status().Members {
		had, known := w.votes[m.ID]
		w.votes[m.ID] = !m.Learner
		if known && had && m.Learner {
			w.seen.demotions++
		} else if known && !had && !m.Learner {
			w.seen.promotions++
		}
	}
}

// stopForgotten ends the nodes that were removed, and know nobody any more who could tell them.
func (w *world) stopForgotten() {
	for _, n := range w.present() {
		reachable := slices.ContainsFunc(n.node.group.Status().Members, func(m raftnode.Member) bool {
			return m.ID != n.id && !w.nodes[m.ID-1].gone
		})
		removed := slices.ContainsFunc(w.present(), func(l *simNode) bool {
			return l.node.Leading() && !slices.ContainsFunc(l.node.group.Status().Members, func(m raftnode.Member) bool { return m.ID == n.id })
		})
		if removed && !reachable {
			n.crash()
			n.leave()
		}
	}
}

// leave notes that a node has stopped because it was removed. That it was, the members in the end tell.
func (n *simNode) leave() {
	n.node, n.gone = nil, true
	n.w.seen.removals++
	n.w.note("gone %d", n.id)
}
