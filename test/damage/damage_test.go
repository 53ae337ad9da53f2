// Package damage_test damages the files of a stopped node in every way that it can think of, starts the
// node, and checks that it is refused, or serves all that was acknowledged and nothing else.
package damage_test

import (
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"redoubt"
	"redoubt/fsm"
	"redoubt/resp"
)

var (
	seed  = flag.Uint64("damage.seed", 0, "seed of the places that are damaged; 0: a new one")
	count = flag.Int("damage.count", 4, "places that are damaged in each large file, for each kind of damage")
)

// model is what the node was told, and acknowledged.
type model map[string]string

// open starts a node that is alone on a directory.
func open(dir string, change ...func(*redoubt.Config)) (*redoubt.Node, error) {
	cfg := redoubt.Config{DataDir: dir, RaftListen: "127.0.0.1:0", CacheBytes: 1 << 20,
		HeartbeatInterval: 50 * time.Millisecond, ElectionTimeout: 200 * time.Millisecond,
		Logger: zap.New(zapcore.NewNopCore(), zap.WithFatalHook(fatalHook{}))}
	for _, f := range change {
		f(&cfg)
	}
	return redoubt.Open(cfg)
}

// fatalHook makes a fault of the storage engine, which ends the process, one of the test.
type fatalHook struct{}

func (fatalHook) OnWrite(e *zapcore.CheckedEntry, _ []zapcore.Field) { panic("fatal: " + e.Message) }

func do(n *redoubt.Node, read bool, args ...string) (resp.Reply, error) {
	call := fsm.Call{Read: read}
	for _, a := range args {
		call.Args = append(call.Args, []byte(a))
	}
	req := &fsm.Request{Calls: []fsm.Call{call}, Replies: make([]resp.Reply, 1)}
	err := n.Do(req)
	return req.Replies[0], err
}

// write sets keys, some of them again, with values of many sizes.
func (m model) write(t *testing.T, n *redoubt.Node, rng *rand.Rand, count int) {
	t.Helper()
	for range count {
		key := fmt.Sprintf("key%03d", rng.IntN(300))
		value := strings.Repeat(fmt.Sprintf("%016x", rng.Uint64()), 1+rng.IntN(20))
		if rng.IntN(40) == 0 {
			value = strings.Repeat(value, 150)
		}
		if _, err := do(n, false, "SET", key, value); err != nil {
			t.Fatal(err)
		}
		m[key] = value
	}
}

// check reads every key. A node that meets damage while it reads must stop.
func (m model) check(n *redoubt.Node) error {
	for key, want := range m {
		reply, err := do(n, true, "GET", key)
		if err != nil {
			if n.Err() == nil {
				return fmt.Errorf("GET %s: %w, but the node goes on", key, err)
			}
			return &refusal{n.Err()}
		}
		if got := string(reply.Append(nil, 2)); got != fmt.Sprintf("$%d\r\n%s\r\n", len(want), want) {
			return fmt.Errorf("GET %s: a wrong value: %.60q", key, got)
		}
	}
	reply, err := do(n, true, "DBSIZE")
	if got := string(reply.Append(nil, 2)); err == nil && got != fmt.Sprintf(":%d\r\n", len(m)) {
		return fmt.Errorf("DBSIZE: %q instead of %d", got, len(m))
	}
	return nil
}

// refusal is a node's own word that it can't go on.
type refusal struct{ error }

// build runs a node through all that leaves files behind, and returns copies of its directory: one as
// kill -9 leaves it, and one after an orderly stop.
func build(t *testing.T, rng *rand.Rand) (m model, killed, stopped string) {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	killed, stopped = filepath.Join(root, "killed"), filepath.Join(root, "stopped")
	m = model{}
	for run := range 5 {
		n, err := open(dir)
		if err != nil {
			t.Fatal(err)
		}
		m.write(t, n, rng, 150)
		if run == 2 || run == 3 {
			if err := n.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.write(t, n, rng, 100)
		}
		if run == 4 {
			copyDir(t, dir, killed)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	copyDir(t, dir, stopped)
	return m, killed, stopped
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// files returns the names of all files below dir.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// damage is one thing that can happen to a file.
type damage struct {
	name string
	do   func(data []byte) []byte // nil: the file is gone
}

func cut(at int) damage {
	return damage{fmt.Sprintf("truncated to %d", at), func(b []byte) []byte { return b[:at] }}
}

func flip(at int, bit uint) damage {
	return damage{fmt.Sprintf("bit %d of byte %d flipped", bit, at), func(b []byte) []byte {
		b[at] ^= 1 << bit
		return b
	}}
}

func zero(from, to int) damage {
	return damage{fmt.Sprintf("zeroes from %d to %d", from, to), func(b []byte) []byte {
		clear(b[from:to])
		return b
	}}
}

// damages returns what to do to a file.
func damages(data []byte, rng *rand.Rand, count int) []damage {
	out := []damage{
		{"missing", func([]byte) []byte { return nil }},
		{"garbage appended", func(b []byte) []byte { return append(b, "\x01garbage\xff"...) }},
	}
	if len(data) == 0 {
		return out
	}
	end := len(data) // of what is not zeroes
	for end > 1 && data[end-1] == 0 {
		end--
	}
	out = append(out, cut(0), cut(end-1), cut(end), zero(0, len(data)), zero(end/2, end), zero(max(0, end-100), end),
		flip(end-1, 0), flip(0, 7))
	for range count {
		out = append(out, cut(rng.IntN(len(data))), cut(rng.IntN(end)), flip(rng.IntN(end), uint(rng.IntN(8))),
			flip(max(0, end-1-rng.IntN(600)), uint(rng.IntN(8))))
	}
	for border := 32 << 10; border < end; border += 32 << 10 {
		out = append(out, cut(border), flip(border+rng.IntN(min(19, end-border)), uint(rng.IntN(8))))
	}
	return out
}

// TestDamage damages one file at a time.
func TestDamage(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("go test ./test/damage -damage.seed %d", s)
	rng := rand.New(rand.NewPCG(s, 0))
	m, killed, stopped := build(t, rng)
	for name, dir := range map[string]string{"killed": killed, "stopped": stopped} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			damageFiles(t, m, dir, rand.New(rand.NewPCG(s, 1)))
		})
	}
}

func damageFiles(t *testing.T, m model, dir string, rng *rand.Rand) {
	names := files(t, dir)
	requireKinds(t, names)
	var tally sync.Map
	defer report(t, &tally)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		places := *count
		if strings.HasPrefix(name, "snapshots") {
			places = 1 // no start reads them, and who receives one checks all of it
		}
		for _, d := range damages(data, rng, places) {
			result, err := try(t, m, dir, name, d)
			if err != nil {
				t.Errorf("%s %s: %v", name, d.name, err)
			}
			n, _ := tally.LoadOrStore(kind(name)+": "+result, new(int))
			*n.(*int)++
		}
	}
}

// try damages a file of a copy of dir, and starts a node on it.
func try(t *testing.T, m model, dir, name string, d damage) (result string, err error) {
	copied := filepath.Join(t.TempDir(), "data")
	copyDir(t, dir, copied)
	defer os.RemoveAll(copied)
	path := filepath.Join(copied, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if data = d.do(data); data == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		return "", err
	}
	defer func() {
		if p := recover(); p != nil {
			result, err = "panic", fmt.Errorf("panic: %v", p)
		}
	}()
	n, err := open(copied)
	if err != nil {
		return "refused", named(err, copied, name)
	}
	defer n.Close()
	err = m.check(n)
	if r, ok := err.(*refusal); ok {
		return "stopped", named(r.error, copied, name)
	}
	return "served", err
}

// named checks that an error tells the operator which file it is about, or at least which directory,
// on one line.
func named(err error, dir, name string) error {
	text := err.Error()
	if strings.Contains(text, "\n") || strings.Contains(text, "goroutine ") {
		return fmt.Errorf("the error is not one line: %s", text)
	}
	if !strings.Contains(text, filepath.Join(dir, filepath.Dir(name))) {
		return fmt.Errorf("the error does not name the file: %s", text)
	}
	if testing.Verbose() && os.Getenv("DAMAGE_ERRORS") != "" {
		fmt.Println(name, ":", strings.ReplaceAll(text, dir, ""))
	}
	return nil
}

// kind is a file's name without its number.
func kind(name string) string {
	base := filepath.Base(name)
	switch ext := filepath.Ext(base); {
	case strings.HasPrefix(base, "marker."):
		base = strings.Join(strings.SplitN(base, ".", 3)[:2], ".")
	case ext == ".log" || ext == ".sst":
		base = ext
	default:
		base, _, _ = strings.Cut(base, "-")
	}
	top, _, _ := strings.Cut(name, string(filepath.Separator))
	return strings.TrimRight(top, "-0123456789") + " " + base
}

// requireKinds checks that build has made all kinds of files.
func requireKinds(t *testing.T, names []string) {
	t.Helper()
	have := make(map[string]bool)
	for _, name := range names {
		have[kind(name)] = true
	}
	for _, want := range []string{"NODE NODE", "STATE STATE", "LOCK LOCK", "log .log", "log .sst", "log MANIFEST",
		"log OPTIONS", "log marker.manifest", "log marker.format-version", "log ACKED", "state .sst", "state MANIFEST",
		"state OPTIONS", "state marker.manifest", "snapshots .sst", "snapshots MANIFEST"} {
		if !have[want] {
			t.Errorf("no file of the kind %q among %v", want, names)
		}
	}
}

func report(t *testing.T, tally *sync.Map) {
	var lines []string
	tally.Range(func(what, n any) bool {
		lines = append(lines, fmt.Sprintf("%s %d", what, *n.(*int)))
		return true
	})
	sort.Strings(lines)
	t.Log("\n" + strings.Join(lines, "\n"))
}

// TestDamageMetInBackground damages a table and reads none of its rows. The node may start, but must
// stop when a compaction meets the damage; what that would have written is wrong or incomplete.
func TestDamageMetInBackground(t *testing.T) {
	m, killed, _ := build(t, rand.New(rand.NewPCG(1, 1)))
	tables, err := filepath.Glob(filepath.Join(killed, "state-*", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	for _, path := range tables {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/3] ^= 4
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n, err := open(killed)
	if err != nil {
		t.Logf("refused: %v", err) // replaying the log has met it
		return
	}
	defer n.Close()
	for i := 0; n.Err() == nil; i++ {
		if i == 200 {
			t.Fatalf("%d tables are damaged, and the node goes on", len(tables))
		}
		for j := range 30 { // new keys among the old ones
			_, _ = do(n, false, "SET", fmt.Sprintf("key%03d-%d", (i*30+j)%300, i), m["key000"])
		}
		_ = n.Snapshot(t.Context()) // flushes
	}
	if err := named(n.Err(), filepath.Dir(filepath.Dir(tables[0])), filepath.Join(filepath.Base(filepath.Dir(tables[0])), "x")); err != nil {
		t.Error(err)
	}
	t.Logf("stopped: %v", n.Err())
}

// TestOlderFormat opens a directory of the time before acknowledgements were noted.
func TestOlderFormat(t *testing.T) {
	m, killed, _ := build(t, rand.New(rand.NewPCG(2, 2)))
	note, node := filepath.Join(killed, "log", "ACKED"), filepath.Join(killed, "NODE")
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	if _, err := open(killed); err == nil || !strings.Contains(err.Error(), note+" is missing") {
		t.Fatalf("without the note: %v", err)
	}
	data, err := os.ReadFile(node)
	if err != nil {
		t.Fatal(err)
	}
	body, _, _ := strings.Cut(string(data), "\n")
	body = strings.Replace(body, `"format":2`, `"format":1`, 1)
	sum := crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
	if err := os.WriteFile(node, fmt.Appendf(nil, "%s\ncrc32c %08x\n", body, sum), 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := open(killed)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.check(n), n.Close()); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(node); err != nil || !strings.Contains(string(data), `"format":2`) {
		t.Errorf("NODE is now %q, %v", data, err)
	}
	if _, err := os.Stat(note); err != nil {
		t.Error(err)
	}
}
