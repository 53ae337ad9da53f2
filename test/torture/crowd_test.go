package torture_test

import (
	"math/rand"
	"sync"
	"time"
)

// crowd is all clients of a round.
type crowd struct {
	start   time.Time
	rnd     *rand.Rand
	loads   []*workload
	clients []*client // all there ever were; whoever adds to it is the test's own goroutine

	stop    chan struct{}
	leaving sync.Once
	running sync.WaitGroup
}

func (a *crowd) add(n *node, w *workload) *client {
	c := &client{id: len(a.clients), node: n, load: w, start: a.start, rnd: rand.New(rand.NewSource(a.rnd.Int63()))}
	a.clients = append(a.clients, c)
	return c
}

// come starts the clients of a node: of each workload two that write and read, and one that reads.
func (a *crowd) come(n *node) {
	for _, w := range a.loads {
		for i := range 3 {
			c := a.add(n, w)
			c.reads = i == 2
			a.running.Go(func() { c.run(a.stop) })
		}
	}
}

// leave ends the clients that came, each after the answer that it waits for.
func (a *crowd) leave() {
	a.leaving.Do(func() { close(a.stop) })
	a.running.Wait()
}

// visit has a stopped node asked by clients that did not wait for it before, and returns once the
// questions are on their way.
func (a *crowd) visit(n *node) (visits *sync.WaitGroup) {
	visits = new(sync.WaitGroup)
	for _, w := range a.loads {
		for range 3 {
			c := a.add(n, w)
			visits.Go(func() {
				c.perform(w.recent(c.rnd))
				c.hangUp()
			})
		}
	}
	time.Sleep(20 * time.Millisecond) // if it is too short, fewer questions are as late as they could be
	return visits
}

// readBack has every group read through every node, as a part of the history: what was acknowledged
// and is gone, or was refused and is there, shows here at the latest.
func (a *crowd) readBack(c *cluster) {
	for _, w := range a.loads { // one at a time, so that no node is too busy to lead
		var wg sync.WaitGroup
		for _, n := range c.nodes {
			reader := a.add(n, w)
			wg.Go(func() {
				for g := range w.groups() {
					before := len(reader.history)
					for try := 0; len(reader.history) == before && try < 20; try++ {
						reader.perform(w.reread(g))
					}
				}
				reader.hangUp()
			})
		}
		wg.Wait()
	}
}
