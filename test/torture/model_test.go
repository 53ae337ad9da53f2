package torture_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/anishathalye/porcupine"
)

// slots is how many keys a group has at most. The last byte of a key is its slot.
const slots = 4

// clockSlack is what the bounds of expiry allow for rounding, in ms.
const clockSlack = 2

// cell is what the model knows of one key. When a volatile one expires it only knows by bounds: the
// log's time of the command lies somewhere between its call and its return.
type cell struct {
	set, volatile    bool
	value            string
	earliest, latest int64 // of the expiry, in ms since the epoch
}

// keys is the state of a group: the keyspace in small.
type keys [slots]cell

func slotOf(key string) int { return int(key[len(key)-1] - '0') }

// model is the sequential specification of the commands that the workloads use, over one group of
// keys. A step is a whole pipeline, which is executed with nothing in between. The only choice it has
// is whether a key whose time may have come is expired.
func model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{keys{}} },
		Step: func(state, input, _ any) []any {
			op := input.(*operation)
			var out []any
			for _, before := range expiries(state.(keys), op) {
				if after, ok := op.explain(before); ok {
					out = append(out, after)
				}
			}
			return out
		},
		Hash: func(state any) uint64 {
			h := fnv.New64a()
			for _, c := range state.(keys) {
				h.Write([]byte(c.value))
				h.Write([]byte{';', byte(c.earliest), byte(c.earliest >> 8)})
			}
			return h.Sum64()
		},
		DescribeOperation: func(input, _ any) string { return input.(*operation).String() },
		DescribeState:     func(state any) string { return state.(keys).String() },
	}
	return m.ToModel()
}

// expiries returns the states that op may have met: each volatile key may be there unless its time
// had certainly come before op was called, and be gone unless its time had certainly not come when
// op returned.
func expiries(before keys, op *operation) []keys {
	out := []keys{before}
	for i, c := range before {
		if !c.volatile {
			continue
		}
		var next []keys
		for _, k := range out {
			if op.CallMS <= c.latest+clockSlack {
				next = append(next, k)
			}
			if op.Unknown || op.ReturnMS+clockSlack >= c.earliest {
				k[i] = cell{}
				next = append(next, k)
			}
		}
		out = next
	}
	return out
}

// explain executes op and says whether its replies can be had from this state.
func (op *operation) explain(k keys) (keys, bool) {
	for i, args := range op.Commands {
		want := k.execute(args, op)
		if !op.Unknown && !want.matches(op.Replies[i]) {
			return k, false
		}
	}
	return k, true
}

// expected is a reply: a text, or a number within bounds.
type expected struct {
	text   string
	lo, hi int64
}

func (e expected) matches(reply string) bool {
	if e.text != "" {
		return reply == e.text
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(reply, ":"), 10, 64)
	return err == nil && e.lo <= n && n <= e.hi
}

func text(s string) expected { return expected{text: s} }

func number(n int) expected { return text(":" + strconv.Itoa(n)) }

func (c cell) bulk() string {
	if !c.set {
		return "(nil)"
	}
	return "$" + c.value
}

const replyOK = "+OK"

// execute runs one command on the state and returns the reply that Redis would give.
func (k *keys) execute(args []string, op *operation) expected {
	names := args[1:]
	c := &k[slotOf(args[1])]
	switch args[0] {
	case "GET":
		return text(c.bulk())
	case "GETSET":
		return k.set([]string{"SET", args[1], args[2], "GET"}, op)
	case "GETDEL":
		old := c.bulk()
		*c = cell{}
		return text(old)
	case "SET":
		return k.set(args, op)
	case "INCRBY":
		return c.incr(args[2])
	case "APPEND":
		c.set, c.value = true, c.value+args[2]
		return number(len(c.value))
	case "STRLEN":
		return number(len(c.value))
	case "DEL", "EXISTS":
		n := 0
		for _, name := range names {
			c := &k[slotOf(name)]
			if c.set {
				n++
			}
			if args[0] == "DEL" {
				*c = cell{}
			}
		}
		return number(n)
	case "MGET", "MSET", "MSETNX":
		return k.many(args)
	case "RENAME":
		if !c.set {
			return text("!ERR no such key")
		}
		moved := *c
		*c = cell{}
		k[slotOf(args[2])] = moved
		return text(replyOK)
	}
	return c.expiry(args, op)
}

func (c *cell) incr(by string) expected {
	old, err := 0, error(nil)
	if c.set {
		old, err = strconv.Atoi(c.value)
	}
	if err != nil {
		return text("!ERR value is not an integer or out of range")
	}
	n, _ := strconv.Atoi(by)
	c.set, c.value = true, strconv.Itoa(old+n)
	return number(old + n)
}

// set runs SET key value [NX|XX] [GET] [PX ms].
func (k *keys) set(args []string, op *operation) expected {
	c := &k[slotOf(args[1])]
	old, is := *c, func(option string) bool { return slices.Contains(args[3:], option) }
	done := !(is("NX") && old.set || is("XX") && !old.set)
	if done {
		*c = cell{set: true, value: args[2]}
		if i := slices.Index(args, "PX"); i > 0 {
			c.expire(args[i+1], op)
		}
	}
	switch {
	case is("GET"):
		return text(old.bulk())
	case done:
		return text(replyOK)
	}
	return text("(nil)")
}

func (k *keys) many(args []string) expected {
	switch args[0] {
	case "MGET":
		var out []string
		for _, name := range args[1:] {
			out = append(out, k[slotOf(name)].bulk())
		}
		return text("[" + strings.Join(out, " ") + "]")
	case "MSETNX":
		for i := 1; i < len(args); i += 2 {
			if k[slotOf(args[i])].set {
				return number(0)
			}
		}
	}
	for i := 1; i < len(args); i += 2 {
		k[slotOf(args[i])] = cell{set: true, value: args[i+1]}
	}
	if args[0] == "MSETNX" {
		return number(1)
	}
	return text(replyOK)
}

// expire sets the time to live to ms from the log's time of op.
func (c *cell) expire(ms string, op *operation) {
	n, _ := strconv.ParseInt(ms, 10, 64)
	c.volatile, c.earliest, c.latest = true, op.CallMS+n, op.ReturnMS+n
	if op.Unknown {
		c.latest = math.MaxInt64 / 2
	}
}

func (c *cell) expiry(args []string, op *operation) expected {
	switch args[0] {
	case "PEXPIRE":
		if !c.set {
			return number(0)
		}
		c.expire(args[2], op)
		return number(1)
	case "PERSIST":
		if !c.volatile {
			return number(0)
		}
		c.volatile, c.earliest, c.latest = false, 0, 0
		return number(1)
	case "PTTL":
		switch {
		case !c.set:
			return number(-2)
		case !c.volatile:
			return number(-1)
		}
		return expected{lo: max(0, c.earliest-op.ReturnMS-clockSlack), hi: c.latest - op.CallMS + clockSlack}
	}
	panic("the model does not know " + args[0])
}

func (k keys) String() string {
	var out []string
	for i, c := range k {
		switch {
		case c.volatile:
			out = append(out, fmt.Sprintf("%d=%s until %d to %d", i, c.value, c.earliest, c.latest))
		case c.set:
			out = append(out, fmt.Sprintf("%d=%s", i, c.value))
		}
	}
	return "{" + strings.Join(out, ", ") + "}"
}
