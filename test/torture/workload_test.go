package torture_test

import (
	"fmt"
	"math/rand"
	"strconv"
	"sync/atomic"
)

// groupOps is how many requests go to a group of keys before the next group takes its place. It keeps
// the histories short that the checker has to explain.
const groupOps = 80

// workload makes the requests of one kind. All its clients work on the same keys at a time.
type workload struct {
	name string
	// request makes a request out of the keys of the group and a token that no other request has.
	request func(rnd *rand.Rand, key []string, token string) [][]string
	issued  atomic.Int64
	tally   tally
}

// group names the n-th group of keys of a workload.
func (w *workload) group(n int64) string { return fmt.Sprintf("%s.%d", w.name, n) }

// groups is how many groups were used.
func (w *workload) groups() int64 { return (w.issued.Load() + groupOps - 1) / groupOps }

func groupKeys(group string) []string {
	key := make([]string, slots)
	for i := range key {
		key[i] = fmt.Sprintf("%s:%d", group, i)
	}
	return key
}

// next returns a request, mostly on the present group, now and then a read of an earlier one.
func (w *workload) next(rnd *rand.Rand, token string) (string, [][]string) {
	if rnd.Intn(20) == 0 {
		return w.reread(rnd.Int63n(max(1, w.groups())))
	}
	group := w.group((w.issued.Add(1) - 1) / groupOps)
	return group, w.request(rnd, groupKeys(group), token)
}

// retire ends a group early, when the outcome of a request on it is unknown. Each such request may
// have been executed at any later time, in any order, and the checker has to try them all: like this
// there are no more of them in a group than clients, and reads of it go on.
func (w *workload) retire(group string) {
	for {
		n := w.issued.Load()
		used := (n + groupOps - 1) / groupOps
		if group != w.group(used-1) || w.issued.CompareAndSwap(n, used*groupOps) {
			return
		}
	}
}

// recent reads the present group, or one shortly before it.
func (w *workload) recent(rnd *rand.Rand) (string, [][]string) {
	n := max(1, w.groups())
	return w.reread(n - 1 - pick(rnd, 0, 0, rnd.Int63n(min(n, 4))))
}

// reread reads all keys of the n-th group.
func (w *workload) reread(n int64) (string, [][]string) {
	group := w.group(n)
	return group, one(append([]string{"MGET"}, groupKeys(group)...)...)
}

func one(args ...string) [][]string { return [][]string{args} }

// pick returns one of its arguments.
func pick[T any](rnd *rand.Rand, choices ...T) T { return choices[rnd.Intn(len(choices))] }

func workloads() []*workload {
	return []*workload{
		{name: "register", request: func(rnd *rand.Rand, key []string, token string) [][]string {
			return [][]string{register(rnd, key[0], token)}
		}},
		{name: "counter", request: func(rnd *rand.Rand, key []string, _ string) [][]string {
			return [][]string{counter(rnd, key[0])}
		}},
		{name: "list", request: func(rnd *rand.Rand, key []string, token string) [][]string {
			return [][]string{list(rnd, key[0], token)}
		}},
		{name: "several", request: func(rnd *rand.Rand, key []string, token string) [][]string {
			return [][]string{several(rnd, key, token)}
		}},
		{name: "expiry", request: func(rnd *rand.Rand, key []string, token string) [][]string {
			return [][]string{expiry(rnd, key[0], token)}
		}},
		{name: "pipeline", request: pipeline},
	}
}

// register is written, and compared and set: a lock is SET NX and DEL, a ticket GETSET.
func register(rnd *rand.Rand, key, token string) []string {
	get := []string{"GET", key}
	return pick(rnd, get, get, get, []string{"SET", key, token}, []string{"SET", key, token, "NX"},
		[]string{"SET", key, token, "XX"}, []string{"SET", key, token, "GET"},
		[]string{"SET", key, token, "NX", "GET"}, []string{"GETSET", key, token},
		[]string{"GETDEL", key}, []string{"DEL", key})
}

func counter(rnd *rand.Rand, key string) []string {
	return pick(rnd, []string{"GET", key}, []string{"INCRBY", key, "1"}, []string{"INCRBY", key, "1"},
		[]string{"INCRBY", key, strconv.Itoa(rnd.Intn(1000))}, []string{"INCRBY", key, strconv.Itoa(-rnd.Intn(1000))})
}

// list appends what nobody else appends: an element that is lost, twice or elsewhere shows.
func list(rnd *rand.Rand, key, token string) []string {
	push := []string{"APPEND", key, token}
	return pick(rnd, push, push, push, []string{"GET", key}, []string{"STRLEN", key})
}

func several(rnd *rand.Rand, key []string, token string) []string {
	all := append([]string{"MGET"}, key...)
	var set []string
	for _, k := range key {
		set = append(set, k, token)
	}
	a, b := rnd.Intn(slots), rnd.Intn(slots-1)
	if b >= a {
		b++
	}
	return pick(rnd, all, all, all, append([]string{"MSET"}, set...), append([]string{"MSET"}, set[:4]...),
		append([]string{"MSETNX"}, set[4:]...), []string{"SET", key[a], token}, []string{"DEL", key[a], key[b]},
		append([]string{"DEL"}, key...), append([]string{"EXISTS"}, key...), []string{"RENAME", key[a], key[b]})
}

// expiry lets keys live for times around those that requests, elections and restarts take.
func expiry(rnd *rand.Rand, key, token string) []string {
	ms := strconv.Itoa(1 + rnd.Intn(lifeMax(rnd)))
	get := []string{"GET", key}
	return pick(rnd, get, get, get, []string{"PTTL", key}, []string{"PTTL", key},
		[]string{"SET", key, token, "PX", ms}, []string{"SET", key, token, "NX", "PX", ms},
		[]string{"SET", key, token, "NX", "PX", ms}, []string{"PEXPIRE", key, ms},
		[]string{"PERSIST", key}, []string{"EXISTS", key}, []string{"DEL", key})
}

// lifeMax is now and then longer than a restart takes.
func lifeMax(rnd *rand.Rand) int {
	if rnd.Intn(4) == 0 {
		return longLife
	}
	return 100
}

// longLife is the longest time that a key is given to live, in ms.
const longLife = 5000

// pipeline is a few commands with nothing in between: reads only, or writes and reads mixed.
func pipeline(rnd *rand.Rand, key []string, token string) [][]string {
	all := append([]string{"MGET"}, key...)
	if rnd.Intn(4) == 0 {
		return [][]string{{"GET", key[0]}, all, {"STRLEN", key[1]}, {"GET", key[2]}}
	}
	out := [][]string{counter(rnd, key[0]), list(rnd, key[1], token)}
	for range rnd.Intn(3) {
		out = append(out, pick(rnd, all, counter(rnd, key[0]), register(rnd, key[2], token), []string{"EXISTS", key[3]},
			[]string{"SET", key[3], token}, []string{"DEL", key[3]}))
	}
	rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
