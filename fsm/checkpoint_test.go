package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// counted is entry i of a log whose state at any position is known from the position alone.
func counted(i uint64) Entry {
	set := fmt.Sprintf("SET k%d %d %d", i%97, i, i+1000)
	return remoteEntry(i, int64(i), call(0, "INCR n"), call(int(i%Databases), set))
}

func TestCheckpointWhileApplying(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	m := openMachine(t, o)
	const entries = 3000
	applied := make(chan error, 1)
	go func() {
		for i := uint64(1); i <= entries; i++ {
			if err := m.Apply([]Entry{counted(i)}, fmt.Appendf(nil, "meta %d", i)); err != nil {
				applied <- err
				return
			}
		}
		applied <- nil
	}()
	finished := false
	for n := 0; !finished || n == 0; n++ {
		select {
		case err := <-applied:
			if err != nil {
				t.Fatal(err)
			}
			finished = true
		default:
		}
		dir := fmt.Sprintf("copy%d", n)
		before := m.Applied()
		if err := m.Checkpoint(dir); err != nil {
			t.Fatal(err)
		}
		checkCopy(t, o, dir, before)
	}
	pos, err := m.Durable()
	if err != nil || pos.Index != entries {
		t.Fatal(pos, err)
	}
	if err := m.Checkpoint("copy0"); err == nil {
		t.Fatal("a checkpoint was written over another")
	}
}

// checkCopy opens a checkpoint and compares it with a machine that applied the same entries.
func checkCopy(t *testing.T, o Options, dir string, before Position) {
	t.Helper()
	if err := Verify(o.FS, dir); err != nil {
		t.Fatal(err)
	}
	pos, meta, err := Inspect(o.FS, dir)
	if err != nil {
		t.Fatal(err)
	}
	if pos.Index < before.Index || pos.Index > 0 && string(meta) != fmt.Sprintf("meta %d", pos.Index) {
		t.Fatalf("checkpoint at %v with %q, asked for at %v", pos, meta, before)
	}
	o.Dir = dir
	restored, same := openMachine(t, o), openMem(t)
	var log []Entry
	for i := uint64(1); i <= pos.Index; i++ {
		log = append(log, counted(i))
	}
	if err := same.Apply(log, nil); err != nil {
		t.Fatal(err)
	}
	if digest(t, restored) != digest(t, same) {
		t.Fatalf("the checkpoint at %d has another state", pos.Index)
	}
	err = restored.Apply([]Entry{counted(pos.Index + 1)}, nil)
	if err := errors.Join(err, restored.Close(), same.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDurableFollowsFlush(t *testing.T) {
	fs := vfs.NewCrashableMem()
	m := openMachine(t, testOptions(t, fs))
	check := func(want uint64) {
		t.Helper()
		if pos, err := m.Durable(); err != nil || pos.Index != want {
			t.Fatalf("durable at %v, want %d (%v)", pos, want, err)
		}
	}
	check(0)
	apply(t, m, 1, calls(0, "SET a v 0")...)
	check(0)
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
	check(1)
	apply(t, m, 1, calls(0, "SET b v 0")...)
	check(1)
	m = openMachine(t, testOptions(t, fs.CrashClone(vfs.CrashCloneCfg{})))
	check(1)
	wantRead(t, m, 0, 0, "KEYS", "*1 $1 a ")
}

func TestInspectRefusesWhatIsNoState(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("empty", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"empty", "missing"} {
		if _, _, err := Inspect(fs, dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("Inspect %s: %v", dir, err)
		}
		if err := Verify(fs, dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("Verify %s: %v", dir, err)
		}
	}
}

// Whatever byte of a checkpoint is damaged, nobody is told anything wrong: the damage is reported
// with the name of the file, or it does not matter and the state is the same.
func TestDamagedFiles(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	m := openMachine(t, o)
	for i := uint64(1); i <= 300; i++ {
		if err := m.Apply([]Entry{counted(i)}, []byte("meta")); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Checkpoint("good"); err != nil {
		t.Fatal(err)
	}
	want := digest(t, m)
	names, err := fs.List("good")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := fs.PathJoin("good", name)
		data := readFile(t, fs, path)
		tables, found := strings.HasSuffix(name, ".sst"), 0
		step := max(len(data)/150, 1)
		for at := 0; at < len(data); at += step {
			damaged := append([]byte{}, data...)
			damaged[at] ^= 0x10
			writeFile(t, fs, path, damaged)
			err := Verify(fs, "good")
			if err == nil {
				checkHarmless(t, fs, fmt.Sprintf("%s, byte %d of %d", name, at, len(data)), want)
				continue
			}
			if found++; tables && !strings.Contains(err.Error(), name) {
				t.Errorf("%s, byte %d: the error names another file: %v", name, at, err)
			}
		}
		if tables && found == 0 {
			t.Errorf("%s: no damage was found", name)
		}
		for _, size := range []int{0, len(data) / 2, len(data) - 1} {
			writeFile(t, fs, path, data[:max(size, 0)])
			if err := Verify(fs, "good"); err == nil {
				checkHarmless(t, fs, fmt.Sprintf("%s, cut to %d bytes", name, size), want)
			}
		}
		writeFile(t, fs, path, data)
	}
	if err := Verify(fs, "good"); err != nil {
		t.Fatal(err)
	}
}

// checkHarmless opens a copy of the checkpoint that Verify has found nothing wrong with.
func checkHarmless(t *testing.T, fs vfs.FS, what string, want uint64) {
	t.Helper()
	ok, err := vfs.Clone(fs, fs, "good", "copy", vfs.CloneSync)
	if err != nil || !ok {
		t.Fatal(err)
	}
	o := testOptions(t, fs)
	o.Dir = "copy"
	m, err := Open(o)
	if err == nil {
		var got uint64
		if got, err = m.Digest(); err == nil && got != want {
			t.Errorf("%s: another state and no error", what)
		}
		if err := m.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err != nil && !strings.Contains(err.Error(), "copy") {
		t.Errorf("%s: error without a name: %v", what, err)
	}
	if err := fs.RemoveAll("copy"); err != nil {
		t.Fatal(err)
	}
}

// A machine that meets damage while it runs says so to the reader and stops applying.
func TestDamageWhileRunning(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	m := openMachine(t, o)
	for i := range 200 {
		apply(t, m, 1, calls(0, fmt.Sprintf("SET k%d %s 0", i, strings.Repeat("v", 100)))...)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	table := ""
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			table = name
			path := fs.PathJoin(o.Dir, name)
			data := readFile(t, fs, path)
			for at := 600; at < 3000; at += 100 { // past the block with the meta table's few rows
				data[at] ^= 1
			}
			writeFile(t, fs, path, data)
		}
	}
	m, err = Open(o)
	if err == nil {
		defer m.Close()
		for i := 0; i < 200 && err == nil; i++ {
			req := &Request{Calls: calls(0, fmt.Sprintf("GET k%d", i))}
			if _, err = m.Read(req, 0); err == nil && len(req.Replies[0].Bytes) != 100 {
				t.Fatalf("k%d: a wrong value", i)
			}
		}
		if m.Apply([]Entry{{Position: Position{1000, 1}}}, nil) == nil {
			t.Error("the machine goes on")
		}
	}
	if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(table, ".sst")) {
		t.Fatalf("the error does not name %s: %v", table, err)
	}
}

// A disk that cannot be written to must not look like one that is only slow.
func TestFlushErrorsStopTheMachine(t *testing.T) {
	var broken atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			return errorfs.ErrInjected
		}
		return nil
	}))
	m := openMachine(t, testOptions(t, fs))
	apply(t, m, 1, calls(0, "SET a v 0")...)
	broken.Store(true)
	if err := m.Flush(); !errors.Is(err, errorfs.ErrInjected) {
		t.Fatal(err)
	}
	<-m.Failed()
	if err := m.Apply([]Entry{counted(2)}, nil); !errors.Is(err, errorfs.ErrInjected) {
		t.Fatal(err)
	}
	if err := m.Checkpoint("copy"); !errors.Is(err, errorfs.ErrInjected) {
		t.Fatal(err)
	}
	wantRead(t, m, 0, 0, "GET a", "$1 v ")
	if err := m.Close(); !errors.Is(err, errorfs.ErrInjected) {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, fs vfs.FS, path string, data []byte) {
	t.Helper()
	// A new file: the old one may be a hard link shared with the machine.
	if err := fs.Remove(path); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(bytes.Clone(data)) // vfs files may change what they are given
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
