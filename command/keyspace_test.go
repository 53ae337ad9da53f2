package command

import (
	"strconv"
	"testing"
)

// Replies that don't depend on the clock are compared with Redis in test/compat; here are those
// that do, and what only Redoubt has.

func TestExpiryFollowsTheLog(t *testing.T) {
	m := newMachine(t)
	m.expect("SET k v PX 1000", "+OK", "PTTL k", ":1000", "TTL k", ":1")
	m.now += 499
	m.expect("PTTL k", ":501", "TTL k", ":1")
	m.now += 2
	m.expect("PTTL k", ":499", "TTL k", ":0")
	m.now += 498
	m.expect("GET k", "$1\r\nv", "PTTL k", ":1")
	m.now++
	m.expect("GET k", "_", "TTL k", ":-2", "EXISTS k", ":0", "TYPE k", "+none",
		"PERSIST k", ":0", "EXPIRE k 10", ":0", "RENAME k l", "-ERR no such key",
		"SETNX k w", ":1", "TTL k", ":-1")
}

func TestExpiryConditionsToTheMillisecond(t *testing.T) {
	m := newMachine(t)
	m.expect("SET k v", "+OK", "PEXPIRE k 1000 NX", ":1", "PEXPIRE k 1000 GT", ":0",
		"PEXPIRE k 1000 LT", ":0", "PEXPIRE k 1001 GT", ":1", "PEXPIRE k 1000 LT", ":1",
		"PTTL k", ":1000")
	at := strconv.Itoa(startTime)
	m.expect("PEXPIREAT k "+at+" LT", ":1", "EXISTS k", ":0")
}

func TestSetInThePastDeletes(t *testing.T) {
	m := newMachine(t)
	now := strconv.Itoa(startTime)
	m.expect("SET k v", "+OK", "SET k w GET PXAT "+now, "$1\r\nv", "DBSIZE", ":0",
		"SET k v", "+OK", "GETEX k PXAT "+now, "$1\r\nv", "DBSIZE", ":0")
	soon := strconv.Itoa(startTime + 1)
	m.expect("SET k v PXAT "+soon, "+OK", "GETEX k PXAT "+soon, "$1\r\nv", "DBSIZE", ":1")
}

func TestSweepExpired(t *testing.T) {
	m := newMachine(t)
	m.expect("SET a 1 PX 10", "+OK", "SET b 1 PX 20", "+OK", "SET c 1 PX 30", "+OK",
		"SET d 1", "+OK", "SWEEPEXPIRED 10", ":0")
	m.now += 25
	m.expect("SWEEPEXPIRED 1", ":1", "SWEEPEXPIRED 10", ":1", "SWEEPEXPIRED 10", ":0",
		"DBSIZE", ":2", "SWEEPEXPIRED x", "-ERR value is not an integer or out of range",
		"SWEEPEXPIRED -1", ":0")
}

func TestRandomKeyFindsEveryKey(t *testing.T) {
	m := newMachine(t)
	m.expect("RANDOMKEY", "_", "MSET a 1 b 2 c 3", "+OK")
	seen := map[string]int{}
	for range 300 {
		seen[m.do("RANDOMKEY")]++
	}
	for _, key := range []string{"$1\r\na\r\n", "$1\r\nb\r\n", "$1\r\nc\r\n"} {
		if seen[key] == 0 {
			t.Errorf("%q is never drawn: %v", key, seen)
		}
	}
	if len(seen) != 3 {
		t.Errorf("drawn are %v", seen)
	}
}

func TestScanPages(t *testing.T) {
	m := newMachine(t)
	const keys = 100
	for i := range keys {
		m.do("SET key:" + strconv.Itoa(i) + " v")
	}
	seen := map[string]int{}
	pages, cursor := 0, "0"
	for pages == 0 || cursor != "0" {
		if pages++; pages > keys {
			t.Fatal("the scan does not end")
		}
		reply, err := m.try(words("SCAN " + cursor + " COUNT 7"))
		if err != nil {
			t.Fatal(err)
		}
		cursor = reply.Elems[0].Text
		for _, key := range reply.Elems[1].Elems {
			seen[string(key.Bytes)]++
		}
	}
	if len(seen) != keys || pages < keys/7 {
		t.Errorf("%d keys in %d pages", len(seen), pages)
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("%s comes %d times", key, n)
		}
	}
}

func TestDatabasesAreApart(t *testing.T) {
	m := newMachine(t)
	m.expect("SET k 0", "+OK", "MOVE k 3", ":1", "EXISTS k", ":0", "COPY k l DB 3", ":0")
	m.db = 3
	m.expect("GET k", "$1\r\n0", "COPY k k DB 4", ":1", "FLUSHDB", "+OK", "DBSIZE", ":0")
	m.db = 4
	m.expect("GET k", "$1\r\n0", "SWAPDB 4 15", "+OK", "DBSIZE", ":0")
	m.db = 15
	m.expect("GET k", "$1\r\n0", "FLUSHALL", "+OK", "DBSIZE", ":0")
}
