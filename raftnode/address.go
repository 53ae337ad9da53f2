package raftnode

import (
	"maps"
	"sync"
)

// addressBook knows where the other nodes are reached: what the log says, unless a node has said hello
// from somewhere else since. So a node that moved is found by all that it finds, before it has told the
// leader; and a new member that leads can be answered by one that has yet to get the log.
type addressBook struct {
	mu    sync.Mutex
	heard map[uint64]string // from hellos, where the log says something else
}

// noteAddress takes a node's word for where it is.
func (g *Group) noteAddress(h Hello) {
	b := &g.book
	b.mu.Lock()
	defer b.mu.Unlock()
	m, _ := g.members.Load().find(h.From)
	at := m.RaftAddr
	if heard := b.heard[h.From]; heard != "" {
		at = heard
	}
	if h.Addr == at || !dialable(h.Addr) {
		return
	}
	if b.heard == nil {
		b.heard = make(map[uint64]string)
	}
	b.heard[h.From] = h.Addr
	g.tellPeers()
}

// updatePeers tells the transport of the present members; before are those of the time before. What the
// log has learned of a node since then counts more than what was heard.
func (g *Group) updatePeers(before *membership) {
	b := &g.book
	b.mu.Lock()
	defer b.mu.Unlock()
	ms := g.members.Load()
	for id := range b.heard {
		m, is := ms.find(id)
		moved := false
		if before != nil {
			old, was := before.find(id)
			moved = was && old.RaftAddr != m.RaftAddr
		}
		if ms.removed(id) || is && (moved || m.RaftAddr == b.heard[id]) {
			delete(b.heard, id)
		}
	}
	g.tellPeers()
}

// tellPeers runs with the book's lock held, so that the transport learns of things in their order.
func (g *Group) tellPeers() {
	peers := maps.Clone(g.book.heard)
	if peers == nil {
		peers = make(map[uint64]string)
	}
	for _, m := range g.members.Load().Members {
		if peers[m.ID] == "" {
			peers[m.ID] = m.RaftAddr
		}
	}
	delete(peers, g.cfg.NodeID)
	g.cfg.Transport.SetPeers(peers)
}
