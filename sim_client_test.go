package redoubt

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/raftnode"
	"redoubt/resp"
)

// simOp is one request of a client, from the time when it was sent.
type simOp struct {
	node   *simNode
	client int
	input  simInput
	req    *fsm.Request
	begun  int64 // event number
	wall   int64 // of the node when it was begun

	// What it waits for: a proposal, or a read barrier and what follows it.
	proposal *raftnode.Proposal
	barrier  *raftnode.SteppedRead
	agreeing bool // the proposal is the sweep that a read has to wait for
}

// simInput is what porcupine's model gets.
type simInput struct {
	kind, key, value string
}

// begin sends a request to a node.
func (w *world) begin(client int, n *simNode, in simInput) *simOp {
	op := &simOp{node: n, client: client, input: in, begun: w.events, wall: n.wall()}
	call := func(read bool, args ...string) {
		c := fsm.Call{Read: read}
		for _, a := range args {
			c.Args = append(c.Args, []byte(a))
		}
		op.req.Calls = append(op.req.Calls, c)
	}
	op.req = &fsm.Request{}
	switch in.kind {
	case "get":
		call(true, "GET", in.key)
	case "set":
		call(false, "SET", in.key, in.value)
	case "setnx":
		call(false, "SETNX", in.key, in.value)
	case "append":
		call(false, "APPEND", in.key, in.value)
	case "incr":
		call(false, "INCR", in.key)
	case "del":
		call(false, "DEL", in.key)
	case "getset": // a pipeline: the read runs where the write is in the log
		call(true, "GET", in.key)
		call(false, "SET", in.key, in.value)
	case "mset":
		call(false, "MSET", in.key+"1", in.value, in.key+"2", in.value)
	case "mget":
		call(true, "MGET", in.key+"1", in.key+"2")
	case "setpx":
		call(false, "SET", in.key, in.value, "PX", strconv.Itoa(simTTL))
	}
	op.req.Replies = make([]resp.Reply, len(op.req.Calls))
	if slices.ContainsFunc(op.req.Calls, func(c fsm.Call) bool { return !c.Read }) {
		op.proposal = n.propose(op.req)
	} else {
		op.barrier = n.step.Read()
	}
	n.pending = append(n.pending, op)
	w.busy[client] = true
	w.note("begin %d at %d: %v", client, n.id, in)
	return op
}

// simTTL is the life of a volatile key, in ms.
const simTTL = 400

// advance looks how far the request is, and says whether it has come to its end.
func (op *simOp) advance() bool {
	if op.proposal != nil {
		done, err := op.node.step.Finished(op.proposal)
		if !done {
			return false
		}
		if op.agreeing {
			if err == nil {
				_, err = op.node.node.state.Read(op.req, 0)
			}
			op.finish(err, true)
			return true
		}
		op.finish(engineError(err), false)
		return true
	}
	done, err := op.barrier.Finished()
	if !done {
		return false
	}
	agree := false
	if err == nil {
		agree, err = op.node.node.state.Read(op.req, op.node.wall())
	}
	if err == nil && agree {
		op.proposal, op.agreeing = op.node.propose(simSweep()), true
		return false
	}
	op.finish(err, true)
	return true
}

// finish notes the outcome. A read that failed tells nothing.
func (op *simOp) finish(err error, read bool) {
	w := op.node.w
	switch {
	case err == nil:
		out := ""
		for i := range op.req.Replies {
			out += string(op.req.Replies[i].Append(nil, 2))
		}
		if out == "" {
			w.fail("client %d: %v was answered with nothing", op.client, op.input)
		}
		w.record(op, out, w.events)
		w.seen.done++
	case read || errors.Is(err, command.ErrNoLeader) || errors.Is(err, command.ErrClosed):
		w.note("end %d: not executed", op.client)
		w.seen.refused++
	default:
		op.unknown()
		return
	}
	w.busy[op.client] = false
}

// unknown notes that nobody knows whether the request was executed, or will be.
func (op *simOp) unknown() {
	w := op.node.w
	if op.barrier == nil {
		w.record(op, "", math.MaxInt64)
		w.seen.unknown++
	}
	w.busy[op.client] = false
}

func (w *world) record(op *simOp, out string, end int64) {
	w.note("end %d: %q", op.client, out)
	w.history = append(w.history, porcupine.Operation{ClientId: op.client, Input: op.input, Call: op.begun,
		Output: out, Return: end})
}

// simState is the value of a key in porcupine's model.
type simState struct {
	exists bool
	value  string
}

var simModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, op := range history {
			in := op.Input.(simInput)
			if in.key[0] != 'x' { // those that expire have a check of their own
				parts[in.key] = append(parts[in.key], op)
			}
		}
		var out [][]porcupine.Operation
		for _, p := range parts {
			out = append(out, p)
		}
		return out
	},
	Init: func() any { return simState{} },
	Step: func(state, input, output any) (bool, any) {
		next, want := simApply(state.(simState), input.(simInput))
		return output == "" || output == want, next
	},
	DescribeOperation: func(input, output any) string {
		in := input.(simInput)
		return fmt.Sprintf("%s %s %s -> %q", in.kind, in.key, in.value, output)
	},
}

// simApply is what Redis would answer, and the value after it.
func simApply(s simState, in simInput) (simState, string) {
	bulk := func(s simState) string {
		if !s.exists {
			return "$-1\r\n"
		}
		return fmt.Sprintf("$%d\r\n%s\r\n", len(s.value), s.value)
	}
	number := func(n int) string { return fmt.Sprintf(":%d\r\n", n) }
	written := simState{true, in.value}
	switch in.kind {
	case "get":
		return s, bulk(s)
	case "set", "mset":
		return written, "+OK\r\n"
	case "setnx":
		if s.exists {
			return s, number(0)
		}
		return written, number(1)
	case "append":
		written.value = s.value + in.value
		return written, number(len(written.value))
	case "incr":
		n, _ := strconv.Atoi(s.value)
		return simState{true, strconv.Itoa(n + 1)}, number(n + 1)
	case "del":
		if s.exists {
			return simState{}, number(1)
		}
		return s, number(0)
	case "getset":
		return written, bulk(s) + "+OK\r\n"
	case "mget":
		return s, "*2\r\n" + bulk(s) + bulk(s)
	}
	panic(in.kind)
}

// check says what is wrong with the history of a finished run.
func (w *world) check() {
	result, info := porcupine.CheckOperationsVerbose(simModel, w.history, time.Minute)
	if result != porcupine.Ok {
		path := fmt.Sprintf("sim-%d.html", w.seed)
		if err := porcupine.VisualizePath(simModel, info, path); err != nil {
			path = err.Error()
		}
		w.fail("the history is not linearizable (%v), see %s", result, path)
	}
	w.checkExpiry()
}

// checkExpiry sees to it that a key that was seen to be gone is never seen again. Each volatile key is
// written once.
func (w *world) checkExpiry() {
	gone := map[string]int64{} // key -> end of the first read that, begun after the write, found nothing
	written := map[string]int64{}
	for _, op := range w.history {
		if in := op.Input.(simInput); in.kind == "setpx" && op.Return != math.MaxInt64 {
			written[in.key] = op.Return
		}
	}
	for _, op := range w.history {
		in := op.Input.(simInput)
		at, ok := written[in.key]
		if ok && in.kind == "get" && op.Output == "$-1\r\n" && op.Call > at {
			if first, seen := gone[in.key]; !seen || op.Return < first {
				gone[in.key] = op.Return
			}
		}
	}
	for _, op := range w.history {
		in := op.Input.(simInput)
		at, ok := gone[in.key]
		if ok && in.kind == "get" && op.Output != "$-1\r\n" && op.Call > at {
			w.fail("client %d saw the key %s at event %d, after it was seen to be gone at %d",
				op.ClientId, in.key, op.Call, at)
		}
	}
	w.seen.expired += len(gone)
}
