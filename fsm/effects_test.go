package fsm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/resp"
)

// witness notes what it is told.
type witness struct {
	wants Wants
	told  []string
}

func (w *witness) Wants() Wants { return w.wants }
func (w *witness) Skipped()     {}
func (w *witness) Applied(e *Effects) {
	for _, c := range e.Changed {
		w.told = append(w.told, fmt.Sprintf("%d %s %d by %d", c.DB, c.Key, c.Kind, c.Client))
	}
	for db, replaced := range e.Replaced {
		if replaced {
			w.told = append(w.told, fmt.Sprintf("%d replaced", db))
		}
	}
	for _, m := range e.Messages {
		w.told = append(w.told, fmt.Sprintf("%s: %s", m.Channel, m.Text))
	}
}

func TestObserverIsToldWhatWasApplied(t *testing.T) {
	w := &witness{wants: Wants{Keys: true, Messages: true}}
	o := testOptions(t, vfs.NewMem())
	o.Observer = w
	o.Exec = func(tx *Txn, args [][]byte) resp.Reply {
		switch string(args[0]) {
		case "set":
			tx.Put(args[1], Row{Kind: String, Value: args[1]})
			tx.Notify(EventString, "set", args[1])
		case "del":
			tx.Delete(args[1])
			tx.Notify(EventGeneric, "del", args[1]) // not among the classes that are set
		case "swap":
			tx.SwapDB(0, 3)
		case "events":
			s := tx.Settings()
			s.Events = EventKeyspace | EventKeyevent | EventString
			tx.SetSettings(s)
		}
		return resp.OK
	}
	m, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	index := uint64(0)
	apply := func(client uint64, words ...string) {
		t.Helper()
		index++
		call := Call{DB: 0}
		for _, word := range words {
			call.Args = append(call.Args, []byte(word))
		}
		err := m.Apply([]Entry{{Position: Position{Index: index, Term: 1}, Time: 1,
			Batches: []Batch{{Local: &Request{Calls: []Call{call}, Client: client}}}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...string) {
		t.Helper()
		if !slices.Equal(w.told, want) {
			t.Fatalf("told %q, want %q", w.told, want)
		}
		w.told = nil
	}
	apply(7, "set", "a")
	expect("0 a 1 by 7")
	apply(7, "events")
	apply(8, "set", "b")
	expect("0 b 1 by 8", "__keyspace@0__:b: set", "__keyevent@0__:set: b")
	apply(9, "del", "a")
	expect("0 a 0 by 9")
	apply(9, "swap")
	expect("0 replaced", "3 replaced")
	w.wants = Wants{}
	apply(9, "set", "c")
	expect()
}
