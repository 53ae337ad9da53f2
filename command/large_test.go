package command

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"redoubt/fsm"
	"redoubt/resp"
)

// largeOps are point operations on collections that fillLarge makes. # and @ stand for random numbers below their size, +
// for one that counts from their size on, ~ for one that counts down, ^ for one that runs through all below the size. What stands after undo brings the collection
// back to its size, and is not measured; first says that it comes before.
var largeOps = []struct {
	name, line string
	read       bool
	undo       string
	first      bool
}{
	{name: "LPUSH", line: "LPUSH l v+", undo: "LPOP l"},
	{name: "RPUSH", line: "RPUSH l v+", undo: "RPOP l"},
	{name: "LPOP", line: "LPOP l", undo: "LPUSH l v+", first: true},
	{name: "LINDEX", line: "LINDEX l #", read: true},
	{name: "LSET", line: "LSET l # w+"},
	{name: "LRANGE100", line: "LRANGE l 0 99", read: true},
	{name: "SADD", line: "SADD s m+", undo: "SREM s m+"},
	{name: "SREM", line: "SREM s m+", undo: "SADD s m+", first: true},
	{name: "SISMEMBER", line: "SISMEMBER s m#", read: true},
	{name: "HSET-new", line: "HSET h f+ value", undo: "HDEL h f+"},
	{name: "HSET-known", line: "HSET h f# value:+"},
	{name: "HGET", line: "HGET h f#", read: true},
	{name: "ZADD-new", line: "ZADD z @ n+", undo: "ZREM z n+"},
	{name: "ZADD-known", line: "ZADD z @ m#", undo: "ZADD z @ m#"},
	{name: "ZINCRBY", line: "ZINCRBY z 1 m#"},
	{name: "ZPOPMIN", line: "ZPOPMIN z", undo: "ZADD z ~ n+", first: true},
	{name: "ZSCORE", line: "ZSCORE z m#", read: true},
	{name: "ZRANK", line: "ZRANK z m#", read: true},
	{name: "ZRANGE10", line: "ZRANGE z 5 14", read: true},
	{name: "XADD", line: "XADD y 1-* field value:+", undo: "XTRIM y MAXLEN ="},
	{name: "XRANGE1", line: "XRANGE x 1-# 9 COUNT 1", read: true},
	{name: "XACK", line: "XACK x g 1-^", undo: "XCLAIM x g c 0 1-^ FORCE JUSTID"},
}

// largeFill is what makes the collections: a call that takes many elements, of which # is the number, or a call for each.
var largeFill = map[string]struct{ call, each string }{
	"l": {"RPUSH l", " v#"}, "s": {"SADD s", " m#"}, "h": {"HSET h", " f# value:#"}, "z": {"ZADD z", " @ m#"},
	"x": {"", "XADD x 1-^ field value:#"}, "y": {"", "XADD y 1-^ field value:#"},
}

// fillLarge makes a collection of so many elements. A stream has as many as a pipeline can acknowledge.
func fillLarge(b *testing.B, p *pipeline, key string, size int) {
	const atOnce = 500
	fill := largeFill[key]
	if fill.call == "" {
		size = max(size, benchDepth)
	}
	for i := 0; i < size; i += atOnce {
		var calls []fsm.Call
		head := fill.call
		for k := i; k < min(i+atOnce, size); k++ {
			each := strings.NewReplacer("#", strconv.Itoa(k), "@", strconv.Itoa(k*7919%size), "^", strconv.Itoa(k+1)).Replace(fill.each)
			if head += each; fill.call == "" {
				calls = append(calls, fsm.Call{Args: words(each)})
			}
		}
		if calls == nil {
			calls = []fsm.Call{{Args: words(head)}}
		}
		p.run(b, calls)
	}
	if key == "x" {
		p.run(b, []fsm.Call{{Args: words("XGROUP CREATE x g 0")}})
		for i := 0; i < size; i += atOnce {
			p.run(b, []fsm.Call{{Args: words(fmt.Sprintf("XREADGROUP GROUP g c COUNT %d STREAMS x >", atOnce))}})
		}
	}
}

// run applies calls as an entry, and returns how long that took.
func (p *pipeline) run(b *testing.B, calls []fsm.Call) time.Duration {
	p.request = fsm.Request{Calls: calls, Replies: p.request.Replies[:0]}
	p.entries[0].Batches = []fsm.Batch{{Local: &p.request}}
	start := time.Now()
	if calls[0].Read {
		p.read(b)
	} else {
		p.apply(b)
	}
	return time.Since(start)
}

// largeCalls are pipelines of a line.
func largeCalls(line string, read bool, size int, seed uint64) [][]fsm.Call {
	const pipelines = 128
	rng, other := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(3, seed))
	out := make([][]fsm.Call, pipelines)
	for i := range out {
		for k := range benchDepth {
			n := i*benchDepth + k
			args := words(strings.NewReplacer("#", strconv.Itoa(rng.IntN(size)), "@", strconv.Itoa(other.IntN(size)),
				"+", strconv.Itoa(size+n),
				"~", strconv.Itoa(-1-n), "=", strconv.Itoa(size), "^", strconv.Itoa(n*7919%max(size, benchDepth)+1)).Replace(line))
			out[i] = append(out[i], fsm.Call{Args: args, Read: read})
		}
	}
	return out
}

// BenchmarkLarge is what a point operation costs on collections of different sizes, in pipelines of 32.
func BenchmarkLarge(b *testing.B) {
	for _, size := range largeSizes {
		p := newPipeline(b, 4<<30)
		p.request.Replies = make([]resp.Reply, 0, benchDepth)
		filled := ""
		for _, op := range largeOps {
			b.Run(fmt.Sprintf("%s/%d", op.name, size), func(b *testing.B) {
				if key := strings.Fields(op.line)[1]; !strings.Contains(filled, key) {
					fillLarge(b, p, key, size)
					filled += key
				}
				calls, undo := largeCalls(op.line, op.read, size, 1), [][]fsm.Call(nil)
				if op.undo != "" {
					undo = largeCalls(op.undo, false, size, 2)
				}
				var took time.Duration
				n := 0
				for ; b.Loop(); n++ {
					if i := n % len(calls); op.first {
						p.run(b, undo[i])
						took += p.run(b, calls[i])
					} else {
						took += p.run(b, calls[i])
						if undo != nil {
							p.run(b, undo[i])
						}
					}
				}
				b.ReportMetric(float64(took.Nanoseconds())/float64(n*benchDepth), "ns/command")
			})
		}
	}
}

var largeSizes = []int{10, 1_000_000}
