package redoubt

import (
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/raftnode"
)

// A simulation is three nodes in one process: the real code from the data directory to the state
// machine, on simulated clocks, disks and a simulated network. Nothing moves by itself; one goroutine
// decides, by a random number generator, what happens next: a message arrives, a worker of a node does
// its next piece of work, time passes, a client sends a request, something breaks. So one seed is one
// run, and can be run again:
//
//	go test . -run Sim -seed 42 -v
var (
	simSeed = flag.Uint64("seed", 0, "run this one schedule of the simulation, and say what happens in it")
	simRuns = flag.Uint64("sim.runs", 200, "how many schedules to run")
	simFrom = flag.Uint64("sim.from", 1, "the first one's seed")
	simFor  = flag.Duration("sim.for", 0, "run schedules for this long instead")
)

func TestSim(t *testing.T) {
	if *simSeed != 0 {
		runSim(t, *simSeed, true)
		return
	}
	var all simSeen
	end := time.Now().Add(*simFor)
	for i := uint64(0); *simFor == 0 && i < *simRuns || *simFor != 0 && time.Now().Before(end); i++ {
		seed := *simFrom + i
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w := runSim(t, seed, false)
			all.add(&w.seen)
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%+v", all)
	if *simRuns >= 100 {
		all.demand(t)
	}
}

// TestSimIsReplayable runs a schedule twice.
func TestSimIsReplayable(t *testing.T) {
	for _, seed := range []uint64{7, 8, 9, 10, 11, 12, 13, 14, 15, 16} {
		var sums [2]uint64
		for i := range sums {
			t.Run(fmt.Sprintf("seed=%d,run=%d", seed, i), func(t *testing.T) {
				sums[i] = runSim(t, seed, false).trace.Sum64()
			})
		}
		if sums[0] != sums[1] {
			t.Errorf("seed %d gives two different runs", seed)
		}
	}
}

// simSeen counts what a run has met.
type simSeen struct {
	done, refused, unknown           int // requests
	crashes, crashesInside, restarts int
	leaders, snapshots, expired      int
	cuts, pauses, transfers, jumps   int
	traps, errors                    int
	joins, removals                  int // of nodes
	promotions, demotions            int
}

func (s *simSeen) add(o *simSeen) {
	s.done, s.refused, s.unknown = s.done+o.done, s.refused+o.refused, s.unknown+o.unknown
	s.crashes, s.crashesInside, s.restarts = s.crashes+o.crashes, s.crashesInside+o.crashesInside, s.restarts+o.restarts
	s.leaders, s.snapshots, s.expired = s.leaders+o.leaders, s.snapshots+o.snapshots, s.expired+o.expired
	s.traps, s.errors = s.traps+o.traps, s.errors+o.errors
	s.joins, s.removals = s.joins+o.joins, s.removals+o.removals
	s.promotions, s.demotions = s.promotions+o.promotions, s.demotions+o.demotions
	s.cuts, s.pauses, s.transfers, s.jumps = s.cuts+o.cuts, s.pauses+o.pauses, s.transfers+o.transfers, s.jumps+o.jumps
}

// demand fails when many runs together have not met what they are for.
func (s *simSeen) demand(t *testing.T) {
	for name, count := range map[string]int{"requests done": s.done / 100, "requests refused": s.refused,
		"unknown outcomes": s.unknown, "crashes": s.crashes, "crashes inside a step": s.crashesInside,
		"leaders": s.leaders, "snapshots received": s.snapshots, "expired keys": s.expired, "cuts": s.cuts,
		"pauses": s.pauses, "transfers": s.transfers, "clock jumps": s.jumps, "traps": s.traps, "errors of disks": s.errors,
		"nodes that joined": s.joins, "nodes removed": s.removals, "promotions": s.promotions, "demotions": s.demotions} {
		if count < 5 {
			t.Errorf("%s: only %d", name, count)
		}
	}
}

// simNodes is how many nodes there are at first, simMost how many there may be at a time, and simEver in a run.
const simNodes, simMost, simEver = 3, 5, 9

// world is one run.
type world struct {
	t       *testing.T
	seed    uint64
	verbose bool
	rnd     *rand.Rand
	trace   hash.Hash64 // of all that happened

	now    time.Duration // true time
	events int64
	nodes  []*simNode // by id, from 1 on; those that were removed stay
	joiner *simJoiner // nil: no node is about to join
	wish   simWish
	net    *simNet

	// What the seed chose.
	cluster       map[uint64]string
	reads         Reads
	snapshotBytes int64
	faults        float64
	changes       float64 // of the members
	healed        bool
	trap          *trap

	busy    [simClients]bool
	serial  int
	history []porcupine.Operation
	leaders map[uint64]uint64 // term -> node
	votes   map[uint64]bool   // who does, and who has not got a vote: by what leaders knew
	seen    simSeen
}

const simClients = 6

// runSim runs the schedule of a seed.
func runSim(t *testing.T, seed uint64, verbose bool) *world {
	cryptotest.SetGlobalRandom(t, seed) // raft's election timeouts
	w := &world{t: t, seed: seed, verbose: verbose, rnd: rand.New(rand.NewPCG(seed, 1)), trace: fnv.New64a(),
		cluster: map[uint64]string{}, leaders: map[uint64]uint64{}, votes: map[uint64]bool{}}
	w.net = &simNet{w: w, cut: map[[2]uint64]bool{}}
	w.choose()
	for id := uint64(1); id <= simNodes; id++ {
		w.cluster[id] = simAddr(id)
		w.nodes = append(w.nodes, &simNode{w: w, id: id, disk: vfs.NewCrashableMem(), rate: 0.97 + 0.06*w.rnd.Float64()})
	}
	for _, n := range w.nodes {
		n.start()
	}
	defer w.end()
	for range simSteps {
		w.happen()
	}
	w.heal()
	w.settle()
	w.check()
	return w
}

const simSteps = 3500

// choose draws what is the same throughout a run: how much goes wrong.
func (w *world) choose() {
	w.reads = []Reads{ReadsLease, ReadsLinearizable}[w.rnd.IntN(2)]
	w.snapshotBytes = []int64{500, 3000, 1 << 20}[w.rnd.IntN(3)]
	w.faults = []float64{0, 0.004, 0.015}[w.rnd.IntN(3)]
	w.changes = []float64{0, 0.002, 0.01}[w.rnd.IntN(3)]
	w.net.drop = []float64{0, 0.02, 0.2}[w.rnd.IntN(3)]
	w.net.twice = []float64{0, 0.05}[w.rnd.IntN(2)]
	w.net.swap = []float64{0, 0.1}[w.rnd.IntN(2)]
}

func (w *world) chance(p float64) bool { return p > 0 && w.rnd.Float64() < p }

// note adds to the trace.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf("%d %v ", w.events, w.now) + fmt.Sprintf(format, args...)
	_, _ = w.trace.Write([]byte(line))
	if w.verbose {
		w.t.Log(line)
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, event %d: %s\nrun it again: go test . -run TestSim -seed %d -v", w.seed, w.events,
		fmt.Sprintf(format, args...), w.seed)
}

// end closes what is open, whatever the outcome.
func (w *world) end() {
	for _, n := range w.nodes {
		if n.node != nil {
			_ = n.node.Close()
		}
	}
}

// happen makes one thing happen.
func (w *world) happen() {
	w.events++
	switch p := w.rnd.Float64(); {
	case w.trap == nil && w.chance(w.faults):
		w.breakSomething()
	case w.chance(w.changes):
		w.changeMembers()
	case p < 0.40:
		w.net.deliver()
	case p < 0.80:
		w.anyNode().work()
	case p < 0.90:
		w.request()
	default:
		w.pass(time.Duration(1+w.rnd.IntN(30)) * time.Millisecond)
	}
	w.springTrap()
	w.pollMembers()
	w.observe()
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.now += d
	for _, n := range w.nodes {
		if n.up() && !n.paused {
			n.tick(d)
		}
		if n.up() && !n.paused {
			n.sweep()
			n.poll()
		}
	}
}

// request has an idle client send something.
func (w *world) request() {
	client, n := w.rnd.IntN(simClients), w.anyNode()
	if w.busy[client] || !n.up() || n.paused {
		return
	}
	w.serial++
	in := simInput{kind: []string{"get", "get", "set", "setnx", "append", "incr", "del", "getset", "mset", "mget",
		"mget", "setpx", "volatile"}[w.rnd.IntN(13)], key: string("abc"[w.rnd.IntN(3)]), value: fmt.Sprintf("v%d.", w.serial)}
	switch in.kind {
	case "incr":
		in.key = "n"
	case "mset", "mget":
		in.key = "pair"
	case "setpx":
		in.key = fmt.Sprintf("x%d", w.serial)
	case "volatile": // reads one of the last that were set
		in.kind, in.key = "get", w.lastVolatile()
		if in.key == "" {
			return
		}
	case "get":
		in.key = string("abcn"[w.rnd.IntN(4)])
	}
	w.begin(client, n, in)
}

// lastVolatile is one of the newest keys that expire, or "".
func (w *world) lastVolatile() string {
	var keys []string
	for _, op := range w.history {
		if in := op.Input.(simInput); in.kind == "setpx" {
			keys = append(keys, in.key)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	keys = keys[max(0, len(keys)-3):]
	return keys[w.rnd.IntN(len(keys))]
}

// breakSomething is a fault, or the end of one.
func (w *world) breakSomething() {
	n, other := w.anyNode(), w.anyNode()
	switch w.rnd.IntN(14) {
	case 10, 11, 12, 13:
		w.setTrap()
	case 0:
		if n.up() {
			n.crash()
		}
	case 1, 2, 9:
		if n.up() {
			n.armCrash()
		}
	case 3, 4:
		if n.node == nil && !n.gone {
			n.start()
			w.seen.restarts++
		}
	case 5:
		if n.up() {
			n.paused = !n.paused
			w.seen.pauses++
			w.note("paused %d: %v", n.id, n.paused)
		}
	case 6:
		w.cutSomething(n, other)
	case 7:
		n.jump += time.Duration(w.rnd.IntN(4000)-2000) * time.Millisecond
		w.seen.jumps++
		w.note("jump %d to %v", n.id, n.jump)
	case 8:
		if n.up() && !n.paused && n.node.Leading() && n != other {
			n.step.Transfer(other.id)
			w.seen.transfers++
			w.note("transfer %d->%d", n.id, other.id)
			n.reap()
		}
	}
}

// trap is a leader that does not know that it leads no more, or soon will be one.
type trap struct {
	node *simNode
	term uint64
	done int // requests by then
}

// setTrap stops the leader, or has it hand over and hear nothing of what follows.
func (w *world) setTrap() {
	for _, n := range w.nodes {
		if w.trap != nil || !n.up() || n.paused || !n.node.Leading() {
			continue
		}
		w.trap = &trap{n, n.node.group.View().Term, w.seen.done}
		clear(w.net.cut)
		if w.rnd.IntN(2) == 0 {
			n.paused = true
		} else {
			n.step.Transfer(w.nodes[int(n.id)%len(w.nodes)].id)
			w.seen.transfers++
			for _, other := range w.nodes {
				w.net.cut[[2]uint64{other.id, n.id}] = other != n
			}
		}
		w.note("trap %d, paused %v", n.id, n.paused)
	}
}

// springTrap asks the old leader, once another one has acknowledged something: it must not answer from
// the past.
func (w *world) springTrap() {
	t := w.trap
	if t == nil {
		return
	}
	if !t.node.up() {
		w.trap = nil
		return
	}
	other := slices.ContainsFunc(w.nodes, func(n *simNode) bool {
		return n.up() && n.node.Leading() && n.node.group.View().Term > t.term
	})
	if !other || w.seen.done < t.done+2 || w.rnd.IntN(4) != 0 {
		return
	}
	w.note("spring %d", t.node.id)
	w.seen.traps++
	t.node.paused, w.trap = false, nil
	for client := range simClients {
		if !w.busy[client] {
			w.begin(client, t.node, simInput{kind: "get", key: string("abcn"[client%4])})
		}
	}
	t.node.poll()
	clear(w.net.cut)
}

// cutSomething cuts a connection, in one direction or in both, isolates a node, or mends all.
func (w *world) cutSomething(n, other *simNode) {
	cut := w.net.cut
	switch w.rnd.IntN(4) {
	case 0:
		clear(cut)
	case 1:
		cut[[2]uint64{n.id, other.id}] = true
	case 2:
		cut[[2]uint64{n.id, other.id}], cut[[2]uint64{other.id, n.id}] = true, true
	case 3:
		for _, o := range w.nodes {
			cut[[2]uint64{n.id, o.id}], cut[[2]uint64{o.id, n.id}] = true, true
		}
	}
	w.seen.cuts++
	w.note("cut %v", len(cut))
}

// observe checks what has to be true at any time.
func (w *world) observe() {
	for _, n := range w.nodes {
		n.reap()
		if !n.up() {
			continue
		}
		v := n.node.group.View()
		if v.Role != "leader" {
			continue
		}
		w.countVotes(n)
		if old, ok := w.leaders[v.Term]; ok && old != n.id {
			w.fail("nodes %d and %d both lead in term %d", old, n.id, v.Term)
		} else if !ok {
			w.leaders[v.Term] = n.id
			w.seen.leaders++
			w.note("leader %d in term %d", n.id, v.Term)
		}
	}
}

// heal ends all faults.
func (w *world) heal() {
	w.note("heal")
	w.healed = true
	w.faults = 0
	w.net.drop, w.net.twice, w.net.swap = 0, 0, 0
	clear(w.net.cut)
	for _, n := range w.nodes {
		n.fuse, n.paused = 0, false
		if n.node == nil && !n.gone {
			n.start()
		}
	}
}

// settle lets everything under way come to its end, asks every node for everything, and compares.
func (w *world) settle() {
	w.quiesce()
	for _, n := range w.present() {
		for client, key := range []string{"a", "b", "c", "n"} {
			w.begin(client, n, simInput{kind: "get", key: key})
		}
		w.begin(4, n, simInput{kind: "mget", key: "pair"})
		w.quiesce()
	}
	var first uint64
	for i, n := range w.present() {
		if why := n.node.group.Corrupt(); why != "" {
			w.fail("node %d takes itself for corrupt: %s", n.id, why)
		}
		sum, err := n.node.state.machine.Digest()
		if err != nil {
			w.fail("node %d: %v", n.id, err)
		}
		if i == 0 {
			first = sum
		} else if sum != first {
			w.fail("nodes %d and %d hold different states at %v", w.present()[0].id, n.id, n.node.state.machine.Applied())
		}
		if was, is := w.present()[0].members(), n.members(); was != is {
			w.fail("nodes %d and %d know different members: %s, %s", w.present()[0].id, n.id, was, is)
		}
	}
}

// quiesce runs until every request has come to its end and all nodes have applied the same.
func (w *world) quiesce() {
	const patience = 100_000
	for start := w.events; !w.quiet(); {
		w.events++
		if w.events-start > patience {
			w.fail("the healed cluster does not come to rest: busy %v, %s", w.busy, w.describe())
		}
		switch w.rnd.IntN(20) {
		case 0:
			w.pass(10 * time.Millisecond)
		case 1, 2, 3, 4, 5, 6, 7, 8:
			w.net.deliver()
		default:
			w.anyNode().work()
		}
		w.pollJoiner()
		w.stopForgotten()
		w.observe()
	}
}

func (w *world) quiet() bool {
	if slices.Contains(w.busy[:], true) {
		return false
	}
	present := w.present()
	first := present[0].node.group.Status()
	if first.Leader == 0 || len(first.Members) != len(present) || slices.ContainsFunc(first.Members, func(m raftnode.Member) bool { return m.Promote }) {
		return false // those who were removed have yet to be told, those who came have yet to be voters
	}
	for _, n := range present {
		s := n.node.group.Status()
		if s.Leader != first.Leader || s.Commit != first.Commit || s.Applied != first.Commit || s.LastIndex != first.Commit {
			return false
		}
	}
	return true
}

func (w *world) describe() (out string) {
	for _, n := range w.present() {
		out += fmt.Sprintf("\nnode %d knows %s", n.id, n.members())
	}
	for _, n := range w.present() {
		s := n.node.group.Status()
		out += fmt.Sprintf("\nnode %d: %s of %d in term %d, log %d-%d, commit %d, applied %d", n.id, s.Role, s.Leader, s.Term,
			s.FirstIndex, s.LastIndex, s.Commit, s.Applied)
	}
	return out
}
