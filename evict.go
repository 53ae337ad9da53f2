package redoubt

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"redoubt/command"
	"redoubt/fsm"
)

const (
	// victimsMax is how many keys one log entry evicts at most.
	victimsMax = 512
	evictBytes = 1 << 20 // of names of keys in it
	// A limit of the data set may be passed by a part of it that lies in these bounds, while keys are being evicted: see
	// margin.
	marginPart = 16
	marginMin  = 64 << 10
	marginMax  = 32 << 20
	// roomEvery is how often a write that waits for room looks again.
	roomEvery = 2 * time.Millisecond
)

// margin is by how much writes may pass the limit of the data set before they wait for the evictions, and how many bytes of
// writes one node has under way.
func margin(l fsm.Limit) int64 { return min(max(l.MaxMemory/marginPart, marginMin), marginMax) }

// growing counts the bytes of the writes under way that may make the data grow. What they will make of it shows only
// when they are applied.
type growing struct {
	mu    sync.Mutex
	bytes int64
}

// doWithin is do while the data set has a limit.
func (n *Node) doWithin(req *fsm.Request) (write bool, err error) {
	size := int64(0)
	for i := range req.Calls {
		if n.fills(&req.Calls[i]) {
			size += growth(&req.Calls[i])
		}
	}
	if size == 0 {
		return n.do(req)
	}
	if !n.awaitRoom(size) {
		return n.doAllowed(req, command.OutOfMemory, func(c *fsm.Call) bool { return !n.fills(c) })
	}
	defer n.growing.leave(size)
	return n.do(req)
}

// growth is about how many bytes of data a call makes.
func growth(c *fsm.Call) int64 {
	const rest = 32 // of a row beside its key and value
	size := int64(rest)
	for _, arg := range c.Args {
		size += int64(len(arg))
	}
	return size
}

// awaitRoom lets a write of some bytes pass, at once or when keys were evicted. It returns false when it is to be refused.
func (n *Node) awaitRoom(size int64) bool {
	end := time.Now().Add(n.cfg.RequestTimeout)
	for {
		m := n.state.Memory()
		room, wait := n.growing.enter(m, size)
		if room || !wait || time.Now().After(end) {
			return room
		}
		select {
		case <-time.After(roomEvery):
		case <-n.ctx.Done():
			return true // and learns that the node is closing
		}
	}
}

// enter lets a write of some bytes begin, if there is room. wait: there may be room later.
func (g *growing) enter(m fsm.Memory, size int64) (room, wait bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	limit := m.MaxMemory
	if m.Policy != fsm.NoEviction {
		limit += margin(m.Limit)
	}
	switch {
	case m.MaxMemory == 0:
	case m.Over() && !m.Evictable:
		return false, false
	case m.DataBytes > limit, g.bytes > 0 && m.DataBytes+g.bytes > limit, g.bytes >= margin(m.Limit):
		return false, true
	}
	g.bytes += size
	return true, false
}

func (g *growing) leave(size int64) {
	g.mu.Lock()
	g.bytes -= size
	g.mu.Unlock()
}

// evict sees to it that the data set stays within its limit, while this node leads.
func (n *Node) evict() {
	defer n.stopped.Done()
	ticker := time.NewTicker(expireEvery)
	defer ticker.Stop()
	var hand fsm.Hand
	for {
		select {
		case <-ticker.C:
			n.state.SetClock(n.platform.wall())
			n.offerLimit()
		case <-n.state.over:
		case <-n.ctx.Done():
			return
		}
		for n.Leading() && n.ctx.Err() == nil {
			m := n.state.Memory()
			if !m.Over() || !m.Evictable || !n.evictSome(&hand, m.DataBytes-m.MaxMemory) {
				break
			}
		}
	}
}

// evictSome has keys of so many bytes deleted, and says whether there were any.
func (n *Node) evictSome(hand *fsm.Hand, wanted int64) bool {
	victims, err := n.state.Victims(hand, n.platform.rand(), wanted, victimsMax)
	if err != nil {
		if !errors.Is(err, fsm.ErrClosed) {
			n.group.Fail(fmt.Errorf("evict: %w", err))
		}
		return false
	}
	if len(victims) == 0 {
		return false
	}
	size := 0 // of one entry
	for i := range victims {
		if size += len(victims[i].Key); size > evictBytes && i > 0 {
			victims = victims[:i]
			break
		}
	}
	return n.write(&fsm.Request{Calls: command.EvictCalls(victims)}) == nil
}

// offerLimit gives the limit of the configuration to a cluster that never had one, as its leader.
func (n *Node) offerLimit() {
	limit := n.cfg.limit()
	if limit == fsm.DefaultLimit || !n.Leading() || n.state.Memory().Set {
		return
	}
	call := command.SetConfigCall(true, "maxmemory", strconv.FormatInt(limit.MaxMemory, 10),
		"maxmemory-policy", limit.Policy.String(), "maxmemory-samples", strconv.FormatInt(limit.Samples, 10))
	if err := n.write(&fsm.Request{Calls: []fsm.Call{call}}); err == nil {
		n.logger.Info("the cluster has the limit of this node's settings", zap.Int64("maxmemory", limit.MaxMemory),
			zap.Stringer("policy", limit.Policy))
	}
}

// Memory says how large the data set is, and its limit.
func (n *Node) Memory() fsm.Memory { return n.state.Memory() }

// Settings returns those of the cluster.
func (n *Node) Settings() fsm.Settings { return n.state.Settings() }
