package failpoints_test

import (
	"strings"
	"testing"
)

// effect is what an error at a point does to the node.
type effect int

const (
	stops   effect = iota // the process ends and says why
	loses                 // it is a frame less on the network
	retries               // the log says so, and it is done again until it succeeds
)

// effects has the points at which an error does not stop the node.
var effects = map[string]effect{
	"send-before": loses, "forward-before": loses, "forward-ack": loses, "read-answer": loses,

	"snapshot-create": retries, "checkpoint-before": retries, "checkpoint-after": retries,
	"snapshot-sync": retries, "snapshot-rename-before": retries, "snapshot-rename-after": retries,
	"snapshot-prune": retries, "state-flush-after": retries,
	"log-truncate-before": retries, "log-truncate-after": retries,
	"snapshot-send": retries, "snapshot-sent": retries, "snapshot-receive": retries,
	"snapshot-received": retries, "snapshot-verify": retries, "snapshot-verified": retries,
}

// TestError has every point that can fail fail.
func TestError(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var fallible []failpoint
	for _, f := range c.nodes[0].points() {
		if f.fallible {
			fallible = append(fallible, f)
		}
	}
	c.during(fallible, func(f failpoint) {
		action := "error"
		if effects[f.name] == loses {
			action = "error 1 in 3"
		}
		c.provoke(f.name, action, func(armed *process) {
			switch effects[f.name] {
			case stops:
				c.checkStops(armed, f.name)
			case loses:
				before := armed.point(f.name).hits
				c.awaitAt(f.name, armed, f.name+" is hit often", func() bool { return armed.point(f.name).hits > before+50 })
				c.awaitProgress(f.name)
				armed.arm(f.name, "off")
			case retries:
				c.checkRetries(armed, f.name)
			}
		})
	})
	if !t.Failed() {
		c.verify()
	}
}

// injected is what the error of a point says.
func injected(point string) string { return "failpoint " + point + ": injected error" }

// checkStops sees the process end for the reason that was given to it, and starts it again.
func (c *cluster) checkStops(armed *process, point string) {
	c.t.Helper()
	c.awaitAt(point, armed, point+" ends the process", func() bool { return !armed.running() })
	if armed.code != 1 {
		c.t.Errorf("exit code %d", armed.code)
	}
	reason := false
	for line := range strings.Lines(armed.output()) {
		stopped := strings.HasPrefix(line, "redoubt: ") || strings.Contains(line, "FATAL")
		reason = reason || stopped && strings.Contains(line, injected(point))
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "goroutine ") {
			c.t.Errorf("it panicked: %s", line)
		}
	}
	if !reason {
		c.t.Error("no line says why the node stopped")
	}
	armed.launch()
	c.awaitProgress(point)
}

// checkRetries sees the process report the error and go on, and succeed when there is none any more.
func (c *cluster) checkRetries(armed *process, point string) {
	c.t.Helper()
	c.awaitAt(point, armed, "the error is reported", func() bool { return strings.Contains(armed.output(), injected(point)) })
	if places[point] != receiver && places[point] != sender { // reads through a node that is behind wait
		c.awaitProgressOn(point, armed)
	}
	armed.arm(point, "off")
	snapshot := armed.field("snapshot")
	eventually(c.t, "another snapshot", func() bool { return armed.field("snapshot") > snapshot })
	c.awaitProgress(point)
}
