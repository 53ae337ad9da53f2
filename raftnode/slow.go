package raftnode

import (
	"time"

	"go.etcd.io/raft/v3"
)

const (
	// An append is slow when it takes this part of an election timeout, and the others had the entries on disk and
	// committed before.
	slowPart = 6
	// slowMax is how many slow appends on end tell of a slow disk; one that takes a whole election timeout does so
	// by itself.
	slowMax = 5
	// slowPause is how many election timeouts pass before a node with a slow disk hands over again.
	slowPause = 10
)

// slowState watches this node's disk while it leads. A leader on a slow disk does not hold up commits, which two
// others can make without it, but its own clients, who are answered when it has applied them, and its log falls
// behind what it has to send.
type slowState struct {
	since   time.Duration // when the oldest append under way was begun
	first   uint64        // the index of its first entry
	strikes int
	pause   time.Duration // until then nothing is done about it
}

func (s *slowState) begin(first uint64, now time.Duration) { s.since, s.first = now, first }

// appended notes that the appender has finished. commit is what the others have made sure of without it.
func (s *slowState) appended(now, limit time.Duration, commit uint64) {
	if now-s.since > limit && commit >= s.first {
		s.strikes++
	} else {
		s.strikes = 0
	}
	s.since = now // if there are more, they are written from now on
}

// tickSlow hands over leadership when this node's disk is slower than those of the others.
func (g *Group) tickSlow() {
	l, now := &g.loop, g.cfg.Clock()
	s := &l.slow
	if l.role != raft.StateLeader {
		s.strikes = 0
		return
	}
	stuck := l.appending > 0 && now-s.since > g.electionTimeout() && g.commit.Load() >= s.first
	if !stuck && s.strikes < slowMax || now < s.pause {
		return
	}
	s.strikes, s.pause = 0, now+slowPause*g.electionTimeout()
	if err := g.transfer(0); err != nil {
		return // there is nobody
	}
	g.logger.Warn("leadership is handed over: this node's disk is slower than those of the others")
}
