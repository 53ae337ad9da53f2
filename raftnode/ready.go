package raftnode

import (
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"redoubt/failpoint"
)

// handleReady takes what raft has ready and hands each part to whoever does it. Nothing here waits:
// messages that must follow a durable write are attached to that write and sent by the appender.
func (g *Group) handleReady() {
	rd := g.loop.rn.Ready()
	if !raft.IsEmptyHardState(rd.HardState) {
		// Before any message that tells others of this commit leaves: a lease read on this node must
		// not miss what a client of a follower saw acknowledged.
		was, is := g.commit.Load(), rd.HardState.GetCommit()
		failpoint.CommitBefore.Hit()
		g.commit.Store(is)
		failpoint.CommitAfter.Hit()
		if g.loop.appending > 0 {
			g.mail.expectAppend() // what is committed may be part of it
		}
		if l := &g.loop; was < l.lastIndex && l.lastIndex <= is {
			now := g.cfg.Clock()
			l.commitTook = now - l.proposedAt
			l.gather.begin(l.lastCount, len(l.queue), l.commitTook, now)
		}
	}
	if n := len(rd.Entries); n > 0 {
		g.loop.lastIndex = rd.Entries[n-1].GetIndex()
	}
	g.loop.noteChange(rd.Entries)
	if term := g.loop.rn.BasicStatus().HardState.GetTerm(); rd.SoftState != nil || term != g.loop.term {
		g.turn(rd.SoftState, term)
	}
	for _, rs := range rd.ReadStates {
		g.finishRound(rs)
	}
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			if es := m.GetEntries(); len(es) > 0 {
				if g.loop.appending == 0 {
					g.loop.slow.begin(es[0].GetIndex(), g.cfg.Clock())
				}
				g.loop.appending++
			}
			g.appends.put(m)
		case raft.LocalApplyThread:
			g.applies.put(applyTask{message: m})
		default:
			if !g.holdNotice(m) {
				g.sendRaft(m)
			}
		}
	}
}

// holdNotice keeps back a message that tells a follower of a commit and nothing else, while an entry
// is being written or about to be: the next one follows at once and tells of the commit as well. Half of all
// messages between busy nodes would be such notices and their acknowledgements.
func (g *Group) holdNotice(m *pb.Message) bool {
	l := &g.loop
	if m.GetType() != pb.MsgApp {
		return false
	}
	if len(m.GetEntries()) > 0 || l.appending == 0 && len(l.queue) == 0 {
		delete(l.notices, m.GetTo())
		return false
	}
	l.notices[m.GetTo()] = m
	return true
}

// sendNotices sends what holdNotice kept, when no entry came after it.
func (g *Group) sendNotices() {
	if len(g.loop.notices) == 0 {
		return
	}
	for _, to := range slices.Sorted(maps.Keys(g.loop.notices)) {
		g.sendRaft(g.loop.notices[to])
	}
	clear(g.loop.notices)
}

// turn notes a change of role, leader or term.
func (g *Group) turn(soft *raft.SoftState, term uint64) {
	l := &g.loop
	was := *l
	if term != l.term {
		l.term = term
		l.origins, l.rounds = nil, 0
		l.change.index, l.change.rounds = 0, nil
		l.fwd = forwardState{}
		l.space.reports, l.space.verdict = nil, spaceReport{}
		clear(l.notices)
	}
	if soft != nil {
		l.role, l.lead = soft.RaftState, soft.Lead
	}
	if was.role == raft.StateLeader && l.role != raft.StateLeader {
		g.leaseUntil.Store(0)
		g.dropRemote()
	}
	if was.role != l.role || was.lead != l.lead || was.term != l.term {
		g.requeueReads()
	}
	if l.role == raft.StateLeader && was.role != raft.StateLeader {
		g.stats.Elections.Add(1)
		l.leadsSince = g.cfg.Clock()
	}
	g.publishView()
	if roleName(was.role) != roleName(l.role) || was.lead != l.lead {
		g.logger.Info("role", zap.String("role", roleName(l.role)), zap.Uint64("term", l.term),
			zap.Uint64("leader", l.lead))
	}
}

// sendRaft sends one raft message to a peer.
func (g *Group) sendRaft(m *pb.Message) {
	if g.muted(m) {
		return
	}
	if m.GetType() == pb.MsgSnap {
		g.spawn(func() { g.sendSnapshot(m) })
		return
	}
	frame := encodeRaft(m)
	lane := LaneControl
	if len(m.GetEntries()) > 0 {
		lane = LaneBulk
	}
	if failpoint.SendBefore.Err() != nil {
		return
	}
	g.cfg.Transport.Send(m.GetTo(), lane, frame)
	failpoint.SendAfter.Hit()
}

// spawn has f run beside everything else.
func (g *Group) spawn(f func()) {
	if g.steps != nil {
		g.steps.tasks = append(g.steps.tasks, f)
		return
	}
	g.stopped.Go(f)
}

// runAppender makes log entries and votes durable, then delivers the messages that waited for it.
func (g *Group) runAppender() {
	defer g.stopped.Done()
	defer func() {
		if p := recover(); p != nil { // Pebble's word for a log file that it can't make
			g.fail(fmt.Errorf("log: %v", p))
		}
	}()
	var batch []*pb.Message
	for ok := true; ok; {
		if batch, ok = g.appends.take(batch); ok {
			ok = g.appendAll(batch)
		}
	}
}

// appendAll does what the messages ask for, with as few syncs as their order allows. It returns false
// when the group has failed.
func (g *Group) appendAll(messages []*pb.Message) bool {
	for rest := messages; len(rest) > 0; {
		n, err := 1, error(nil)
		if rest[0].GetSnapshot() != nil {
			err = g.install(rest[0])
		} else {
			var entries []*pb.Entry
			n, entries = mergeAppends(rest)
			err = g.append(rest[:n], entries)
		}
		if err != nil {
			g.fail(err)
			return false
		}
		for _, m := range rest[:n] {
			g.deliver(m.GetResponses(), len(m.GetEntries()) > 0)
		}
		rest = rest[n:]
	}
	return true
}

// mergeAppends returns how many of the messages can be written as one, and their entries: one sync
// then serves all.
func mergeAppends(messages []*pb.Message) (n int, entries []*pb.Entry) {
	for i, m := range messages {
		if m.GetSnapshot() != nil {
			return i, entries
		}
		es := m.GetEntries()
		switch last := len(entries) - 1; {
		case len(es) == 0:
		case last < 0:
			entries = es[:len(es):len(es)] // mostly there is one message with entries
		case es[0].GetIndex() != entries[last].GetIndex()+1:
			return i, entries
		default:
			entries = append(entries, es...)
		}
	}
	return len(messages), entries
}

// append writes what the messages ask for. An advance of the commit index alone is not written: it
// is found again from the leader, and a restart takes at least the applied index. But a change of the
// members is written together with a commit index that covers the change before it: so raft knows, after
// a restart with an older state, that there are changes to apply before it may call an election. Elections
// by the members of two changes ago could be won without a node that has what was committed since.
func (g *Group) append(messages []*pb.Message, entries []*pb.Entry) error {
	var hard *pb.HardState
	for _, m := range messages {
		if m.GetTerm() != 0 {
			hard = &pb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit} // which nobody changes
			g.hard = hard
		}
	}
	if hard == nil && slices.ContainsFunc(entries, isChange) {
		hard = g.hard
	}
	stored, _, _ := g.cfg.Log.InitialState()
	promise := !raft.IsEmptyHardState(hard) &&
		(hard.GetTerm() != stored.GetTerm() || hard.GetVote() != stored.GetVote())
	if len(entries) == 0 && !promise {
		return nil
	}
	if !promise {
		return g.cfg.Log.Append(hard, entries, true)
	}
	if err := failpoint.HardStateBefore.Err(); err != nil {
		return err
	}
	return failpoint.HardStateAfter.After(g.cfg.Log.Append(hard, entries, true))
}

func isChange(e *pb.Entry) bool { return e.GetType() == pb.EntryConfChange }

// deliver sends the responses of a finished storage write: to this node's raft or to others. On a follower
// it is the leader who waits for it to be told.
func (g *Group) deliver(responses []*pb.Message, appended bool) {
	tell := g.mail.put
	if appended && g.view.Load().Role == roleFollower {
		tell = g.mail.leave
	}
	tell(func(in *mail) {
		if appended {
			in.appended++
		}
		for _, m := range responses {
			if m.GetTo() == g.cfg.NodeID {
				in.messages = append(in.messages, m)
			}
		}
	})
	for _, m := range responses {
		if m.GetTo() != g.cfg.NodeID {
			g.sendRaft(m)
		}
	}
}

const roleFollower = "follower"

func roleName(role raft.StateType) string {
	switch role {
	case raft.StateLeader:
		return "leader"
	case raft.StateFollower:
		return roleFollower
	default: // pre-candidates are candidates to everyone but raft
		return "candidate"
	}
}
