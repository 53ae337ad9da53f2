package raftnode

import (
	"encoding/binary"
	"sync"
	"time"
)

// Beside the log, members tell each other bytes that need not last: Broadcast sends a message to all other members
// at once, and each gets it at most once, in the order of its sender. Nothing is repeated. But who misses something learns
// that it did: the sender numbers its messages, every frame says with which number it begins and in which run of the
// sender, and a frame without messages, the pulse, goes out with every heartbeat. So the receiver sees what a full queue,
// a broken stream or a restart has cost, and a sender that is silent may have said anything.

const (
	// castMax bounds, in bytes, what waits to be made a frame. What is beyond it is lost.
	castMax = linkQueueMax
	// castSilence is after how many election timeouts a sender of which nothing is heard is reported.
	castSilence = 4
	castHead    = 1 + 8 + 8 // kind, run of the sender, number of the first message
)

// Audience takes what other members broadcast. Its methods are called by one goroutine at a time, and must not wait.
type Audience interface {
	// Heard takes messages in their order; they may be kept.
	Heard(from uint64, messages [][]byte)
	// Lost says that this node may have missed messages of that member, after those that it has heard; 0: there has been no
	// leader for so long that this node may be cut off.
	Lost(from uint64)
}

// cast is what a group has for messages beside the log.
type cast struct {
	mu    sync.Mutex
	frame []byte // with room for the head, then messages with their lengths; nil: none
	next  uint64 // number of the next message
	first uint64 // of the first one in frame
	pulse bool   // send a frame even if there is no message
	wake  chan struct{}

	hearing sync.Mutex // held while the audience listens
	sources map[uint64]*source
	leader  source // of what the leader does for all
}

// source is what is known of another member's messages.
type source struct {
	run, before uint64 // the member's present run and the one before; 0: not known
	next        uint64 // number of the message that is to come next
	heard       time.Duration
	silent      bool // its silence was reported
}

// Broadcast sends message to all other members. It waits for nothing, and holds on to nothing.
func (g *Group) Broadcast(message []byte) {
	c := &g.cast
	c.mu.Lock()
	switch {
	case c.frame == nil:
		c.frame = make([]byte, castHead, castHead+len(message)+binary.MaxVarintLen64)
		c.first = c.next
	case len(c.frame)+len(message) > castMax:
		c.frame = c.frame[:castHead]
		c.first = c.next + 1
	}
	if c.first <= c.next {
		c.frame = appendBytes(c.frame, message)
	}
	c.next++
	c.mu.Unlock()
	c.ring()
}

func (c *cast) ring() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// runCaster sends what is broadcast: while it makes one frame, others' messages gather for the next.
func (g *Group) runCaster() {
	defer g.stopped.Done()
	for {
		select {
		case <-g.stop:
			return
		case <-g.cast.wake:
			g.sendCast()
		}
	}
}

// tickCast has a pulse sent.
func (g *Group) tickCast() {
	c := &g.cast
	if g.loop.castTicks++; g.cfg.Audience == nil || g.loop.castTicks < g.cfg.HeartbeatTicks {
		return
	}
	g.loop.castTicks = 0
	c.mu.Lock()
	c.pulse = true
	c.mu.Unlock()
	if g.steps != nil {
		g.sendCast()
	} else {
		c.ring()
	}
}

// sendCast sends what waits to all members.
func (g *Group) sendCast() {
	c := &g.cast
	c.mu.Lock()
	frame, first, pulse := c.frame, c.first, c.pulse
	if frame == nil {
		frame, first = make([]byte, castHead), c.next
	}
	c.frame, c.pulse = nil, false
	c.mu.Unlock()
	if pulse {
		g.listenForSilence()
	}
	if len(frame) == castHead && !pulse {
		return
	}
	frame[0] = frameCast
	binary.BigEndian.PutUint64(frame[1:], g.origin)
	binary.BigEndian.PutUint64(frame[9:], first)
	for _, m := range g.members.Load().Members {
		if m.ID != g.cfg.NodeID {
			g.cfg.Transport.Send(m.ID, LaneCast, frame)
		}
	}
}

// hear takes a frame of another member. Those of a stream that has broken may come after the first ones of the next.
func (g *Group) hear(from uint64, body []byte) {
	r := reader{b: body}
	run, first := r.uint64(), r.uint64()
	var messages [][]byte
	for len(r.b) > 0 && !r.bad {
		messages = append(messages, r.bytes())
	}
	if r.bad || run == 0 || g.cfg.Audience == nil {
		return
	}
	g.cast.hearing.Lock()
	defer g.cast.hearing.Unlock()
	s := g.cast.source(from, g.cfg.Clock())
	if run == s.before {
		return
	}
	lost := first > s.next
	if run != s.run {
		// What it said before this node first heard of it, or in its last moments, is not known.
		lost = s.run != 0 || first > 0
		s.run, s.before, s.next = run, s.run, first
	}
	if first < s.next {
		messages = messages[min(s.next-first, uint64(len(messages))):]
		first = s.next
	}
	s.next = first + uint64(len(messages))
	s.heard, s.silent = g.cfg.Clock(), false
	if lost {
		g.cfg.Audience.Lost(from)
	}
	if len(messages) > 0 {
		g.cfg.Audience.Heard(from, messages)
	}
}

// source returns what is known of a member; hearing is held.
func (c *cast) source(id uint64, now time.Duration) *source {
	s := c.sources[id]
	if s == nil {
		s = &source{heard: now}
		c.sources[id] = s
	}
	return s
}

// listenForSilence reports the members of which nothing has been heard for long: whatever they say is lost to this
// node, and if it is a crash, so may be what they had said last.
func (g *Group) listenForSilence() {
	c := &g.cast
	c.hearing.Lock()
	defer c.hearing.Unlock()
	now, members := g.cfg.Clock(), g.members.Load()
	for id := range c.sources {
		if _, ok := members.find(id); !ok {
			delete(c.sources, id)
		}
	}
	if g.View().Leader != 0 {
		c.leader = source{heard: now}
	}
	if g.silent(&c.leader, now) {
		g.cfg.Audience.Lost(0)
	}
	for _, m := range members.Members {
		if m.ID == g.cfg.NodeID {
			continue
		}
		if g.silent(c.source(m.ID, now), now) {
			g.cfg.Audience.Lost(m.ID)
		}
	}
}

// silent says, once, that nothing has been heard of a source for long.
func (g *Group) silent(s *source, now time.Duration) bool {
	if s.silent || now-s.heard <= castSilence*g.electionTimeout() {
		return false
	}
	s.silent = true
	return true
}
