package command

import (
	"crypto/sha1"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"redoubt/fsm"
	"redoubt/resp"
)

// read runs a call as a read, beside the log.
func (m *machine) read(args ...string) resp.Reply {
	m.t.Helper()
	words := make([][]byte, len(args))
	for i := range args {
		words[i] = []byte(args[i])
	}
	req := &fsm.Request{Calls: []fsm.Call{{DB: m.db, Args: words, Read: true}}}
	if _, err := m.fsm.Read(req, m.now); err != nil {
		m.t.Fatal(err)
	}
	return req.Replies[0]
}

// write runs a call at its place in the log.
func (m *machine) write(args ...string) resp.Reply {
	m.t.Helper()
	words := make([][]byte, len(args))
	for i := range args {
		words[i] = []byte(args[i])
	}
	entry, req := m.entry(words, false)
	if err := m.fsm.Apply([]fsm.Entry{entry}, nil); err != nil {
		m.t.Fatal(err)
	}
	return req.Replies[0]
}

func encoded(r resp.Reply) string { return string(r.Append(nil, 2)) }

func (m *machine) expectText(what, got, want string) {
	m.t.Helper()
	if got != want {
		m.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func shaText(script string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(script))) }

func bytesOf(args ...string) (words [][]byte) {
	for _, arg := range args {
		words = append(words, []byte(arg))
	}
	return words
}

func TestScriptsAreReadsUntilTheyWrite(t *testing.T) {
	m := newMachine(t)
	scripts := m.table.Scripts()
	reads, writes := "return redis.call('get', KEYS[1])", "redis.call('get', KEYS[1]) return redis.call('set', KEYS[1], ARGV[1])"
	call := bytesOf("EVAL", writes, "1", "k", "v")
	if !scripts.MayRead(call) {
		t.Error("a new script is not tried as a read")
	}
	m.expectText("a dry run that comes to a write", m.read("EVAL", writes, "1", "k", "v").Text, NeedsLog.Text)
	if scripts.MayRead(call) {
		t.Error("a script that writes is tried again as a read")
	}
	m.expectText("in the log", encoded(m.write("EVAL", writes, "1", "k", "v")), "+OK\r\n")
	m.expectText("a read", encoded(m.read("EVAL", reads, "1", "k")), "$1\r\nv\r\n")
	if !scripts.MayRead(bytesOf("EVALSHA", shaText(reads), "1", "k")) {
		t.Error("a script that reads is not tried as one")
	}
	m.expectText("caught", m.read("EVAL", "return pcall(redis.call, 'set', 'a', 1)", "0").Text, NeedsLog.Text)
	m.expectText("caught", m.read("EVAL", "redis.pcall('set', 'a', 1) return 1", "0").Text, NeedsLog.Text)
	m.expectText("a script that only reads", encoded(m.read("EVAL_RO", "return redis.pcall('set', 'a', 1).err", "0")),
		"$58\r\nERR Write commands are not allowed from read-only scripts.\r\n")
	m.expectText("the key", encoded(m.read("EXISTS", "a")), ":0\r\n")
}

func TestScriptsThatWereReadsAreRemembered(t *testing.T) {
	m := newMachine(t)
	const script = "return 5"
	call := bytesOf("EVAL", script, "0")
	m.expectText("EVAL", encoded(m.read("EVAL", script, "0")), ":5\r\n")
	m.expectText("EVALSHA before", encoded(m.read("EVALSHA", shaText(script), "0")), "-NOSCRIPT No matching script. Please use EVAL.\r\n")
	store, ok := m.table.Scripts().Remember(call)
	if !ok {
		t.Fatal("the script is not to be remembered")
	}
	m.expectText("the call that stores it", encoded(m.write(string(store.Args[0]), string(store.Args[1]))), "+OK\r\n")
	m.expectText("EVALSHA after", encoded(m.read("EVALSHA", strings.ToUpper(shaText(script)), "0")), ":5\r\n")
	m.read("EVAL", script, "0")
	if _, ok := m.table.Scripts().Remember(call); ok {
		t.Error("a script that is stored is stored again")
	}
	m.write("SCRIPT", "FLUSH")
	m.read("EVAL", script, "0")
	if _, ok := m.table.Scripts().Remember(call); !ok {
		t.Error("a script is not stored after SCRIPT FLUSH")
	}
}

func TestFunctionsAreReadsUntilTheyWrite(t *testing.T) {
	m := newMachine(t)
	m.write("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('w', function(k, a) return redis.call('incr', k[1]) end)")
	if !m.table.Scripts().MayRead(bytesOf("FCALL", "w", "1", "k")) {
		t.Error("a new function is not tried as a read")
	}
	m.expectText("a dry run", m.read("FCALL", "w", "1", "k").Text, NeedsLog.Text)
	if m.table.Scripts().MayRead(bytesOf("fcall", "w", "1", "k")) {
		t.Error("a function that writes is tried again as a read")
	}
	m.expectText("in the log", encoded(m.write("FCALL", "w", "1", "k")), ":1\r\n")
}

func TestKillOfScripts(t *testing.T) {
	m := newMachine(t)
	scripts := m.table.Scripts()
	var clock atomic.Int64
	scripts.SetOutside(Outside{Now: clock.Load, Log: func(int, string) {}})
	m.expectText("nothing runs", scripts.Kill(true).Text, errNotBusy.Text)
	done := make(chan string)
	go func() { done <- encoded(m.read("EVAL", "while true do end", "0")) }()
	for scripts.running() == nil {
		m.write("SET", "a", "1") // goes on meanwhile
	}
	clock.Store(7)
	m.expectText("no function", scripts.Kill(false).Text, errBusyEval.Text)
	m.expectText("statistics", scripts.Stats(0, 0).Text, errBusyEval.Text)
	if busy := scripts.Busy(0); busy.IsError() {
		t.Errorf("a read makes the node busy: %s", busy.Text)
	}
	m.expectText("kill", scripts.Kill(true).Text, "OK")
	if got := <-done; !strings.Contains(got, "Script killed by user with SCRIPT KILL") {
		t.Errorf("the script answered %q", got)
	}
	m.expectText("nothing runs any more", scripts.Kill(true).Text, errNotBusy.Text)
}

func TestBusyWhileAScriptWrites(t *testing.T) {
	m := newMachine(t)
	scripts := m.table.Scripts()
	var clock atomic.Int64
	scripts.SetOutside(Outside{Now: clock.Load, Log: func(int, string) {}})
	run := &scriptRun{eval: true, name: "x", start: 100}
	scripts.inLog.Store(run)
	clock.Store(149)
	if busy := scripts.Busy(50); busy.IsError() {
		t.Errorf("busy too early: %s", busy.Text)
	}
	clock.Store(150)
	m.expectText("busy", scripts.Busy(50).Text, errBusyEval.Text)
	m.expectText("kill", scripts.Kill(true).Text, errUnkillable.Text)
}

func TestScriptsAboveMaxMemory(t *testing.T) {
	m := newMachine(t)
	m.write("SETCONFIG", "ALWAYS", "maxmemory", "100")
	m.write("SET", "big", strings.Repeat("x", 200))
	oom := encoded(OutOfMemory)
	for _, c := range []struct{ script, want string }{
		{"return redis.call('get', 'none')", "$-1\r\n"},
		{"return redis.call('set', 'a', 1)", strings.TrimSuffix(oom, "\r\n")},
		{"redis.call('del', 'none') return redis.call('set', 'a', 1)", "+OK\r\n"},
		{"#!lua\nreturn 1", "-OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'\r\n"},
		{"#!lua flags=allow-oom\nreturn redis.call('set', 'a', 1)", "+OK\r\n"},
		{"#!lua flags=no-writes\nreturn redis.call('get', 'a')", "$1\r\n1\r\n"},
	} {
		if got := encoded(m.write("EVAL", c.script, "0")); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.script, got, c.want)
		}
	}
}

func TestScriptsInTheLogAreBounded(t *testing.T) {
	m := newMachine(t)
	m.write("SETCONFIG", "ALWAYS", "lua-instruction-limit", "5000")
	got := encoded(m.write("EVAL", "redis.call('set', 'a', 1) while true do end", "0"))
	if !strings.Contains(got, "5000") {
		t.Errorf("got %q", got)
	}
	m.expectText("what was done until then stays", encoded(m.read("GET", "a")), "$1\r\n1\r\n")
}
