package fsm

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"redoubt/resp"
)

// pagesExec changes hashes in every way in which pages come, go and change hands: command, database, key, number.
func pagesExec(tx *Txn, args [][]byte) resp.Reply {
	number, _ := ParseInt(args[2])
	other := fmt.Appendf(nil, "h%d", number%3)
	switch string(args[0]) {
	case "SET", "DEL":
		h := openHash(tx, string(args[1]))
		for i := range number {
			field := fmt.Appendf(nil, "field %d", (number*31+i)%1500)
			if args[0][0] == 'S' {
				h.Set(field, fmt.Appendf(nil, "%d", tx.index))
			} else {
				h.Delete(field)
			}
		}
		h.Save()
	case "DROP":
		tx.Delete(args[1])
	case "RENAME":
		if string(args[1]) != string(other) {
			tx.Rename(args[1], other)
		}
	case "COPY":
		if row := tx.Lookup(args[1]); row != nil && string(args[1]) != string(other) {
			tx.CopyTo(int(number%2), other, *row)
		}
	case "FLUSHDB":
		if number < 50 {
			tx.FlushDB(tx.DB())
		}
	case "SWAPDB":
		tx.SwapDB(0, 1)
	case "EXPIRE":
		tx.SetExpire(args[1], 1000+number)
	}
	return resp.OK
}

// TestSumsOfBatches: the sums are the same after every entry, whether entries are published one by one or together, and
// what is read again from the engine adds up to them.
func TestSumsOfBatches(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		call := rapid.Custom(func(rt *rapid.T) Call {
			name := rapid.SampledFrom([]string{"SET", "SET", "SET", "SET", "DEL", "DROP", "RENAME", "COPY", "FLUSHDB", "SWAPDB",
				"EXPIRE"}).Draw(rt, "name")
			args := [][]byte{[]byte(name), fmt.Appendf(nil, "h%d", rapid.IntRange(0, 2).Draw(rt, "key")),
				fmt.Appendf(nil, "%d", rapid.IntRange(0, 600).Draw(rt, "number"))}
			return Call{DB: rapid.IntRange(0, 1).Draw(rt, "db"), Args: args}
		})
		var entries []Entry
		for i := range rapid.IntRange(1, 12).Draw(rt, "entries") {
			entries = append(entries, remoteEntry(uint64(i+1), 1, rapid.SliceOfN(call, 1, 6).Draw(rt, "calls")...))
		}
		open := func() *treeMachine {
			o := testOptions(t, vfs.NewMem())
			o.CacheBytes, o.BufferBytes, o.Exec = 64<<10, 64<<10, pagesExec
			return &treeMachine{t: rt, m: openMachine(t, o)}
		}
		one, together := open(), open()
		for i := range entries {
			if err := one.m.Apply(entries[i:i+1], nil); err != nil {
				rt.Fatal(err)
			}
		}
		for from := 0; from < len(entries); {
			to := rapid.IntRange(from+1, len(entries)).Draw(rt, "to")
			if err := together.m.Apply(entries[from:to], nil); err != nil {
				rt.Fatal(err)
			}
			from = to
		}
		for i := range entries {
			a, _ := one.m.Hash(uint64(i + 1))
			if b, _ := together.m.Hash(uint64(i + 1)); a != b {
				rt.Fatalf("after entry %d the hash is %016x or %016x", i+1, a, b)
			}
		}
		one.check()
		together.check()
	})
}
