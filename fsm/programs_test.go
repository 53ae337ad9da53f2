package fsm

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/resp"
)

// programMachine is a machine whose calls are functions.
type programMachine struct {
	*Machine
	t     *testing.T
	o     Options
	do    func(tx *Txn)
	index uint64
}

func newProgramMachine(t *testing.T) *programMachine {
	m := &programMachine{t: t, o: testOptions(t, vfs.NewMem())}
	m.o.Exec = func(tx *Txn, _ [][]byte) resp.Reply {
		m.do(tx)
		return resp.OK
	}
	m.open()
	t.Cleanup(func() { m.Close() })
	return m
}

func (m *programMachine) open() {
	m.t.Helper()
	machine, err := Open(m.o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.Machine = machine
}

func (m *programMachine) write(do func(tx *Txn)) {
	m.t.Helper()
	m.do = do
	m.index++
	if err := m.Apply([]Entry{remoteEntry(m.index, 1, call(0, "DO"))}, nil); err != nil {
		m.t.Fatal(err)
	}
}

func (m *programMachine) look(do func(tx *Txn)) {
	m.t.Helper()
	m.do = do
	c := call(0, "DO")
	c.Read = true
	if _, err := m.Read(&Request{Calls: []Call{c}}, 0); err != nil {
		m.t.Fatal(err)
	}
}

func (m *programMachine) verify() {
	m.t.Helper()
	if _, err := m.Check(func() error { return nil }); err != nil {
		m.t.Error(err)
	}
}

func (m *programMachine) hash() uint64 {
	hash, _ := m.Hash(m.index)
	return hash
}

func shaOf(text string) []byte {
	sum := sha1.Sum([]byte(text))
	return sum[:]
}

func TestScriptsAreKept(t *testing.T) {
	m := newProgramMachine(t)
	m.write(func(*Txn) {})
	empty := m.hash()
	m.write(func(tx *Txn) {
		tx.AddScript(shaOf("loaded"), []byte("loaded"), true)
		tx.AddScript(shaOf(""), nil, false)
	})
	if m.hash() == empty {
		t.Error("scripts make no difference to the hash of the state")
	}
	m.verify()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m.open()
	m.look(func(tx *Txn) {
		for _, text := range []string{"loaded", ""} {
			if got, ok := tx.Script(shaOf(text)); !ok || string(got) != text {
				t.Errorf("%q: got %q, %v", text, got, ok)
			}
		}
		if _, ok := tx.Script(shaOf("none")); ok {
			t.Error("a script that was never stored is there")
		}
		if n := tx.Programs().Scripts; n != 2 {
			t.Errorf("%d scripts", n)
		}
	})
	m.write(func(tx *Txn) { tx.ClearScripts() })
	if sum := m.ks.dbs[scriptsDB].sum; sum != 0 { // the whole hash has the version of the state in it, which grows
		t.Errorf("without scripts their sum is %x", sum)
	}
	m.verify()
	m.look(func(tx *Txn) {
		if _, ok := tx.Script(shaOf("loaded")); ok || tx.Programs().Scripts != 0 {
			t.Error("scripts are not forgotten")
		}
	})
}

func TestScriptsThatWereRunAreForgotten(t *testing.T) {
	const more = 20
	m := newProgramMachine(t)
	text := func(i int) string { return fmt.Sprint("return ", i) }
	m.write(func(tx *Txn) { tx.AddScript(shaOf(text(3)), []byte(text(3)), true) })
	for i := range RanScriptsMax + more {
		m.write(func(tx *Txn) {
			tx.AddScript(shaOf(text(i)), []byte(text(i)), false)
			tx.AddScript(shaOf(text(i)), []byte(text(i)), false)
		})
	}
	m.write(func(tx *Txn) { tx.AddScript(shaOf(text(more+1)), []byte(text(more+1)), true) }) // it stays from now on
	m.write(func(tx *Txn) {
		for i := range 3 {
			other := fmt.Sprint("other ", i)
			tx.AddScript(shaOf(other), []byte(other), false)
		}
	})
	m.look(func(tx *Txn) {
		there := int64(3)
		for i := range RanScriptsMax + more {
			_, ok := tx.Script(shaOf(text(i)))
			if ok {
				there++
			}
			// 3 was loaded first, so that it took no place of those that were run
			if want := i == 3 || i == more+1 || i > more+2; ok != want {
				t.Errorf("script %d: there %v, want %v", i, ok, want)
			}
		}
		if n := tx.Programs().Scripts; n != there {
			t.Errorf("%d scripts, where there are %d", n, there)
		}
	})
	m.verify()
}

func TestLibrariesAreKept(t *testing.T) {
	m := newProgramMachine(t)
	m.write(func(tx *Txn) {
		tx.SetLibrary("b", []byte("text of b"), []string{"f", "g"})
		tx.SetLibrary("a", []byte("\x00text of a\n"), []string{"h"})
	})
	m.verify()
	m.look(func(tx *Txn) {
		text, functions, ok := tx.Library("b")
		if !ok || string(text) != "text of b" || !slices.Equal(functions, []string{"f", "g"}) {
			t.Errorf("got %q, %q, %v", text, functions, ok)
		}
		if text, _, _ := tx.Library("a"); !bytes.Equal(text, []byte("\x00text of a\n")) {
			t.Errorf("got %q", text)
		}
		if tx.LibraryOf([]byte("g")) != "b" || tx.LibraryOf([]byte("x")) != "" {
			t.Error("functions are not found")
		}
		if p := tx.Programs(); !slices.Equal(tx.Libraries(), []string{"a", "b"}) || p.Libraries != 2 || p.Functions != 3 {
			t.Errorf("libraries %q, %+v", tx.Libraries(), p)
		}
	})
	m.write(func(tx *Txn) {
		if !tx.DropLibrary("b") || tx.DropLibrary("none") {
			t.Error("the wrong libraries are there")
		}
	})
	m.look(func(tx *Txn) {
		if p := tx.Programs(); tx.LibraryOf([]byte("f")) != "" || p.Libraries != 1 || p.Functions != 1 {
			t.Errorf("%+v", p)
		}
	})
	m.verify()
	m.write(func(tx *Txn) { tx.ClearLibraries() })
	m.look(func(tx *Txn) {
		if p := tx.Programs(); p != (Programs{}) {
			t.Errorf("%+v", p)
		}
	})
	m.verify()
}

// What clients do with all databases does not reach programs.
func TestProgramsAreNoKeys(t *testing.T) {
	m := newProgramMachine(t)
	m.write(func(tx *Txn) {
		tx.AddScript(shaOf("x"), []byte("x"), true)
		for db := range Databases {
			tx.FlushDB(db)
		}
	})
	m.look(func(tx *Txn) {
		if _, ok := tx.Script(shaOf("x")); !ok {
			t.Error("emptying the databases has removed a script")
		}
		if tx.RandomKey(1) != nil {
			t.Error("a script is a key")
		}
	})
	if st := m.Stats(); st.DB != [Databases]DBStats{} {
		t.Errorf("keys are counted: %+v", st.DB)
	}
}
