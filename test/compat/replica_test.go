package compat

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// replica is a machine that applies the same log as others, in its own way.
type replica struct {
	name    string
	options fsm.Options
	machine *fsm.Machine
	// proposer: it runs what the clients have sent, and the others the payload.
	proposer bool
	// restarts: it is closed and opened at times.
	restarts bool
}

func (r *replica) open(t *testing.T) {
	t.Helper()
	machine, err := fsm.Open(r.options)
	if err != nil {
		t.Fatal(err)
	}
	r.machine = machine
}

func newReplicas(t *testing.T) []*replica {
	t.Helper()
	all := []*replica{
		{name: "proposer", proposer: true, options: fsm.Options{CacheBytes: 64 << 20}},
		{name: "follower without memory", options: fsm.Options{CacheBytes: 64 << 10, BufferBytes: 64 << 10}},
		{name: "follower that restarts", restarts: true, options: fsm.Options{CacheBytes: 4 << 20, BufferBytes: 256 << 10}},
	}
	for _, r := range all {
		table, err := command.NewTable()
		if err != nil {
			t.Fatal(err)
		}
		r.options.FS, r.options.Dir, r.options.Exec, r.options.Logger = vfs.NewMem(), "state", table.Exec, quiet{}
		r.open(t)
		t.Cleanup(func() {
			if err := r.machine.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return all
}

// TestReplicasAgree applies one log of random calls of all types on machines that differ in all that must not matter, and
// compares their states. Some of the keys expire on the way.
func TestReplicasAgree(t *testing.T) {
	const entries, seeds = 150, 40
	random := readGrammar(t)
	table, err := command.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(seeds) {
		gen := random.generator(seed, 3)
		replicas := newReplicas(t)
		now := int64(1_700_000_000_000)
		for index := uint64(1); index <= entries; index++ {
			now += int64(gen.IntN(100))
			calls := writes(gen, table)
			for _, r := range replicas {
				r.apply(t, index, now, calls)
				if r.restarts && index%37 == 0 {
					if err := r.machine.Close(); err != nil {
						t.Fatal(err)
					}
					r.open(t)
				}
			}
			if index%50 == 0 {
				compareReplicas(t, seed, index, replicas)
			}
		}
	}
}

// packingNames are some of the parameters that say when values are packed.
var packingNames = []string{"hash-max-listpack-entries", "set-max-intset-entries", "set-max-listpack-entries",
	"zset-max-listpack-value", "list-max-listpack-size", "stream-node-max-entries"}

// writes makes the calls of an entry.
func writes(gen *generator, table *command.Table) (calls []fsm.Call) {
	for len(calls) < 20 {
		words := gen.call()
		switch gen.IntN(40) {
		case 0:
			words = []string{"PEXPIRE", gen.otherKey(), strconv.Itoa(1 + gen.IntN(3000))}
		case 1:
			words = []string{"SWEEPEXPIRED", "10"}
		case 2:
			words = []string{"SETCONFIG", "ALWAYS", pick(gen, packingNames), strconv.Itoa(gen.IntN(6))}
		case 3:
			words = []string{"SESSION", "OPEN", sessionName(gen), "TTL", strconv.Itoa(1000 + gen.IntN(3000))}
		case 4, 5, 6, 7, 8: // what is answered becomes a part of the state
			sequence := 1 + gen.IntN(60)
			words = append([]string{"ONCE", sessionName(gen), strconv.Itoa(sequence), strconv.Itoa(max(sequence-40, 0))}, words...)
		case 9, 10:
			words = scriptWords(gen)
		}
		args := make([][]byte, len(words))
		for i, word := range words {
			args[i] = []byte(word)
		}
		if table.CheckWrite(args) == nil {
			calls = append(calls, fsm.Call{DB: gen.IntN(2), Args: args})
		}
	}
	return calls
}

func sessionName(gen *generator) string { return pick(gen, []string{"session1", "session2"}) }

// chanceScripts are scripts whose effects would differ between nodes if anything in a script did.
var chanceScripts = []string{
	`local t = {} for _, k in ipairs(KEYS) do t[k] = redis.pcall('spop', k) or 0 end
		for k, v in pairs(t) do redis.pcall('append', 'order', k .. type(v)) end`,
	`redis.call('set', KEYS[1], math.random()) redis.call('set', KEYS[2], redis.call('time')[2]) return redis.call('randomkey')`,
	`redis.call('select', 1) redis.pcall('incr', KEYS[1]) redis.pcall('pexpire', KEYS[1], 50) error('the end')`,
	`local s = tostring({}) .. tostring(print) redis.call('set', KEYS[1], s) while true do redis.call('incr', KEYS[2]) end`,
}

// scriptWords makes a call of a script or function, or a change of those that there are.
func scriptWords(gen *generator) []string {
	n := strconv.Itoa(gen.IntN(1000))
	switch gen.IntN(12) {
	case 0:
		return []string{"SCRIPT", "LOAD", "return " + n}
	case 1:
		return []string{"SCRIPT", "FLUSH"}
	case 2:
		return []string{"FUNCTION", "LOAD", "REPLACE", "#!lua name=lib" + n[:1] + "\nredis.register_function('f" + n[:1] +
			"', function(keys, args) return redis.call('incrby', keys[1], " + n + ") end)"}
	case 3:
		return []string{"FUNCTION", "DELETE", "lib" + n[:1]}
	case 4, 5:
		return []string{"FCALL", "f" + n[:1], "1", gen.otherKey()}
	case 6, 7, 8:
		return []string{"EVAL", "return redis.pcall('incrby', KEYS[1], " + n + ")", "1", gen.otherKey()}
	}
	return []string{"EVAL", pick(gen, chanceScripts), "2", gen.otherKey(), gen.otherKey()}
}

func (r *replica) apply(t *testing.T, index uint64, now int64, calls []fsm.Call) {
	t.Helper()
	batch := fsm.Batch{Payload: fsm.AppendCalls(nil, calls)}
	if r.proposer {
		batch.Local = &fsm.Request{Calls: calls, Replies: make([]resp.Reply, 0, len(calls))}
	}
	entry := fsm.Entry{Position: fsm.Position{Index: index, Term: 1}, Time: now, Seed: rand.New(rand.NewPCG(index, 1)).Uint64(),
		Batches: []fsm.Batch{batch}}
	if err := r.machine.Apply([]fsm.Entry{entry}, nil); err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
}

func compareReplicas(t *testing.T, seed, index uint64, replicas []*replica) {
	t.Helper()
	var want uint64
	for i, r := range replicas {
		got, err := r.machine.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			want = got
		} else if got != want {
			t.Fatalf("seed %d: after entry %d, the %s and the %s differ", seed, index, replicas[0].name, r.name)
		}
		if _, err := r.machine.Check(func() error { return nil }); err != nil {
			t.Fatalf("seed %d: entry %d: %s: %v", seed, index, r.name, err)
		}
	}
}
