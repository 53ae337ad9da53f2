package raftnode

import (
	"time"

	"go.etcd.io/raft/v3"
)

// A node asks the leader for what only the leader can do or knows. The request goes to whoever leads, which
// may be the node itself, and is repeated until there is an answer, so that it has to be of a kind that
// bears to be served twice.

// request is what the leader is asked for: one of the three.
type request struct {
	ID       uint64  `json:"id"` // names it, together with the node that asks
	Change   *Change `json:"change,omitempty"`
	Transfer *uint64 `json:"transfer,omitempty"` // to whom; 0: to the best
	Status   bool    `json:"status,omitempty"`
}

// answer is what the leader says to a request.
type answer struct {
	ID      uint64        `json:"id"`
	Refused string        `json:"refused,omitempty"` // why it is not done
	Again   string        `json:"again,omitempty"`   // why it can't be done right now
	Wait    bool          `json:"wait,omitempty"`    // it shows in the log, or in who leads, when it is done
	Status  *leaderStatus `json:"status,omitempty"`
}

// RefusalError says why the leader does not do what it was asked for. It had no effect.
type RefusalError struct{ Reason string }

func (e *RefusalError) Error() string { return e.Reason }

// ask has the leader serve a request, and returns its answer. Where done is not nil it waits until that is
// true here. Errors: *RefusalError; ErrNoLeader when there was nobody to ask within timeout; ErrTimeout
// when it may still happen; ErrClosed.
func (g *Group) ask(r request, timeout time.Duration, done func() bool) (answer, error) {
	answers := make(chan answer, 1)
	r.ID = g.asks.Add(1)
	g.askers.Store(r.ID, answers)
	defer g.askers.Delete(r.ID)
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	ticker := time.NewTicker(g.cfg.TickInterval / 4)
	defer ticker.Stop()
	asked := false // anybody who may have done something about it
	var sent time.Time
	for {
		if now := time.Now(); now.Sub(sent) > g.electionTimeout()/2 {
			sent = now
			if !g.call(func() { asked = g.send(r) || asked }) {
				return answer{}, ErrClosed
			}
		}
		select {
		case a := <-answers:
			switch {
			case a.Refused != "":
				return a, &RefusalError{a.Refused}
			case a.Again == "" && done == nil:
				return a, nil
			}
		case <-ticker.C:
			if done != nil && asked && done() {
				return answer{}, nil
			}
		case <-limit.C:
			if asked {
				return answer{}, ErrTimeout
			}
			return answer{}, ErrNoLeader
		case <-g.stop:
			if done != nil && asked && done() {
				return answer{}, nil
			}
			return answer{}, ErrClosed
		}
	}
}

// send brings a request to the leader, and says whether there is one.
func (g *Group) send(r request) bool {
	switch l := &g.loop; {
	case l.role == raft.StateLeader:
		g.takeAnswer(g.serve(g.cfg.NodeID, r))
		return true
	case l.lead != raft.None:
		g.cfg.Transport.Send(l.lead, LaneControl, encodeJSON(frameAsk, r))
		return true
	}
	return false
}

// takeAsk is another node's request.
func (g *Group) takeAsk(from uint64, r request) {
	g.cfg.Transport.Send(from, LaneControl, encodeJSON(frameAnswer, g.serve(from, r)))
}

// serve does what is asked for, as the leader.
func (g *Group) serve(from uint64, r request) answer {
	var a answer
	switch {
	case g.loop.role != raft.StateLeader:
		a.Again = "this node does not lead"
	case r.Change != nil:
		a = g.serveChange([2]uint64{from, r.ID}, *r.Change)
	case r.Transfer != nil:
		a.Wait = true
		if err := g.transfer(*r.Transfer); err != nil {
			a = g.refusal(err)
		}
	case r.Status:
		a.Status = g.leaderStatus()
	}
	a.ID = r.ID
	return a
}

// refusal is the answer of a leader that may not do something, as far as it knows who is there. One that was elected
// lately has not heard of everybody yet, and is asked again.
func (g *Group) refusal(err error) answer {
	if g.cfg.Clock()-g.loop.leadsSince < g.electionTimeout() {
		return answer{Again: err.Error()}
	}
	return answer{Refused: err.Error()}
}

// takeAnswer hands an answer to whoever waits for it.
func (g *Group) takeAnswer(a answer) {
	if waiting, ok := g.askers.Load(a.ID); ok {
		select {
		case waiting.(chan answer) <- a:
		default: // it has one already
		}
	}
}
