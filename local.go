package redoubt

import (
	"context"
	"fmt"
	"time"

	"redoubt/command"
	"redoubt/fsm"
)

// liveHeartbeats is for how many heartbeats a leader counts as live after it answered.
const liveHeartbeats = 3

// keepFresh has the leader confirm again and again what this node has. When a barrier is passed, the
// state holds every write that was acknowledged before the barrier began: that moment is freshAt.
func (n *Node) keepFresh() {
	defer n.stopped.Done()
	ticker := time.NewTicker(n.cfg.HeartbeatInterval)
	defer ticker.Stop()
	for {
		asked := n.clock()
		if n.group.ReadBarrier() == nil {
			n.freshAt.Store(max(1, int64(asked)))
		}
		select {
		case <-ticker.C:
		case <-n.ctx.Done():
			return
		}
	}
}

// staleness returns how old the state may be that a reader found after freshAt had this value. It is
// negative when the leader has confirmed nothing since the start.
func (n *Node) staleness(freshAt int64) time.Duration {
	if freshAt == 0 {
		return -1
	}
	return n.clock() - time.Duration(freshAt)
}

// Staleness returns how old the state of this node may be. It is negative when the leader has confirmed nothing since the
// start.
func (n *Node) Staleness() time.Duration { return n.staleness(n.freshAt.Load()) }

// readLocal answers from what this node has, if that is not older than the bound. The clock is looked at
// last: a process that was stopped during the read does not pass an old state for a new one. A key counts
// as expired once the log says so, since agreeing on that needs the leader.
func (n *Node) readLocal(req *fsm.Request) error {
	freshAt := n.freshAt.Load()
	if _, err := n.state.Read(req, 0); err != nil {
		n.group.Fail(fmt.Errorf("read: %w", err))
		return command.ErrClosed
	}
	age, limit := n.staleness(freshAt), time.Duration(n.maxStaleness.Load())
	if limit > 0 && (age < 0 || age > limit) {
		return command.ErrStale
	}
	return nil
}

// SetMaxStaleness changes Config.MaxStaleness; 0 or less is no bound.
func (n *Node) SetMaxStaleness(limit time.Duration) { n.maxStaleness.Store(int64(max(limit, 0))) }

// View says who leads, as far as this node knows.
func (n *Node) View() command.View {
	v := n.group.View()
	view := command.View{Role: v.Role, Term: v.Term, Leader: v.Leader}
	for _, m := range n.group.Members() {
		if m.ID == v.Leader {
			view.LeaderAddr = m.ClientAddr
		}
	}
	age := n.Staleness()
	view.Live = v.Leader == n.dir.id.NodeID || age >= 0 && age < liveHeartbeats*n.cfg.HeartbeatInterval
	return view
}

// Members returns the members of the cluster as this node knows them: without what only the leader knows.
func (n *Node) Members() []command.Member { return n.members(n.group.View().Leader) }

// Progress asks the leader how far each member is.
func (n *Node) Progress(ctx context.Context) ([]command.Member, error) {
	s := command.Status{Members: n.Members()}
	if err := n.addProgress(&s, untilEnd(ctx, progressTimeout)); err != nil {
		return nil, engineError(err)
	}
	return s.Members, nil
}

// untilEnd returns how long to wait so as not to wait beyond the end of ctx.
func untilEnd(ctx context.Context, limit time.Duration) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return min(limit, max(0, time.Until(end)))
	}
	return limit
}
