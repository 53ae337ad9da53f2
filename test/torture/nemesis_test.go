package torture_test

import (
	"math/rand"
	"strconv"
	"strings"
	"time"
)

// fault is a way to trouble a cluster. It returns when the trouble has lasted; what ends it is
// common to all faults: see heal.
type fault struct {
	name string
	do   func(*nemesis)
}

// nemesis inflicts faults, in an order and with choices that its seed determines. Real processes
// are not deterministic: the same seed gives the same faults, not the same run.
type nemesis struct {
	c   *cluster
	all *crowd
	rnd *rand.Rand
	// last is the last leader and term that were seen, and changes how often they were others.
	last    [2]int
	changes int
}

func faults() []fault {
	return []fault{
		{"kill -9 of the leader", func(m *nemesis) { m.deposed(m.leader(), (*node).kill) }},
		{"kill -9 of a node", func(m *nemesis) { m.random().kill(); m.hold() }},
		{"kill -9 of all nodes", func(m *nemesis) { m.c.killAll() }},
		{"kill -9 of two nodes, one after the other", (*nemesis).killTwo},
		{"the leader stops for long", func(m *nemesis) { m.deposed(m.leader(), (*node).pause) }},
		{"a node stops for long", func(m *nemesis) { m.random().pause(); m.hold() }},
		{"the leader stops for a moment, again and again", (*nemesis).stutter},
		{"the leader is cut off", func(m *nemesis) { m.deposed(m.leader(), m.isolate) }},
		{"a node is cut off", func(m *nemesis) { m.isolate(m.random()); m.hold() }},
		{"the leader is not heard", func(m *nemesis) { m.deposed(m.leader(), m.mute) }},
		{"the leader does not hear", func(m *nemesis) { m.deposed(m.leader(), m.deafen) }},
		{"one way between two nodes is cut", (*nemesis).oneWay},
		{"no node reaches another", (*nemesis).splitAll},
		{"slow network", func(m *nemesis) { m.network(trouble{delay: 30 * time.Millisecond}) }},
		{"lossy network", func(m *nemesis) { m.network(trouble{loss: 0.05, reset: 0.005}) }},
		{"the leader's disk is slow", func(m *nemesis) { m.slowDisks(m.leader()) }},
		{"all disks are slow", func(m *nemesis) { m.slowDisks(m.c.nodes...) }},
		{"transfers of leadership", (*nemesis).transfers},
		{"SIGTERM for the leader", func(m *nemesis) { m.deposed(m.leader(), m.c.terminate) }},
		{"snapshots", (*nemesis).snapshots},
		{"the leader is cut off, then killed with all others", func(m *nemesis) {
			m.deposed(m.leader(), m.isolate)
			m.c.killAll()
		}},
		{"a node misses so much that it needs a snapshot", func(m *nemesis) { m.outrun(m.leader()) }},
		{"a node needs a snapshot, and the leader dies", func(m *nemesis) {
			leader := m.leader()
			m.outrun(leader)
			leader.kill()
			m.hold()
		}},
	}
}

// shaky is a network on which everything works, but not well.
var shaky = trouble{delay: 3 * time.Millisecond, loss: 0.01}

// torment inflicts all the faults, in an order of the seed's, every third on a shaky network.
func (m *nemesis) torment(start time.Time) {
	m.c.t.Helper()
	all := faults()
	m.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, f := range all {
		name := f.name
		if m.rnd.Intn(3) == 0 {
			name += ", on a shaky network"
			m.c.net.set(shaky, ways(m.c.ids(nil), m.c.ids(nil))...)
		}
		m.c.t.Logf("%7v %s", time.Since(start).Round(time.Millisecond), name)
		f.do(m)
		m.heal()
	}
	m.c.t.Logf("%7v all faults are healed", time.Since(start).Round(time.Millisecond))
}

// hold lets a fault last longer than an election takes.
func (m *nemesis) hold() { time.Sleep(time.Duration(500+m.rnd.Intn(2000)) * time.Millisecond) }

func (m *nemesis) leader() *node {
	n := m.c.leader(nil)
	m.note(n)
	return n
}

// note counts changes of the leader.
func (m *nemesis) note(n *node) {
	_, term := n.view()
	now := [2]int{n.id, term}
	if term > 0 && m.last[1] > 0 && now != m.last {
		m.changes++
	}
	if term > 0 {
		m.last = now
	}
}

func (m *nemesis) random() *node { return m.c.nodes[m.rnd.Intn(len(m.c.nodes))] }

func (m *nemesis) other(n *node) *node {
	ids := m.c.ids(n)
	return m.c.nodes[ids[m.rnd.Intn(len(ids))]-1]
}

// deposed does to the leader what makes the others elect another one, and waits until they have.
func (m *nemesis) deposed(leader *node, do func(*node)) {
	do(leader)
	m.note(m.c.leader(leader))
	time.Sleep(time.Duration(m.rnd.Intn(1000)) * time.Millisecond)
}

// outrun cuts another node off until the leader's log no longer has what it misses, and lets it return.
func (m *nemesis) outrun(leader *node) {
	slow := m.other(leader)
	m.isolate(slow)
	last := slow.status("last")
	m.c.eventually("the log is truncated beyond a node that is cut off", func() bool {
		m.c.leader(slow).do("RAFT", "SNAPSHOT")
		return m.c.leader(slow).status("first") > last+1
	})
	m.c.net.heal(true) // what was held would be older messages, with some of what it misses
}

func (m *nemesis) isolate(n *node) {
	m.mute(n)
	m.deafen(n)
}

func (m *nemesis) mute(n *node) {
	m.c.net.set(trouble{cut: true}, ways([]int{n.id}, m.c.ids(n))...)
}

func (m *nemesis) deafen(n *node) {
	m.c.net.set(trouble{cut: true}, ways(m.c.ids(n), []int{n.id})...)
}

func (m *nemesis) oneWay() {
	from := m.random()
	m.c.net.set(trouble{cut: true}, way{from.id, m.other(from).id})
	m.hold()
}

func (m *nemesis) splitAll() {
	m.network(trouble{cut: true})
}

func (m *nemesis) network(tr trouble) {
	all := m.c.ids(nil)
	m.c.net.set(tr, ways(all, all)...)
	m.hold()
}

// slowDisks makes every sync of the log take long.
func (m *nemesis) slowDisks(nodes ...*node) {
	delay := strconv.Itoa(20+m.rnd.Intn(80)) + "ms"
	for _, n := range nodes {
		if got := n.do("DEBUG", "FAILPOINT", "log-sync-before", "delay", delay); !strings.Contains(got, "OK") {
			m.c.t.Errorf("node %d does not slow down: %q", n.id, got)
		}
	}
	m.hold()
	for _, n := range nodes {
		n.do("DEBUG", "FAILPOINT", "log-sync-before", "off")
	}
}

func (m *nemesis) killTwo() {
	first := m.leader()
	first.kill()
	time.Sleep(time.Duration(m.rnd.Intn(500)) * time.Millisecond)
	m.other(first).kill()
	m.hold()
}

// stutter stops the leader for times around the election timeout: at some of them others vote, and it
// wakes up in the middle.
func (m *nemesis) stutter() {
	for range 3 {
		n := m.leader()
		n.pause()
		time.Sleep(time.Duration(300+m.rnd.Intn(900)) * time.Millisecond)
		m.wake(n)
	}
}

func (m *nemesis) transfers() {
	for range 4 {
		m.random().do("RAFT", "TRANSFER")
		m.note(m.c.leader(nil))
	}
}

func (m *nemesis) snapshots() {
	for range 4 {
		m.random().do("RAFT", "SNAPSHOT")
	}
}

// heal ends all troubles, and waits until every node serves its clients again.
func (m *nemesis) heal() {
	m.c.t.Helper()
	m.c.net.heal(m.rnd.Intn(2) == 0)
	for _, n := range m.c.nodes {
		n.mu.Lock()
		stopped, ending, exited := n.stopped, n.ending, n.exited
		n.mu.Unlock()
		switch {
		case ending:
			<-exited
			m.c.start(n)
		case stopped:
			m.wake(n)
		}
	}
	m.note(m.c.leader(nil))
	m.serve(30)
}

// wake lets a stopped node go on, with requests waiting that came long after it stopped: those of its
// own clients came before others could have written anything that it missed.
func (m *nemesis) wake(n *node) {
	visits := m.all.visit(n)
	n.resume()
	visits.Wait()
}

// serve waits until every node has answered so many requests more.
func (m *nemesis) serve(requests int64) {
	m.c.t.Helper()
	for _, n := range m.c.nodes {
		goal := n.served.Load() + requests
		m.c.eventually("all nodes serve their clients", func() bool { return n.served.Load() >= goal })
	}
}
