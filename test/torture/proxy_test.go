package torture_test

import (
	"io"
	"math/rand"
	"net"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// way is the direction from one node to another.
type way struct{ from, to int }

// trouble is what a way through the network does to what is sent on it. TCP has no loss: what is lost
// comes later, or the connection breaks.
type trouble struct {
	cut   bool          // nothing arrives while it lasts
	delay time.Duration // of every piece, plus a random part of as much
	loss  float64       // the share of pieces that come lossDelay later
	reset float64       // the share of pieces at which the connection breaks
}

const lossDelay = 250 * time.Millisecond

// network is the proxies between the nodes: each node is reached through one. Both directions of all
// connections between two nodes are troubled, whoever opened them.
type network struct {
	mu       sync.Mutex
	troubles map[way]trouble
	healed   chan struct{} // closed and replaced whenever troubles change
	conns    map[*relay]bool
	rnd      *rand.Rand

	held, resets atomic.Int64 // pieces that met a trouble; connections that were broken
}

// relay is one connection through a proxy.
type relay struct {
	net      *network
	to       int
	from     atomic.Int64 // 0 until the node that opened it has said who it is
	in, out  net.Conn     // from the one who opened it; to the node
	closeOne sync.Once
}

func newNetwork(seed int64) *network {
	return &network{troubles: make(map[way]trouble), healed: make(chan struct{}), conns: make(map[*relay]bool),
		rnd: rand.New(rand.NewSource(seed))}
}

// proxy listens for connections to node to, which listens on target, until the test ends.
func (n *network) proxy(t *testing.T, to int, target string) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			go n.relay(in, to, target)
		}
	}()
	return ln.Addr().String()
}

func (n *network) relay(in net.Conn, to int, target string) {
	out, err := net.Dial("tcp", target)
	if err != nil {
		in.Close()
		return
	}
	r := &relay{net: n, to: to, in: in, out: out}
	n.mu.Lock()
	n.conns[r] = true
	n.mu.Unlock()
	go r.pump(in, out, true)
	go r.pump(out, in, false)
}

func (r *relay) close() {
	r.closeOne.Do(func() {
		r.in.Close()
		r.out.Close()
		r.net.mu.Lock()
		delete(r.net.conns, r)
		r.net.mu.Unlock()
	})
}

// hello is how a node says who it is, in the first message on each of its streams.
var hello = regexp.MustCompile(`"From":(\d+),`)

// pump moves what one side says to the other side, as the trouble of the moment has it.
func (r *relay) pump(src io.Reader, dst io.Writer, forward bool) {
	defer r.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		if forward && r.from.Load() == 0 {
			if m := hello.FindSubmatch(buf[:n]); m != nil {
				from, _ := strconv.ParseInt(string(m[1]), 10, 64)
				r.from.Store(from)
			}
		}
		if !r.pass(forward) {
			return
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (r *relay) way(forward bool) way {
	w := way{int(r.from.Load()), r.to}
	if !forward {
		w.from, w.to = w.to, w.from
	}
	return w
}

// pass waits until a piece may go on, and says whether the connection goes on at all.
func (r *relay) pass(forward bool) bool {
	n := r.net
	for met := false; ; met = true {
		n.mu.Lock()
		tr, healed := n.troubles[r.way(forward)], n.healed
		chance, late := n.rnd.Float64(), n.rnd.Float64()
		alive := n.conns[r]
		n.mu.Unlock()
		if tr != (trouble{}) && !met {
			n.held.Add(1)
		}
		switch {
		case !alive:
			return false
		case tr.cut:
			<-healed
			continue
		case chance < tr.reset:
			n.resets.Add(1)
			return false
		case chance < tr.reset+tr.loss:
			time.Sleep(lossDelay)
		}
		time.Sleep(tr.delay + time.Duration(late*float64(tr.delay)))
		return true
	}
}

// set troubles these ways.
func (n *network) set(tr trouble, ways ...way) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range ways {
		n.troubles[w] = tr
	}
	n.changed()
}

// heal ends all troubles. What was held arrives now, late, or is gone with its connection.
func (n *network) heal(reset bool) {
	n.mu.Lock()
	var broken []*relay
	for r := range n.conns {
		if _, is := n.troubles[r.way(true)]; reset && is {
			broken = append(broken, r)
		} else if _, is := n.troubles[r.way(false)]; reset && is {
			broken = append(broken, r)
		}
	}
	for _, r := range broken {
		delete(n.conns, r)
	}
	clear(n.troubles)
	n.changed()
	n.mu.Unlock()
	for _, r := range broken {
		n.resets.Add(1)
		r.close()
	}
}

// changed wakes whatever is held; n.mu is held.
func (n *network) changed() {
	close(n.healed)
	n.healed = make(chan struct{})
}

// ways returns the ways between two sets of nodes, in one direction.
func ways(from, to []int) (out []way) {
	for _, f := range from {
		for _, t := range to {
			if f != t && !slices.Contains(out, way{f, t}) {
				out = append(out, way{f, t})
			}
		}
	}
	return out
}
