package server

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"redoubt/command"
)

const (
	// watchEvery is how soon a change of leader is told to subscribers.
	watchEvery = 20 * time.Millisecond
	// progressEvery is how often the leader is asked which members it hears from.
	progressEvery = 250 * time.Millisecond
	// downAfter is how long the leader hears nothing from a member that clients are told is down.
	downAfter = 2 * time.Second
)

// watch remembers what clients are to be told of the cluster although no node knows it at the moment:
// who led last, and which members were there lately. Messages of the Sentinel face follow from it.
type watch struct {
	mu     sync.Mutex
	leader peer // the last one known; id 0: none ever was
	absent bool // subscribers were told that there is no leader
	seen   map[uint64]*sighting
}

// sighting is what the leader last knew of a member.
type sighting struct {
	heard time.Duration // on Server.clock
	match uint64
	down  bool
}

// peer is a node as the faces show it.
type peer struct {
	command.Member
	id     string // 40 hexadecimal digits, as Redis's node ids and run ids
	host   string
	port   int
	master bool
	down   bool
	heard  time.Duration // how long ago the leader heard from it
}

func (p *peer) addr() string { return fmt.Sprintf("%s:%d", p.host, p.port) }

// nodeName derives the name of a node, or with 0 of the shard, from the ids that it has for good.
func nodeName(cluster, node uint64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], cluster)
	binary.BigEndian.PutUint64(b[8:], node)
	sum := sha1.Sum(b[:])
	return hex.EncodeToString(sum[:])
}

// watchCluster keeps the watch until the server closes.
func (s *Server) watchCluster() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
			s.lookAtLeader()
		}
	}
}

func (s *Server) watchProgress() {
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for {
		s.lookAtMembers()
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// lookAtLeader notes who leads, and tells subscribers of a change.
func (s *Server) lookAtLeader() {
	view := s.engine.View()
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if view.Leader == 0 {
		if w.leader.ID != 0 && !w.absent {
			w.absent = true
			s.tellMaster("+sdown", &w.leader)
			s.tellMaster("+odown", &w.leader)
		}
		return
	}
	before := w.leader
	if !s.follow(view) {
		return
	}
	if before.ID != 0 && before.addr() != w.leader.addr() {
		s.tellSwitch(&before, &w.leader)
	} else if w.absent {
		s.tellMaster("-odown", &w.leader)
		s.tellMaster("-sdown", &w.leader)
	}
	w.absent = false
}

// follow makes the present leader the last known one, and says whether its address is known.
func (s *Server) follow(view command.View) bool {
	for _, m := range s.engine.Members() {
		if p, ok := s.peerOf(m); ok && m.ID == view.Leader {
			s.watch.leader = p
			return true
		}
	}
	return false
}

// lookAtMembers notes which members the leader hears from, and tells subscribers of changes.
func (s *Server) lookAtMembers() {
	ctx, cancel := context.WithTimeout(s.ctx, downAfter/2)
	defer cancel()
	members, err := s.engine.Progress(ctx)
	if err != nil {
		return // without a leader nothing is known
	}
	w := &s.watch
	now := s.clock()
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.seen == nil
	present := map[uint64]*sighting{}
	for _, m := range members {
		at := w.seen[m.ID]
		known := at != nil
		if !known {
			at = &sighting{heard: now}
		}
		present[m.ID] = at
		at.match = m.Match
		if m.Active || m.Leader {
			at.heard = now
		}
		was := at.down
		at.down = now-at.heard > downAfter
		p, ok := s.peerOf(m)
		if !ok || m.Leader || w.leader.ID == 0 {
			continue
		}
		switch {
		case !known && !first:
			s.tellSlave("+slave", &p)
			s.tellSentinel("+sentinel", &p)
		case at.down != was && at.down:
			s.tellSlave("+sdown", &p)
		case at.down != was:
			s.tellSlave("-sdown", &p)
		}
	}
	w.seen = present
}

// peerOf gives a member its name and its parts. It is false while its address is not known.
func (s *Server) peerOf(m command.Member) (peer, bool) {
	p := peer{Member: m, id: nodeName(s.clusterID, m.ID)}
	addr := m.ClientAddr
	if m.Self {
		addr = cmp.Or(addr, s.cfg.Advertise)
	}
	p.host, p.port = splitAddr(addr)
	return p, p.host != ""
}

// cluster returns the nodes as clients are to see them, by id, the master first: the leader, or the last
// one known. Learners are not shown, except to themselves.
func (s *Server) cluster() (nodes []peer, view command.View) {
	view = s.engine.View()
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	master := cmp.Or(view.Leader, w.leader.ID)
	now := s.clock()
	for _, m := range s.engine.Members() {
		p, ok := s.peerOf(m)
		if !ok || !m.Voter && !m.Self {
			continue
		}
		p.master = m.ID == master
		if at := w.seen[m.ID]; at != nil {
			p.Match, p.down, p.heard = at.match, at.down && !m.Self, now-at.heard
		}
		nodes = append(nodes, p)
	}
	slices.SortFunc(nodes, func(a, b peer) int {
		return cmp.Or(-cmp.Compare(oneIf(a.master), oneIf(b.master)), cmp.Compare(a.ID, b.ID))
	})
	if len(nodes) > 0 {
		nodes[0].master = true // until the first leader is known, any node takes every command
	}
	return nodes, view
}

// replicas are the nodes after the master.
func replicas(nodes []peer) []peer { return nodes[min(1, len(nodes)):] }
