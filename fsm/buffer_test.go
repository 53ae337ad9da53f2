package fsm

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What is applied while a full buffer is being written must not slip into it: after a crash the
// entries behind its position are applied again.
func TestFullBufferStaysAsItIs(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	o.BufferBytes = 1 // full with the first row
	m := openMachine(t, o)
	apply(t, m, 1, calls(0, "SET n 1 900", "SET gone x 0")...)
	m.writing.Lock()
	apply(t, m, 2, calls(0, "INCR n", "DEL gone")...)
	full := m.full.Load()
	if full == nil || full.at.Index != 1 {
		t.Fatal("the buffer was not taken away when it was full")
	}
	wantRead(t, m, 0, 0, "GET n", "$1 2 ")
	wantRead(t, m, 0, 0, "GET gone", "$-1 ")
	m.writing.Unlock()
	<-full.written

	if at, _, err := readApplied(m.db); err != nil || at != full.at {
		t.Fatalf("the engine is at %v, %v", at, err)
	}
	tx := &Txn{m: m, ks: &m.ks}
	for key, want := range map[string]string{"n": "1", "gone": "x"} {
		row := tx.load(tx.space(), keyHash([]byte(key)), []byte(key)).found()
		if row == nil || string(row.Value) != want {
			t.Errorf("the engine has %v for %s, want %q", row, key, want)
		}
	}
}

// A key that is written again and again takes no more of the buffer each time, and is found in the
// engine once.
func TestBufferHoldsAKeyOnce(t *testing.T) {
	m := openMem(t)
	for range 100 {
		apply(t, m, 1, calls(0, "SET k v 0")...)
	}
	if n := len(m.active.Load().changes); n != 1 {
		t.Fatalf("%d changes of one key", n)
	}
	if bytes := m.active.Load().bytes; bytes != entryOverhead+2 {
		t.Fatalf("one row counts as %d bytes", bytes)
	}
}

// The first expiry time is known whether the rows have reached the engine or not.
func TestExpiryInBuffers(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	m := openMachine(t, o)
	apply(t, m, 1, calls(0, "SET late v 5000")...)
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
	if m.ExpireDue(100) || !m.ExpireDue(5000) {
		t.Fatal("the engine's only key is due at 5000")
	}
	apply(t, m, 1, calls(0, "SET early v 50")...)
	if m.ExpireDue(49) || !m.ExpireDue(50) {
		t.Fatal("the buffer's only key is due at 50")
	}
}
