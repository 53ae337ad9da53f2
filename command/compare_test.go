package command

import (
	"strconv"
	"strings"
	"testing"

	"redoubt/fsm"
	"redoubt/resp"
)

// The digests are those of Redis's documentation and of others' tests of it.
func TestDigest(t *testing.T) {
	m := newMachine(t)
	m.expect("SET k hello", "+OK", "DIGEST k", "$16\r\n9555e8555c62dcfd", "SET k @", "+OK",
		"DIGEST k", "$16\r\n2d06800538d394c2", "SET k 123", "+OK", "DIGEST k", "$16\r\n404a763b3f4c8c9a",
		"SET k v8", "+OK", "DIGEST k", "$16\r\n0cc76dbb41381419", "DIGEST none", "_",
		"RPUSH l a", ":1", "DIGEST l", wrongType)
}

const wrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value"

func TestSetWithCondition(t *testing.T) {
	m := newMachine(t)
	m.expect(
		"SET k v IFEQ x", "_", "EXISTS k", ":0", "SET k v IFDEQ 9555e8555c62dcfd", "_", "SET k hello IFNE x", "+OK",
		"DEL k", ":1", "SET k hello IFDNE 9555e8555c62dcfd", "+OK",
		"SET k 2 IFNE hello", "_", "SET k 2 IFEQ other", "_", "SET k 2 ifeq hello GET", "$5\r\nhello", "GET k", "$1\r\n2",
		"SET k 3 IFEQ hello GET", "$1\r\n2", "SET k hello IFNE 3 GET", "$1\r\n2", "GET k", "$5\r\nhello",
		"SET k 4 IFDEQ 0000000000000000", "_", "SET k 4 IFDNE 9555e8555c62dcfd", "_",
		"SET k 4 IFDEQ 9555E8555C62DCFD PX 1000", "+OK", "PTTL k", ":1000",
		"SET k 5 IFEQ 4 KEEPTTL", "+OK", "PTTL k", ":1000", "SET k 6 IFEQ 5", "+OK", "PTTL k", ":-1",
		"SET k 7 IFDEQ 12", "-ERR digest must be exactly 16 hexadecimal characters",
		"SET k 7 IFDEQ zzzzzzzzzzzzzzzz", "_", "SET k 7 IFDNE zzzzzzzzzzzzzzzz", "+OK",
		"SET none 7 IFDNE 12", "+OK", "SET k 8 IFEQ 7 EX 0", "-ERR invalid expire time in 'set' command",
		"SET k 8 IFEQ @", "_", "SET k @ IFEQ 7", "+OK", "SET k 8 IFEQ @", "+OK",
		"RPUSH l a", ":1", "SET l v IFEQ a", wrongType, "SET l v IFNE a", wrongType, "SET l v IFNE a GET", wrongType)
	for _, options := range []string{"IFEQ", "IFEQ a NX", "NX IFEQ a", "XX IFEQ a", "IFEQ a XX", "IFEQ a IFEQ b", "IFEQ a IFNE b",
		"IFDNE"} {
		m.expect("SET k v "+options, "-ERR syntax error")
	}
	m.expect("GETEX k IFEQ 8", "-ERR syntax error")
}

func TestDeleteWithCondition(t *testing.T) {
	m := newMachine(t)
	m.expect(
		"DELEX k", ":0", "DELEX k IFEQ x", ":0", "DELEX k NOSUCH x", ":0", "SET k hello", "+OK", "DELEX k IFEQ x", ":0",
		"DELEX k IFNE hello", ":0", "DELEX k IFDEQ 0000000000000000", ":0", "DELEX k IFDNE 9555e8555c62dcfd", ":0",
		"DELEX k IFEQ", "-ERR wrong number of arguments for 'delex' command",
		"DELEX k IFEQ a b", "-ERR wrong number of arguments for 'delex' command",
		"DELEX k NOSUCH hello", "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
		"DELEX k IFDEQ 1", "-ERR digest must be exactly 16 hexadecimal characters",
		"DELEX k IFEQ hello", ":1", "EXISTS k", ":0", "SET k hello", "+OK", "DELEX k IFDEQ 9555e8555c62dcfd", ":1",
		"RPUSH k a", ":1", "DELEX k IFNE hello", "-ERR Key should be of string type if conditions are specified",
		"DELIFEQ k a", wrongType, "DELEX k", ":1", "DELIFEQ k a", ":0", "SET k a", "+OK", "DELIFEQ k b", ":0", "DELIFEQ k a", ":1")
}

func TestKeysOfConditions(t *testing.T) {
	table := newTable(t)
	for line, want := range map[string]string{
		"SET k v": "OW update", "SET k v IFEQ x": "RW access update", "DELEX k": "RM delete", "DELEX k IFEQ x": "RW delete",
	} {
		args := words(line)
		keys := table.Find(args).CallKeys(args)
		if len(keys) != 1 || strings.Join(keys[0].Flags.Names(), " ") != want {
			t.Errorf("%s: got %+v", line, keys)
		}
	}
}

func TestVersion(t *testing.T) {
	m := newMachine(t)
	last := int64(0)
	higher := func(line string) {
		t.Helper()
		got, err := strconv.ParseInt(strings.Trim(m.do(line), ":\r\n"), 10, 64)
		if err != nil || got <= last {
			t.Fatalf("%s: got %d after %d at entry %d", line, got, last, m.index)
		}
		last = got
	}
	m.expect("VERSION k", "_", "SET k me", "+OK")
	higher("VERSION k")
	m.expect("VERSION k", ":"+strconv.FormatInt(last, 10), "VERSION k IFEQ me", ":"+strconv.FormatInt(last, 10),
		"VERSION k IFEQ you", "_", "VERSION k IFNE you", "-ERR syntax error", "VERSION k IFEQ", "-ERR syntax error")
	for _, change := range []string{"SET k me", "PEXPIRE k 100000", "RENAME k other", "RENAME other k", "COPY k other REPLACE"} {
		m.do(change)
		key := "k"
		if m.do("EXISTS k") == ":0\r\n" {
			key = "other"
		}
		if strings.HasPrefix(change, "COPY") {
			key = "other"
		}
		higher("VERSION " + key)
	}
	m.do("DEL k")
	m.do("RPUSH k a")
	higher("VERSION k")
	m.expect("VERSION k IFEQ me", wrongType)
}

// Two that hold a lock one after the other in the same entry of the log have different tokens, in their order.
func TestVersionsInOneEntry(t *testing.T) {
	m := newMachine(t)
	var req fsm.Request
	for range 3 {
		for _, line := range []string{"SET lock me NX", "VERSION lock", "DEL lock"} {
			req.Calls = append(req.Calls, fsm.Call{Args: words(line), Read: strings.HasPrefix(line, "VERSION")})
		}
	}
	m.index++
	err := m.fsm.Apply([]fsm.Entry{{Position: fsm.Position{Index: m.index, Term: 1}, Time: m.now,
		Batches: []fsm.Batch{{Local: &req}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for i := 1; i < len(req.Replies); i += 3 {
		if r := req.Replies[i]; r.Kind != resp.Integer || r.Int <= last {
			t.Fatalf("a token of %+v after %d", r, last)
		}
		last = req.Replies[i].Int
	}
}
