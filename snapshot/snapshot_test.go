package snapshot_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/snapshot"
)

func writeFile(t testing.TB, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Clone(data)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, fs vfs.FS, path string) []byte {
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

// sample makes a directory with files of many sizes, one of them empty, and returns its stream.
func sample(t testing.TB, fs vfs.FS) (map[string][]byte, [][]byte) {
	t.Helper()
	if err := fs.MkdirAll("/src", 0o755); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewSource(1))
	files := map[string][]byte{"empty": nil, "small": []byte("x"), "big": make([]byte, 700<<10)}
	rnd.Read(files["big"])
	for name, data := range files {
		writeFile(t, fs, fs.PathJoin("/src", name), data)
	}
	var chunks [][]byte
	_, err := snapshot.Send(fs, "/src", []byte("header"), func(c []byte) error {
		chunks = append(chunks, bytes.Clone(c))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, chunks
}

func feed(chunks [][]byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		if len(chunks) == 0 {
			return nil, io.EOF
		}
		c := chunks[0]
		chunks = chunks[1:]
		return c, nil
	}
}

func accept(want string) func([]byte) error {
	return func(header []byte) error {
		if string(header) != want {
			return errors.New("wrong header")
		}
		return nil
	}
}

func TestStreamRoundTrip(t *testing.T) {
	fs := vfs.NewCrashableMem()
	files, chunks := sample(t, fs)
	if err := snapshot.Receive(fs, "/dst", feed(chunks), accept("header")); err != nil {
		t.Fatal(err)
	}
	// Only what was synced survives: Receive promises that this is everything.
	after := fs.CrashClone(vfs.CrashCloneCfg{})
	for name, want := range files {
		if got := readFile(t, after, after.PathJoin("/dst", name)); !bytes.Equal(got, want) {
			t.Errorf("file %s differs after a crash", name)
		}
	}
}

func TestReceiveRefusesDamage(t *testing.T) {
	fs := vfs.NewMem()
	_, chunks := sample(t, fs)
	refused := func(what string, damaged [][]byte) {
		t.Helper()
		err := snapshot.Receive(fs, "/dst", feed(damaged), accept("header"))
		if !errors.Is(err, snapshot.ErrCorrupt) {
			t.Errorf("%s: got error %v, want ErrCorrupt", what, err)
		}
		if _, err := fs.Stat("/dst"); err == nil {
			t.Errorf("%s: the directory is still there", what)
		}
	}
	for i := range chunks {
		refused("stream cut", chunks[:i])
		refused("chunk left out", append(append([][]byte{}, chunks[:i]...), chunks[i+1:]...))
		flipped := append([][]byte{}, chunks...)
		flipped[i] = bytes.Clone(chunks[i])
		flipped[i][len(flipped[i])/2] ^= 1
		refused("bit flipped", flipped)
		if i < len(chunks)-1 { // what follows the end is not read
			refused("chunk twice", append(append([][]byte{}, chunks[:i+1]...), chunks[i:]...))
		}
	}
	err := snapshot.Receive(fs, "/dst", feed(chunks), accept("another"))
	if err == nil {
		t.Error("a refused header was accepted")
	}
}

// TestReceiveRefusesPaths checks that a file name from the network can't lead out of the directory.
func TestReceiveRefusesPaths(t *testing.T) {
	src := vfs.NewMem()
	writeFile(t, src, "x", []byte("data"))
	for _, name := range []string{"../x", "a/b", "..", "/etc/x"} {
		fs := renamed{src, name}
		var chunks [][]byte
		if _, err := snapshot.Send(fs, "", nil, func(c []byte) error {
			chunks = append(chunks, bytes.Clone(c))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		err := snapshot.Receive(vfs.NewMem(), "/dst", feed(chunks), accept(""))
		if !errors.Is(err, snapshot.ErrCorrupt) {
			t.Errorf("name %q: got %v", name, err)
		}
	}
}

// renamed lists a single file under a name of the test's choice.
type renamed struct {
	vfs.FS
	name string
}

func (r renamed) List(string) ([]string, error)                    { return []string{r.name}, nil }
func (r renamed) PathJoin(elem ...string) string                   { return "x" }
func (r renamed) Open(string, ...vfs.OpenOption) (vfs.File, error) { return r.FS.Open("x") }

func FuzzReceive(f *testing.F) {
	_, chunks := sample(f, vfs.NewMem())
	f.Add(chunks[0], chunks[1], chunks[len(chunks)-1])
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		fs := vfs.NewMem()
		err := snapshot.Receive(fs, "/dst", feed([][]byte{a, b, c}), func([]byte) error { return nil })
		if _, statErr := fs.Stat("/dst"); (err == nil) != (statErr == nil) {
			t.Fatalf("Receive said %v, the directory says %v", err, statErr)
		}
	})
}

func create(t *testing.T, fs vfs.FS, s *snapshot.Store, id snapshot.ID) {
	t.Helper()
	got, err := s.Create(func(dir string) (snapshot.ID, error) {
		if err := fs.MkdirAll(dir, 0o755); err != nil {
			return snapshot.ID{}, err
		}
		writeFile(t, fs, fs.PathJoin(dir, "f"), []byte("data"))
		return id, nil
	})
	if err != nil || got != id {
		t.Fatalf("Create = %v, %v", got, err)
	}
}

func TestStoreKeepsNewestAndHeld(t *testing.T) {
	fs := vfs.NewMem()
	s, err := snapshot.OpenStore(fs, "/snaps")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Latest(); ok {
		t.Fatal("an empty store has a snapshot")
	}
	create(t, fs, s, snapshot.ID{Index: 5, Term: 1})
	_, dir, release, ok := s.Hold()
	if !ok || s.Held() != 5 {
		t.Fatal("the snapshot can't be held")
	}
	create(t, fs, s, snapshot.ID{Index: 9, Term: 2})
	readFile(t, fs, fs.PathJoin(dir, "f")) // still there for its reader
	release()
	release() // twice does no harm
	if _, err := fs.Stat(dir); err == nil {
		t.Error("a snapshot that nobody needs was kept")
	}
	again, err := snapshot.OpenStore(fs, "/snaps")
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := again.Latest(); !ok || id != (snapshot.ID{Index: 9, Term: 2}) {
		t.Errorf("after reopening the latest is %v", id)
	}
}

// TestStoreCrashWhileMaking crashes before the rename: the old snapshot stays, the new is gone.
func TestStoreCrashWhileMaking(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s, err := snapshot.OpenStore(fs, "/snaps")
	if err != nil {
		t.Fatal(err)
	}
	create(t, fs, s, snapshot.ID{Index: 5, Term: 1})
	var crashed *vfs.MemFS
	_, err = s.Create(func(dir string) (snapshot.ID, error) {
		if err := fs.MkdirAll(dir, 0o755); err != nil {
			return snapshot.ID{}, err
		}
		writeFile(t, fs, fs.PathJoin(dir, "f"), []byte("half"))
		crashed = fs.CrashClone(vfs.CrashCloneCfg{})
		return snapshot.ID{Index: 9, Term: 1}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := snapshot.OpenStore(crashed, "/snaps")
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := again.Latest(); id.Index != 5 {
		t.Errorf("latest after the crash is %v, want index 5", id)
	}
	names, err := crashed.List("/snaps")
	if err != nil || len(names) != 1 {
		t.Errorf("left in the store: %v, %v", names, err)
	}
}
