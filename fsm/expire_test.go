package fsm

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestExpiredKeysAreGone(t *testing.T) {
	m := openMem(t)
	apply(t, m, 100, calls(0, "SET a v 200", "SET b v 0")...)
	got := show(apply(t, m, 199, calls(0, "GET a", "EXPIRE b 300", "AT b")...)...)
	if want := "$1 v :1 :300 "; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	got = show(apply(t, m, 200, calls(0, "GET a", "COUNT", "KEYS", "DEL a", "EXPIRE a 900")...)...)
	if want := "$-1 *2 :1 :1 *1 $1 b :0 :0 "; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	got = show(apply(t, m, 300, calls(0, "SET b again 0", "AT b", "COUNT")...)...)
	if want := "+OK :0 *2 :1 :0 "; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if m.ExpireDue(1 << 40) {
		t.Fatal("nothing has an expiry time any more")
	}
	apply(t, m, 300, calls(0, "SET c v -5", "SET d v 299")...)
	wantRead(t, m, 0, 0, "GET c", "$-1 ")
	wantRead(t, m, 0, 0, "GET d", "$-1 ")
	wantRead(t, m, 0, 0, "COUNT", "*2 :1 :0 ")
}

// A local clock that is ahead of the log must not decide anything.
func TestReadsAgreeBeforeAKeyDisappears(t *testing.T) {
	m := openMem(t)
	apply(t, m, 100, calls(0, "SET a v 200", "SET b v 0")...)
	apply(t, m, 100, calls(1, "SET other v 0")...)
	for _, line := range []string{"GET a", "KEYS", "COUNT", "RANDOMKEY", "SCAN 0 100"} {
		if _, agree := read(t, m, 199, 0, line); agree {
			t.Errorf("%s wants agreement before the key is due", line)
		}
		if _, agree := read(t, m, 200, 0, line); !agree {
			t.Errorf("%s decided by the local clock", line)
		}
		if _, agree := read(t, m, 0, 0, line); agree {
			t.Errorf("%s wants agreement without a clock", line)
		}
	}
	wantRead(t, m, 200, 0, "GET b", "$1 v ")
	wantRead(t, m, 200, 1, "COUNT", "*2 :1 :0 ")
	wantRead(t, m, 150, 0, "NOW", ":150 ")
	wantRead(t, m, 50, 0, "NOW", ":100 ")

	apply(t, m, 200)
	wantRead(t, m, 200, 0, "GET a", "$-1 ")
	wantRead(t, m, 200, 0, "COUNT", "*2 :1 :0 ")
	// A leader whose clock is behind, or a clock set back, brings nothing back.
	apply(t, m, 120, calls(0, "NOW", "GET a")...)
	wantRead(t, m, 0, 0, "NOW", ":200 ")
	wantRead(t, m, 120, 0, "GET a", "$-1 ")
}

func TestSweep(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	m := openMachine(t, o)
	if m.ExpireDue(1 << 50) {
		t.Fatal("an empty machine has something due")
	}
	for i := range 10 { // later keys are due earlier, and on two databases
		apply(t, m, 1, call(i%2, fmt.Sprintf("SET k%d v %d", i, 1000-i*10)))
	}
	for now, want := range map[int64]bool{909: false, 910: true, 5000: true} {
		if m.ExpireDue(now) != want {
			t.Errorf("due at %d: %v", now, !want)
		}
	}
	// k9 (910) to k6 (940) are due; the oldest three go first. One more is written in the same
	// batch and due before them, one was given more time.
	apply(t, m, 905, calls(0, "EXPIRE k8 0")...)
	got := show(apply(t, m, 940, calls(0,
		"SWEEP 0", "SET early v 905", "SWEEP 3", "SWEEP 3", "SWEEP 3", "COUNT")...)...)
	if want := ":0 +OK :3 :1 :0 *2 :4 :3 "; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if st := m.Stats(); st.ExpiredKeys != 4 || st.DB[0].Keys != 4 || st.DB[1].Keys != 3 {
		t.Fatalf("%+v", st)
	}
	if m.ExpireDue(949) || !m.ExpireDue(950) {
		t.Fatal("k5 is due at 950")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openMachine(t, o)
	if m.ExpireDue(949) || !m.ExpireDue(950) {
		t.Fatal("k5 is due at 950, also after a restart")
	}
	apply(t, m, 5000, calls(0, "SWEEP 100", "COUNT")...)
	wantRead(t, m, 0, 0, "COUNT", "*2 :1 :0 ")
	wantRead(t, m, 0, 1, "COUNT", "*2 :0 :0 ")
	if m.ExpireDue(1 << 50) {
		t.Fatal("everything was swept")
	}
}

// What a sweep takes must not depend on how entries were cut into batches.
func TestSweepSeesTheBatchItIsIn(t *testing.T) {
	a, b := openMem(t), openMem(t)
	var entries []Entry
	for i := range 20 {
		entries = append(entries, remoteEntry(uint64(i+1), int64(100+i),
			call(0, fmt.Sprintf("SET k%d v %d", i, 110+i%7)), call(0, "SWEEP 1"), call(i%2, "SWAPDB 0 1")))
	}
	if err := a.Apply(entries, nil); err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		if err := b.Apply(entries[i:i+1], nil); err != nil {
			t.Fatal(err)
		}
	}
	if digest(t, a) != digest(t, b) {
		t.Fatal("one batch and twenty give different states")
	}
	if a.Stats().ExpiredKeys == 0 {
		t.Fatal("nothing was swept")
	}
}
