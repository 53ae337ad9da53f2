// Package torture_test troubles a cluster of real processes, while clients of all nodes work, and
// checks with porcupine that one order of all requests explains every reply.
//
// What it can't see: kill -9 leaves what was written but not synced to the system, so that a missing
// fsync makes no difference here. It takes a file system that forgets, as a simulation has. The bounds
// of expiry are times of the system's clock: setting it during a run makes false alarms.
package torture_test

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	_ "redoubt"
	_ "redoubt/server"
)

var (
	seedFlag = flag.Int64("seed", 0, "seed of the first round's faults and requests; 0 takes one from the clock")
	duration = flag.Duration("duration", 0, "go on with rounds for so long; 0 is one round")
)

// outDir keeps what belongs to a failure.
const outDir = "out"

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "redoubt-torture")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "redoubt")
	build := exec.Command("go", "build", "-tags", "failpoints", "-o", binary, "redoubt/cmd/redoubt")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build: %v\n%s", err, out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// TestSources opens what the binary is built from beside the packages imported above: Go repeats the
// result of a test that has run until what it was built from, or a file that a test opened, changes.
func TestSources(t *testing.T) {
	names, err := filepath.Glob("../../cmd/redoubt/*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("no sources of the command: %v", err)
	}
	for _, name := range names {
		if _, err := os.ReadFile(name); err != nil {
			t.Error(err)
		}
	}
}

// TestTorture runs rounds, each with a new cluster and a seed of its own, in which every fault comes
// once. It ends with the first round that fails.
func TestTorture(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = time.Now().UnixNano() % 1e6
	}
	end := time.Now().Add(*duration)
	for n := 0; !t.Failed(); n++ {
		reads := "lease"
		if n%4 == 3 {
			reads = "linearizable"
		}
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { round(t, seed, reads) })
		seed++
		if time.Now().After(end) {
			break
		}
	}
}

// keep returns a directory for the round, which stays in outDir if the round fails.
func keep(t *testing.T, seed int64) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		to, err := filepath.Abs(filepath.Join(outDir, fmt.Sprintf("%d-%s", seed, time.Now().Format("150405"))))
		if err == nil {
			err = os.CopyFS(to, os.DirFS(dir))
		}
		t.Logf("histories, logs and data directories are in %s (%v)", to, err)
	})
	return dir
}

func round(t *testing.T, seed int64, reads string) {
	dir := keep(t, seed)
	rnd := rand.New(rand.NewSource(seed))
	c := newCluster(t, dir, rnd.Int63(), "--reads", reads)
	all := &crowd{start: time.Now(), rnd: rand.New(rand.NewSource(rnd.Int63())), stop: make(chan struct{}), loads: workloads()}
	t.Cleanup(func() {
		all.leave()
		if t.Failed() {
			keepHistories(t, all.clients, dir)
		}
	})
	for _, n := range c.nodes {
		all.come(n)
	}
	m := &nemesis{c: c, rnd: rnd, all: all}
	m.serve(100)
	m.torment(all.start)
	all.leave()
	all.readBack(c)
	checkHistories(t, all.clients, dir)
	time.Sleep(longLife * time.Millisecond) // what is left is there for good
	settle(t, c)
	assertTraffic(t, m, all.loads)
}

// settle kills all nodes twice: what they serve after that comes from their disks, and is the same on
// all, both times.
func settle(t *testing.T, c *cluster) {
	t.Helper()
	var data []string
	for _, when := range []string{"after kill -9 of all nodes", "after another kill -9 of all nodes"} {
		c.killAll()
		c.awaitAnswers()
		data = checkEqual(t, c, data, when)
	}
	if !t.Failed() {
		t.Logf("all nodes have the same %d keys", len(data))
	}
}

// assertTraffic checks that the faults met requests, and the requests faults.
func assertTraffic(t *testing.T, m *nemesis, loads []*workload) {
	t.Helper()
	var unknown int64
	for _, w := range loads {
		done, failed, lost := w.tally.done.Load(), w.tally.failed.Load(), w.tally.unknown.Load()
		t.Logf("%-9s %6d done, %4d certainly not executed, %4d unknown, %4d groups", w.name, done, failed, lost, w.groups())
		if done < 300 {
			t.Errorf("the workload %s got only %d answers", w.name, done)
		}
		if n := w.tally.forgotten.Load(); n > 0 {
			t.Errorf("%d requests of the workload %s had no answer after %v, on connections that stayed open", n, w.name, replyTimeout)
		}
		unknown += lost
	}
	held, resets := m.c.net.held.Load(), m.c.net.resets.Load()
	t.Logf("%d changes of the leader, %d pieces held by the network, %d connections broken by it", m.changes, held, resets)
	made, installed := m.c.said("snapshot made"), m.c.said("snapshot installed")
	t.Logf("%d snapshots made, %d installed", made, installed)
	switch {
	case made < 5 || installed < 1:
		t.Error("there were too few snapshots")
	case unknown < 10:
		t.Errorf("the outcome of only %d requests is unknown: the faults met no traffic", unknown)
	case m.changes < 6:
		t.Errorf("the leader changed only %d times", m.changes)
	case held < 20:
		t.Errorf("the network held only %d pieces", held)
	}
}
