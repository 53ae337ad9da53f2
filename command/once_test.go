package command

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"redoubt/fsm"
	"redoubt/resp"
)

const noSession = "-NOSESSION There is no such session: it was never opened, was closed, or has expired; nothing was executed"
const oldSequence = "-OLDSEQUENCE This sequence number was acknowledged, or is too far below the highest one; nothing was executed now"

func TestOnce(t *testing.T) {
	m := newMachine(t)
	m.expect("ONCE s 1 0 INCR n", noSession, "SESSION OPEN s", ":0",
		"ONCE s 1 0 INCR n", ":1", "ONCE s 1 0 INCR n", ":1", "ONCE s 3 0 INCR n", ":2", "ONCE s 2 0 INCR n", ":3",
		"ONCE s 3 0 INCR n", ":2", "ONCE s 2 0 DECR n", ":3", "GET n", "$1\r\n3", "SESSION OPEN s", ":3",
		"ONCE s 4 3 INCR n", ":4", "ONCE s 3 0 INCR n", oldSequence, "ONCE s 4 3 INCR n", ":4", "GET n", "$1\r\n4",
		"ONCE s 5 4 LPUSH n x", wrongType, "DEL n", ":1", "ONCE s 5 4 LPUSH n x", wrongType,
		"ONCE s 6 5 RPUSH l a b c", ":3", "ONCE s 7 5 LPOP l 2", "*2\r\n$1\r\na\r\n$1\r\nb", "ONCE s 7 5 LPOP l 2", "*2\r\n$1\r\na\r\n$1\r\nb",
		"ONCE s 8 5 LPOP none", "_", "ONCE s 8 5 LPOP l", "_", "LLEN l", ":1",
		"ONCE s 9 5 ZADD z INCR 1.5 m", ",1.5", "ONCE s 9 5 ZADD z INCR 1.5 m", ",1.5",
		"SESSION INFO s", "%5\r\n$3\r\nttl\r\n:3600000\r\n$4\r\nleft\r\n:3600000\r\n$7\r\nhighest\r\n:9\r\n$9\r\nforgotten\r\n:5\r\n"+
			"$10\r\nremembered\r\n:4",
		"SESSION COUNT", ":1", "SESSION INFO t", "_", "SESSION CLOSE s", ":1", "SESSION CLOSE s", ":0", "ONCE s 9 5 INCR n", noSession)
}

func TestOnceRefuses(t *testing.T) {
	m := newMachine(t)
	m.do("SESSION OPEN s")
	m.expect("ONCE s 0 0 INCR n", "-ERR sequence numbers are integers from 1 on",
		"ONCE s x 0 INCR n", "-ERR sequence numbers are integers from 1 on",
		"ONCE s 2 2 INCR n", "-ERR what is acknowledged is 0, or a sequence number below that of the call",
		"ONCE s 2 -1 INCR n", "-ERR what is acknowledged is 0, or a sequence number below that of the call",
		"ONCE s 9223372036854775808 0 INCR n", "-ERR sequence numbers are integers from 1 on",
		"ONCE s 1 0 INCR", "-ERR wrong number of arguments for 'incr' command",
		"ONCE s 1 0 NOPE", "-ERR unknown command 'NOPE', with args beginning with: ",
		"SESSION OPEN @", "-ERR the name of a session has 1 to 128 bytes",
		"SESSION OPEN "+strings.Repeat("x", 129), "-ERR the name of a session has 1 to 128 bytes",
		"SESSION OPEN s TTL", "-ERR syntax error", "SESSION OPEN s TTL 999", "-ERR the time to live of a session is 1000 to 2592000000 milliseconds",
		"SESSION OPEN s TTL x", "-ERR the time to live of a session is 1000 to 2592000000 milliseconds")
	for _, inner := range []string{"GET k", "PING", "SELECT 1", "ONCE s 1 0 INCR n", "SESSION OPEN t", "SESSION CLOSE s", "SWEEPEXPIRED 1",
		"XREADGROUP GROUP g c STREAMS s 1", "MIGRATE a 1 k 0 1", "SCAN 0", "CONFIG SET a b"} {
		if reply := m.do("ONCE s 1 0 " + inner); !strings.HasPrefix(reply, "-ERR '") && !strings.HasPrefix(reply, "-ERR unknown") {
			t.Errorf("%s: got %q", inner, reply)
		}
	}
	m.expect("SESSION INFO s", "%5\r\n$3\r\nttl\r\n:3600000\r\n$4\r\nleft\r\n:3600000\r\n$7\r\nhighest\r\n:0\r\n$9\r\nforgotten\r\n:0\r\n"+
		"$10\r\nremembered\r\n:0", "EXISTS n", ":0")
	// Nothing of it is executed by recursion.
	m.do(strings.Repeat("ONCE s 1 0 ", 100_000) + "INCR n")
}

// Sessions are no keys: nothing that clients do to keys reaches them.
func TestSessionsAreApart(t *testing.T) {
	m := newMachine(t)
	m.do("SESSION OPEN s")
	m.expect("ONCE s 1 0 SET k v", "+OK", "FLUSHALL", "+OK", "FLUSHDB", "+OK", "SWAPDB 0 1", "+OK", "DEL s", ":0", "DBSIZE", ":0",
		"KEYS *", "*0", "RANDOMKEY", "_", "ONCE s 1 0 SET k v", "+OK", "EXISTS k", ":0")
	for db := range fsm.Databases {
		m.db = db
		m.expect("DBSIZE", ":0")
	}
	m.db = 7
	m.expect("ONCE s 2 0 SET k v", "+OK", "EXISTS k", ":1", "ONCE s 1 0 SET k v", "+OK")
	if _, err := m.fsm.Check(func() error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestSessionsExpire(t *testing.T) {
	m := newMachine(t)
	m.expect("SESSION OPEN s TTL 5000", ":0", "SESSION OPEN t", ":0", "ONCE s 1 0 INCR n", ":1")
	m.now += 4999
	m.expect("ONCE s 1 0 INCR n", ":1") // counts as a use
	m.now += 4999
	m.expect("ONCE s 2 0 INCR n", ":2", "SESSION OPEN s", ":2")
	m.now += 5000
	m.expect("SESSION COUNT", ":1", "ONCE s 2 0 INCR n", noSession, "GET n", "$1\r\n2", "SESSION OPEN s", ":0",
		"SESSION OPEN u TTL 1000", ":0")
	m.now += 1000
	m.expect("SWEEPEXPIRED 10", ":1", "SESSION COUNT", ":2")
}

// Those that expire first make room for new ones.
func TestSessionsAreBounded(t *testing.T) {
	m := newMachine(t)
	open := func(name string, ttl int) {
		t.Helper()
		m.expect(fmt.Sprintf("SESSION OPEN %s TTL %d", name, ttl), ":0")
	}
	open("first", 1_000_000)
	open("last", 3_000_000)
	for i := range fsm.SessionsMax - 2 {
		open("s"+strconv.Itoa(i), 2_000_000)
	}
	m.expect("SESSION COUNT", ":"+strconv.Itoa(fsm.SessionsMax), "ONCE s5 1 0 INCR n", ":1", "SESSION OPEN s5 TTL 4000000", ":1",
		"SESSION OPEN s6", ":0", "SESSION COUNT", ":"+strconv.Itoa(fsm.SessionsMax))
	open("more", 1_000_000)
	m.expect("SESSION COUNT", ":"+strconv.Itoa(fsm.SessionsMax-fsm.SessionsMax/64+1), "ONCE first 1 0 INCR n", noSession,
		"ONCE last 1 0 INCR n", ":2", "ONCE s5 2 0 INCR n", ":3", "ONCE more 1 0 INCR n", ":4")
	if _, err := m.fsm.Check(func() error { return nil }); err != nil {
		t.Error(err)
	}
}

// The window and the bytes of what a session keeps are bounded: then a call is not executed again, but not answered either.
func TestRepliesAreBounded(t *testing.T) {
	m := newMachine(t)
	m.do("SESSION OPEN s")
	long := strings.Repeat("x", fsm.SessionReplyMax)
	const gone = "-EXECUTED This call was executed before, and its reply was not kept; nothing was executed now"
	m.do("SET k " + long)
	m.expect("ONCE s 1 0 GETDEL k", fmt.Sprintf("$%d\r\n%s", len(long), long), "ONCE s 1 0 GETDEL k", gone)
	long = long[:fsm.SessionReplyMax-10]
	for i := 2; i < 40; i++ {
		m.do("SET k " + long)
		m.do(fmt.Sprintf("ONCE s %d 0 GETDEL k", i))
	}
	m.expect("ONCE s 39 0 GETDEL k", fmt.Sprintf("$%d\r\n%s", len(long), long), "ONCE s 2 0 GETDEL k", gone,
		fmt.Sprintf("ONCE s %d 0 INCR n", fsm.SessionWindow+2), ":1", "ONCE s 2 0 GETDEL k", oldSequence, "ONCE s 3 0 GETDEL k", gone,
		"ONCE s 41 0 INCR n", ":2", "ONCE s 9223372036854775807 0 INCR n", ":3", "ONCE s 41 0 INCR n", oldSequence)
}

func TestOnceTakesWhatItExecutes(t *testing.T) {
	table := newTable(t)
	for line, want := range map[string]bool{"ONCE s 1 0 INCR n": true, "ONCE s 1 0 DEL n": false, "ONCE s 1 0 NOPE": true,
		"DEL n": false, "SET k v": true, "NOPE": true, "SESSION OPEN s": true, "SESSION CLOSE s": false} {
		if got := table.HasFlag(words(line), DenyOOM); got != want {
			t.Errorf("%s: got %v", line, got)
		}
	}
	for line, want := range map[string]string{"ONCE s 1 0 MSET a 1 b 2": "[5 7]", "ONCE s 1 0 GET a": "[]", "ONCE s 1 0 RENAME a b": "[5 6]"} {
		args := words(line)
		var at []int
		for _, key := range table.Find(args).CallKeys(args) {
			at = append(at, key.Index)
		}
		if got := fmt.Sprint(at); got != want {
			t.Errorf("%s: keys at %s, want %s", line, got, want)
		}
	}
}

func TestStoredReplies(t *testing.T) {
	replies := []resp.Reply{{}, resp.Nil, resp.NilArray, resp.OK, resp.NewError("ERR x"), resp.NewInt(math.MinInt64), resp.NewInt(math.MaxInt64),
		resp.NewBulkString("text"), resp.NewBulk([]byte("a\x00\r\n")), resp.NewBulk(nil), resp.NewDouble(-0.5), resp.NewDouble(math.Inf(1)),
		resp.NewDoubleText("1.10"), resp.NewBool(true), resp.NewBigNumber("123"), resp.NewVerbatim("txt", "x"), resp.NewArray(nil)}
	replies = append(replies, resp.NewArray(replies), resp.NewMap(replies[:4]), resp.NewSet(replies[3:5]), resp.NewPush(replies[:3]),
		resp.NewPairs(replies[2:6]), resp.NewPairMap(replies[2:6]))
	for _, r := range replies {
		b, ok := appendStored(nil, &r, 1<<20)
		if !ok {
			t.Fatalf("%+v is not stored", r)
		}
		back, err := parseStored(b)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		for proto := 2; proto <= 3; proto++ {
			if want, got := r.Append(nil, proto), back.Append(nil, proto); !bytes.Equal(want, got) {
				t.Errorf("stored %q, got %q", want, got)
			}
		}
		if _, ok := appendStored(nil, &r, len(b)-1); ok {
			t.Errorf("%+v takes more bytes than it may", r)
		}
		if _, err := parseStored(append(b, '_')); err == nil {
			t.Error("more than a reply is read")
		}
	}
	kinds := map[byte]bool{}
	for _, letter := range storedKinds {
		kinds[letter] = true
	}
	if len(kinds) != int(resp.Verbatim)+1 || !reflect.DeepEqual(len(kinds), len(storedKinds)) {
		t.Error("a kind of reply has no letter of its own")
	}
}

func FuzzParseStored(f *testing.F) {
	r := resp.ArrayOf(resp.NewInt(1), resp.NewBulkString("x"), resp.NewDouble(2))
	b, _ := appendStored(nil, &r, 1<<20)
	f.Add(b)
	f.Add([]byte("*\xff\xff\xff\xff\x0f"))
	f.Add([]byte(strings.Repeat("*\x01", 1000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseStored(b)
		if err == nil {
			r.Append(nil, 3)
		}
	})
}
