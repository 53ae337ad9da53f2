package command

import (
	"slices"
	"testing"

	"redoubt/fsm"
	"redoubt/resp"
)

// keySpecs are commands with all the kinds of key specs that there are.
var keySpecs = []Spec{
	{Name: "COUNTED", Arity: -4, Keys: Keys{{First: 1, Step: 1}, {First: 3, KeyNum: 2, Step: 1}}},
	{Name: "STORING", Arity: -3, Keys: Keys{{First: 1, Step: 1}, {First: 2, Keyword: "STORE", Step: 1}}},
	{Name: "HALVES", Arity: -3, Keys: Keys{{First: 1, Keyword: "OF", Last: -1, Limit: 2, Step: 1}}},
	{Name: "BACKWARD", Arity: -3, Keys: Keys{{First: -2, Keyword: "OF", Last: -1, Step: 1}}},
	{Name: "HIDDEN", Arity: -2, Keys: Keys{{First: 1, Step: 1}, {Unknown: true}},
		KeysOf: func([][]byte) []Key { return []Key{{Index: 1}, {Index: 2}} }},
}

func TestCallKeys(t *testing.T) {
	table, err := NewTable(keySpecs...)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string][]int{
		"GET a": {1}, "MSET a 1 b 2": {1, 3}, "DEL a b c": {1, 2, 3}, "RENAME a b": {1, 2}, "SET a 1 GET": {1},
		"LCS a b LEN": {1, 2}, "OBJECT FREQ a": {2}, "COPY a b REPLACE": {1, 2}, "PING": nil,
		"COUNTED a 2 b c d": {1, 3, 4}, "COUNTED a 1 b": {1, 3}, "COUNTED a 2 b": nil, "COUNTED a 0 b": nil,
		"COUNTED a 9223372036854775807 b": nil, "COUNTED a x b": nil,
		"STORING a b": {1}, "STORING a x store b": {1, 4}, "STORING store a": {1}, "STORING a b STORE": {1},
		"HALVES OF a 1": {2}, "HALVES x OF a b 1 2": {3, 4}, "HALVES OF a b 1": {2}, "HALVES x OF a": nil, "HALVES x y": nil,
		"BACKWARD x OF a": {3}, "BACKWARD x OF a b": {3, 4}, "BACKWARD OF a b": nil, "BACKWARD x y OF": nil,
		"HIDDEN a b": {1, 2},
	} {
		args := words(line)
		keys := table.Find(args).CallKeys(args)
		var got []int
		for _, key := range keys {
			got = append(got, key.Index)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v", line, got)
		}
	}
	for line, want := range map[string]bool{
		"MSET {a}1 x {a}2 y": true, "MSET a x b y": false, "COUNTED {a} 2 {a}b {a}c": true, "COUNTED a 1 b": false,
		"STORING a STORE b": false, "HIDDEN a b": false, "HIDDEN {a}1 {a}2": true,
	} {
		args := words(line)
		if _, keyed, same := table.Find(args).CallSlot(args); !keyed || same != want {
			t.Errorf("%s: keyed %v, same slot %v", line, keyed, same)
		}
	}
	args := words("SET a b")
	spec := table.Find(args)
	if n := testing.AllocsPerRun(100, func() { spec.CallSlot(args) }); n != 0 {
		t.Errorf("CallSlot allocates %v times", n)
	}
}

func TestMovableKeys(t *testing.T) {
	table, err := NewTable(keySpecs...)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][3]int64{
		"COUNTED": {1, 1, 1}, "STORING": {1, 1, 1}, "HALVES": {}, "HIDDEN": {1, 1, 1},
		"GET": {1, 1, 1}, "MSET": {1, -1, 2}, "RENAME": {1, 2, 1}, "PING": {},
	} {
		spec := table.Lookup([]byte(name))
		got, _ := spec.Keys.legacyRange()
		movable := spec.Run == nil && name != "PING"
		if got != want || (spec.Flags&MovableKeys != 0) != movable {
			t.Errorf("%s: range %v, flags %v", name, got, spec.Flags.Names())
		}
	}
	run := func(*fsm.Txn, [][]byte) resp.Reply { return resp.OK }
	for _, k := range []KeySpec{{Unknown: true}, {First: -1, Step: 1}, {First: 1, KeyNum: 1, Step: 1}, {First: 1, Step: 1, Flags: KeyIncomplete}} {
		if _, err := NewTable(Spec{Name: "MINE", Arity: -2, Flags: ReadOnly, Keys: Keys{k}, Run: run}); err == nil {
			t.Errorf("%+v is accepted", k)
		}
	}
}
