package raftnode

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// addressBook knows where the other nodes are reached: what the log says, unless a node has said hello
// from somewhere else since. So a node that moved is found by all that it finds, before it has told the
// leader; and a new member that leads can be answered by one that has yet to get the log.
type addressBook struct {
	mu    sync.Mutex
	heard map[uint64]string // from hellos, where the log says something else
	// gone are nodes that were removed. They are still reached for a while, to be told so: for longer than
	// it takes until a connection that died without a word is closed and they have to say hello again.
	gone map[uint64]farewell
}

type farewell struct {
	addr  string
	until time.Duration
}

const farewellTime = 30 * time.Second

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
	g.bidFarewell(before, ms)
	g.tellPeers()
}

// bidFarewell notes who was a member before and is none now.
func (g *Group) bidFarewell(before, now *membership) {
	b := &g.book
	if before == nil {
		return
	}
	for _, m := range before.Members {
		if now.removed(m.ID) && m.ID != g.cfg.NodeID {
			if b.gone == nil {
				b.gone = make(map[uint64]farewell)
			}
			b.gone[m.ID] = farewell{m.RaftAddr, g.cfg.Clock() + farewellTime}
		}
	}
	for id, f := range b.gone { // another node may be there now
		if slices.ContainsFunc(now.Members, func(m Member) bool { return m.RaftAddr == f.addr }) {
			delete(b.gone, id)
		}
	}
}

// tickPeers ends the farewells.
func (g *Group) tickPeers() {
	b := &g.book
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.gone)
	maps.DeleteFunc(b.gone, func(_ uint64, f farewell) bool { return g.cfg.Clock() > f.until })
	if len(b.gone) != n {
		g.tellPeers()
	}
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
	for id, f := range g.book.gone {
		peers[id] = f.addr
	}
	delete(peers, g.cfg.NodeID)
	g.cfg.Transport.SetPeers(peers)
}
