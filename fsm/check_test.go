package fsm

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"redoubt/resp"
)

func goOn() error { return nil }

// wantWhole reads all rows and compares them with the sums that were kept.
func wantWhole(t failer, m *Machine) {
	t.Helper()
	at, err := m.Check(goOn)
	if err != nil {
		t.Fatal(err)
	}
	if at != m.Applied() {
		t.Fatalf("checked at %v, not at %v", at, m.Applied())
	}
}

// checkedHashes applies the entries one by one, compares all rows with the sums after each, and
// returns the hash of each state.
func checkedHashes(r *rapid.T, t *testing.T, entries []Entry) map[uint64]uint64 {
	m := openMachine(t, drawOptions(r, t, vfs.NewMem()))
	hashes := make(map[uint64]uint64)
	for i := range entries {
		if err := m.Apply(entries[i:i+1], nil); err != nil {
			r.Fatal(err)
		}
		wantWhole(r, m)
		hash, ok := m.Hash(entries[i].Index)
		if !ok {
			r.Fatalf("no hash of the state after entry %d", entries[i].Index)
		}
		hashes[entries[i].Index] = hash
	}
	return hashes
}

// wantHashes compares what a machine remembers, which is everything unless it was opened again.
func wantHashes(r *rapid.T, m *Machine, hashes map[uint64]uint64) {
	r.Helper()
	if _, ok := m.Hash(m.Applied().Index); !ok && m.Applied().Index != 0 {
		r.Fatal("no hash of the present state")
	}
	for index, want := range hashes {
		if got, ok := m.Hash(index); ok && got != want {
			r.Fatalf("hash %x after entry %d, want %x", got, index, want)
		}
	}
}

// falsify changes the stored value of a key behind the machine's back, which checksums of blocks
// can't show.
func falsify(t *testing.T, db *pebble.DB, key, value string) {
	t.Helper()
	hash := keyHash([]byte(key))
	k := appendRowKey(nil, 0, keyPosition([]byte(key), hash), []byte(key))
	b, closer, err := db.Get(k)
	if err != nil {
		t.Fatal(err)
	}
	row, err := decodeRow(b)
	if err != nil {
		t.Fatal(err)
	}
	row.Value = []byte(value)
	v := make([]byte, row.encodedSize())
	row.encode(v)
	if err := errors.Join(closer.Close(), db.Set(k, v, pebble.NoSync)); err != nil {
		t.Fatal(err)
	}
}

func wantCorrupt(t *testing.T, err error, detail string) {
	t.Helper()
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), detail) {
		t.Errorf("got %v, want a CorruptError with %q", err, detail)
	}
}

// A row that changed by itself does not add up with the others any more.
func TestCheckFindsWhatWasNotApplied(t *testing.T) {
	at := int64(5000)
	expiry := func(m *Machine, key string) []byte {
		k := []byte(key)
		return appendExpiryKey(nil, 0, at, keyPosition(k, keyHash(k)), k)
	}
	for _, test := range []struct {
		name, detail string
		harm         func(t *testing.T, m *Machine) error
	}{
		{"value", "add up", func(t *testing.T, m *Machine) error {
			falsify(t, m.db, "b", "9")
			return nil
		}},
		{"lost row", "1 rows, 1 of them", func(t *testing.T, m *Machine) error {
			k := []byte("b")
			return m.db.Delete(appendRowKey(nil, 0, keyPosition(k, keyHash(k)), k), pebble.NoSync)
		}},
		{"lost expiry", "expiry table", func(t *testing.T, m *Machine) error {
			return m.db.Delete(expiry(m, "a"), pebble.NoSync)
		}},
		{"misplaced row", "malformed row", func(t *testing.T, m *Machine) error {
			row := Row{Kind: String}
			v := make([]byte, row.encodedSize())
			row.encode(v)
			return m.db.Set(appendRowKey(nil, 0, 7, []byte("c")), v, pebble.NoSync)
		}},
		{"other sum", "add up", func(t *testing.T, m *Machine) error {
			m.ks.dbs[0].sum++
			return nil
		}},
		{"other bytes", "bytes", func(t *testing.T, m *Machine) error {
			m.ks.dbs[0].bytes++
			return nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := openMem(t)
			apply(t, m, 1000, calls(0, "SET a 1 5000", "SET b 2 0")...)
			wantWhole(t, m) // and all is in the engine
			if err := test.harm(t, m); err != nil {
				t.Fatal(err)
			}
			_, err := m.Check(goOn)
			wantCorrupt(t, err, test.detail)
		})
	}
}

// A copy of a falsified state is refused, although every block of it has the right checksum.
func TestVerifyFindsAFalsifiedRow(t *testing.T) {
	fs := vfs.NewMem()
	m := openMachine(t, testOptions(t, fs))
	apply(t, m, 1000, calls(0, "SET a 1 5000", "SET b 2 0")...)
	if err := m.Checkpoint("good"); err != nil {
		t.Fatal(err)
	}
	if err := Verify(fs, "good"); err != nil {
		t.Fatal(err)
	}
	falsify(t, m.db, "b", "9")
	if err := m.Checkpoint("bad"); err != nil {
		t.Fatal(err)
	}
	wantCorrupt(t, Verify(fs, "bad"), "add up")
}

// A check ends when its caller or the machine wants it to.
func TestCheckEnds(t *testing.T) {
	m := openMem(t)
	for i := range 3 {
		apply(t, m, 1000, call(0, "SET "+strconv.Itoa(i)+" "+strings.Repeat("x", checkChunk)+" 0"))
	}
	stop := errors.New("stop")
	if _, err := m.Check(func() error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	closed := make(chan error, 1)
	_, err := m.Check(func() error {
		if len(closed) == 0 && !m.isClosed() {
			go func() { closed <- m.Close() }()
			for !m.isClosed() {
			}
		}
		return nil
	})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// Replicas on which a command is not deterministic have different hashes from then on.
func TestHashFindsNondeterminism(t *testing.T) {
	var machines []*Machine
	for range 2 {
		o := testOptions(t, vfs.NewMem())
		o.Exec = func(tx *Txn, args [][]byte) resp.Reply {
			if string(args[0]) == "DICE" {
				tx.Put(args[1], Row{Kind: String, Value: strconv.AppendUint(nil, rand.Uint64(), 10)})
				return resp.OK
			}
			return testExec(tx, args)
		}
		machines = append(machines, openMachine(t, o))
	}
	for i, line := range []string{"SET a 1 0", "RANDSET b", "DICE c", "SET a 2 0"} {
		index := uint64(i + 1)
		var hashes []uint64
		for _, m := range machines {
			if err := m.Apply([]Entry{remoteEntry(index, 1000, call(0, line))}, nil); err != nil {
				t.Fatal(err)
			}
			hash, ok := m.Hash(index)
			if !ok {
				t.Fatal("no hash")
			}
			hashes = append(hashes, hash)
		}
		if same := hashes[0] == hashes[1]; same != (i < 2) {
			t.Errorf("after %s: hashes %x", line, hashes)
		}
	}
}

// A machine forgets hashes in the order of the entries, and knows none of entries to come.
func TestHashesKept(t *testing.T) {
	m := openMem(t)
	var entries []Entry
	for i := range uint64(hashesKept + 10) {
		entries = append(entries, remoteEntry(i+1, 1000))
	}
	if err := m.Apply(entries, nil); err != nil {
		t.Fatal(err)
	}
	for index, want := range map[uint64]bool{0: false, 10: false, 11: true, hashesKept + 10: true, hashesKept + 11: false} {
		if _, ok := m.Hash(index); ok != want {
			t.Errorf("hash of %d: %v", index, ok)
		}
	}
}

// Whatever clients can tell apart gives another hash.
func TestHashCoversEverything(t *testing.T) {
	base := Row{Kind: String, ExpireAt: 5, Version: 7, Value: []byte("v")}
	sums := map[uint64]string{rowSum(1, &base): "base"}
	for name, change := range map[string]func(r *Row){
		"kind":    func(r *Row) { r.Kind++ },
		"expiry":  func(r *Row) { r.ExpireAt++ },
		"version": func(r *Row) { r.Version++ },
		"value":   func(r *Row) { r.Value = []byte("w") },
		"swapped": func(r *Row) { r.ExpireAt, r.Version = 7, 5 },
	} {
		row := base
		change(&row)
		sum := rowSum(1, &row)
		if same := sums[sum]; same != "" {
			t.Errorf("%s and %s have the same sum", name, same)
		}
		sums[sum] = name
	}
	if sums[rowSum(2, &base)] != "" {
		t.Error("the key makes no difference")
	}

	hashes := map[uint64]string{}
	for name, ks := range map[string]keyspace{
		"empty":    freshKeyspace(),
		"db 0":     {dbs: [spaces]database{0: {sum: 9, keys: 1}}},
		"db 1":     {dbs: [spaces]database{1: {sum: 9, keys: 1}}},
		"sum":      {dbs: [spaces]database{0: {sum: 8, keys: 1}}},
		"keys":     {dbs: [spaces]database{0: {sum: 9, keys: 2}}},
		"expires":  {dbs: [spaces]database{0: {sum: 9, keys: 1, expires: 1}}},
		"bytes":    {dbs: [spaces]database{0: {sum: 9, keys: 1, bytes: 1}}},
		"limit":    {dbs: [spaces]database{0: {sum: 9, keys: 1}}, settings: Settings{Limit: DefaultLimit}},
		"both dbs": {dbs: [spaces]database{0: {sum: 9, keys: 1}, 1: {sum: 9, keys: 1}}},
	} {
		for _, time := range []int64{1, 2} {
			hash := ks.hash(time)
			if same := hashes[hash]; same != "" {
				t.Errorf("%s at %d and %s have the same hash", name, time, same)
			}
			hashes[hash] = name
		}
	}
	renamed := keyspace{next: 99, dbs: [spaces]database{0: {space: 77, sum: 9, keys: 1}}}
	if hashes[renamed.hash(1)] != "db 0" {
		t.Error("the number of a space makes a difference")
	}
}
