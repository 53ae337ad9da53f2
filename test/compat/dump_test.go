package compat

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"redoubt/rdb"
)

// dumps makes values of all types in all the sizes in which Redis serialises them in another way.
func dumps(g *rand.Rand, key string) [][]string {
	count := []int{1, 3, 20, 130, 600}[g.IntN(5)]
	size := []int{1, 10, 70, 300, 9000}[g.IntN(5)]
	if size == 9000 {
		count = min(count, 20)
	}
	word := func(i int) string {
		switch g.IntN(4) {
		case 0:
			return fmt.Sprint(g.IntN(1<<g.IntN(62)+1)-g.IntN(1<<g.IntN(62)+1)) + strings.Repeat("0", i%3)
		case 1:
			return fmt.Sprint(i, strings.Repeat("ab", g.IntN(size)))
		}
		b := make([]byte, g.IntN(size))
		for i := range b {
			b[i] = byte(g.Uint32())
		}
		return fmt.Sprint(i) + string(b)
	}
	var calls [][]string
	family := g.IntN(7)
	for i := range count {
		switch family {
		case 0:
			return [][]string{{"SET", key, word(i)}}
		case 1:
			calls = append(calls, []string{"HSET", key, word(i), word(i)})
		case 2:
			calls = append(calls, []string{"RPUSH", key, word(i)})
		case 3:
			calls = append(calls, []string{"SADD", key, word(i)})
		case 4:
			calls = append(calls, []string{"SADD", key, fmt.Sprint(g.Int64() >> (size % 60))})
		case 5:
			score := []string{"0", "-0.5", "inf", "-inf", "1e300", "3", fmt.Sprint(g.NormFloat64()), fmt.Sprint(g.Int32())}
			calls = append(calls, []string{"ZADD", key, score[g.IntN(len(score))], word(i)})
		case 6:
			calls = append(calls, streamCall(g, key, i, word))
		}
	}
	return calls
}

func streamCall(g *rand.Rand, key string, i int, word func(int) string) []string {
	switch g.IntN(10) {
	case 0:
		return []string{"XGROUP", "CREATE", key, fmt.Sprint("group", g.IntN(3)), fmt.Sprint(g.IntN(9)), "MKSTREAM"}
	case 1, 2:
		return []string{"XREADGROUP", "GROUP", fmt.Sprint("group", g.IntN(3)), fmt.Sprint("c", g.IntN(3)), "COUNT", "5", "STREAMS", key, ">"}
	case 3:
		return []string{"XDEL", key, fmt.Sprintf("%d-1", g.IntN(i+1))}
	case 4:
		return []string{"XADD", key, fmt.Sprintf("%d-1", 1000+i*7), "other", word(i), "fields", word(i)}
	case 5:
		return []string{"XACK", key, fmt.Sprint("group", g.IntN(3)), fmt.Sprintf("%d-1", 1000+g.IntN(i+1)*7)}
	}
	return []string{"XADD", key, fmt.Sprintf("%d-%d", 1000+i*7, g.IntN(2)), "a", word(i), "b", "x"}
}

// rewrite makes a payload of what is in another one.
func rewrite(v *rdb.Value, packed, intset bool) []byte {
	var b []byte
	switch v.Kind {
	case rdb.String:
		b = rdb.AppendString(nil, v.String())
	case rdb.Hash:
		b = rdb.AppendHash(nil, packed, v.Len, v.Fields())
	case rdb.List:
		b = rdb.AppendList(nil, v.Elements())
	case rdb.Set:
		b = rdb.AppendSet(nil, packed, v.Len, v.Elements())
		if intset {
			b = rdb.AppendIntset(nil, v.Elements())
		}
	case rdb.ZSet:
		b = rdb.AppendZSet(nil, packed, v.Len, v.Members())
	case rdb.Stream:
		b = rdb.AppendStream(nil, v.Stream, v.Entries())
	}
	return rdb.Seal(b)
}

// TestDumpCodec reads what a live Redis serialises, and has it read what was made of that, by the codec alone and by
// RESTORE and DUMP of what is tested: all must be there again.
func TestDumpCodec(t *testing.T) {
	addr, ok := startRedis(t)
	if !ok {
		t.Log("no redis-server")
		return
	}
	redis, tested := dialRedis(t, addr), openTarget(t)
	if isOld(redisVersion(t, redis)) {
		return // it does not take payloads of 7.2
	}
	kinds := map[string]int{}
	for seed := range uint64(*seeds) {
		g := rand.New(rand.NewPCG(*firstSeed+seed, 7))
		mustCall(t, redis, "FLUSHALL")
		calls := dumps(g, "a")
		for _, c := range calls {
			mustCall(t, redis, c...)
		}
		if mustCall(t, redis, "EXISTS", "a") == ":0\r\n" {
			continue
		}
		encoding, _ := bulkText([]byte(mustCall(t, redis, "OBJECT", "ENCODING", "a")))
		payload, err := bulkText([]byte(mustCall(t, redis, "DUMP", "a")))
		if err != nil {
			t.Fatal(err)
		}
		v, err := rdb.Open([]byte(payload))
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, encoding, err)
		}
		name := strings.TrimSpace(mustCall(t, redis, "TYPE", "a")) + " " + encoding
		kinds[name]++
		again := rewrite(v, encoding == "listpack", encoding == "intset")
		mustRestore(t, redis, "b", string(again))
		compareValues(t, fmt.Sprint(name, ", seed ", seed), redis, "a", redis, "b")
		if strings.HasPrefix(mustCall(t, tested, "COMMAND", "INFO", calls[0][0]), "*1\r\n*-1") ||
			strings.HasPrefix(mustCall(t, tested, "COMMAND", "INFO", calls[0][0]), "*1\r\n$-1") {
			continue // such values are not known here
		}
		mustRestore(t, tested, "a", payload)
		compareValues(t, fmt.Sprint(name, ", restored, seed ", seed), redis, "a", tested, "a")
		ours, err := bulkText([]byte(mustCall(t, tested, "DUMP", "a")))
		if err != nil {
			t.Fatal(err)
		}
		mustRestore(t, redis, "c", ours)
		compareValues(t, fmt.Sprint(name, ", dumped, seed ", seed), redis, "a", redis, "c")
	}
	t.Log(kinds)
}

func mustCall(t *testing.T, server target, args ...string) string {
	t.Helper()
	reply, err := server.call(args)
	if err != nil {
		t.Fatal(err)
	}
	return string(reply)
}

func mustRestore(t *testing.T, server target, key, payload string) {
	t.Helper()
	if reply := mustCall(t, server, "RESTORE", key, "0", payload, "REPLACE"); reply != "+OK\r\n" {
		t.Fatalf("RESTORE %q: %s", payload, reply)
	}
}

// compareValues compares all that clients can see of a key at one server with another one.
func compareValues(t *testing.T, what string, want target, key string, got target, other string) {
	t.Helper()
	for _, c := range [][]string{{"@value", ""}, {"OBJECT", "ENCODING", ""}, {"XINFO", "STREAM", "", "FULL", "COUNT", "0"}} {
		place := slices.Index(c, "")
		c[place] = key
		before, err := run(want, step{args: c})
		if err != nil {
			t.Fatal(err)
		}
		if c[0] == "XINFO" && before[0] == '-' {
			continue
		}
		c[place] = other
		after, err := run(got, step{args: c})
		if err != nil {
			t.Fatal(err)
		}
		if c[0] == "XINFO" {
			before, after = withoutTree(before), withoutTree(after)
		}
		if !bytes.Equal(before, after) {
			t.Fatalf("%s: %s:\n%.500q, was\n%.500q", what, c[0], after, before)
		}
	}
}

// withoutTree drops the sizes of a stream's tree: where a block ends is for each server to choose.
func withoutTree(reply []byte) []byte {
	var out []byte
	lines := bufio.NewScanner(bytes.NewReader(reply))
	lines.Buffer(nil, len(reply)+1)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "radix-tree") {
			lines.Scan()
			continue
		}
		out = append(out, lines.Bytes()...)
	}
	return out
}
