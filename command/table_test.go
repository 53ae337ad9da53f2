package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"redoubt/fsm"
	"redoubt/resp"
)

func TestNewTableRefuses(t *testing.T) {
	run := func(*fsm.Txn, [][]byte) resp.Reply { return resp.OK }
	for what, spec := range map[string]Spec{
		"two of this name":       {Name: "GET", Arity: 2, Flags: ReadOnly, Run: run},
		"a name has 1 to":        {Arity: 1, Flags: ReadOnly, Run: run},
		"a name has":             {Name: strings.Repeat("X", nameBytesMax+1), Arity: 1},
		"not in upper case":      {Name: "mine", Arity: 1, Flags: ReadOnly, Run: run},
		"arity 0":                {Name: "MINE", Flags: ReadOnly, Run: run},
		"both Write and":         {Name: "MINE", Arity: 1, Flags: Write | ReadOnly, Run: run},
		"has no Run":             {Name: "MINE", Arity: 1, Flags: Write},
		"neither Write nor":      {Name: "MINE", Arity: 1, Run: run},
		"container with a Run":   {Name: "MINE", Arity: -2, Flags: Write, Run: run, Sub: []Spec{{}}},
		"keys starts after":      {Name: "MINE", Arity: 1, Keys: Keys{{First: 0, Step: 1}}},
		"does not start with it": {Name: "MINE", Arity: -2, Sub: []Spec{{Name: "YOURS A", Arity: 2}}},
		"command \"MINE A\": arity": {Name: "MINE", Arity: -2,
			Sub: []Spec{{Name: "MINE A"}}},
		"command \"MINE A\": there are two": {Name: "MINE", Arity: -2,
			Sub: []Spec{{Name: "MINE A", Arity: 2}, {Name: "MINE A", Arity: 2}}},
	} {
		if _, err := NewTable(spec); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got error %v", what, err)
		}
	}
}

func TestCustomCommand(t *testing.T) {
	m := newMachine(t, Spec{Name: "PUTTWICE", Arity: 3, Flags: Write, Keys: oneKey(KeyOW),
		Run: func(tx *fsm.Txn, args [][]byte) resp.Reply {
			tx.Put(args[1], fsm.Row{Kind: fsm.String, Value: append(args[2], args[2]...)})
			return resp.OK
		}})
	m.expect("PUTTWICE k ab", "+OK", "GET k", "$4\r\nabab", "PUTTWICE k",
		"-ERR wrong number of arguments for 'puttwice' command")
}

func TestLookup(t *testing.T) {
	table, err := NewTable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"get", "GET", "gEt"} {
		if spec := table.Lookup([]byte(name)); spec == nil || spec.Name != "GET" {
			t.Errorf("%q: got %v", name, spec)
		}
	}
	for _, name := range []string{"", "ge", "gett", "get ", "object|freq", strings.Repeat("x", 1000)} {
		if spec := table.Lookup([]byte(name)); spec != nil {
			t.Errorf("%q: got %s", name, spec.Name)
		}
	}
	name := []byte("IncrByFloat")
	if n := testing.AllocsPerRun(100, func() { table.Lookup(name) }); n != 0 {
		t.Errorf("a lookup allocates %v times", n)
	}
}

func TestResolve(t *testing.T) {
	table, err := NewTable()
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"get k":           "GET",
		"OBJECT freq k":   "OBJECT FREQ",
		"COMMAND":         "COMMAND",
		"command count":   "COMMAND COUNT",
		"get":             "ERR wrong number of arguments for 'get' command",
		"OBJECT":          "ERR wrong number of arguments for 'object' command",
		"OBJECT FREQ":     "ERR wrong number of arguments for 'object|freq' command",
		"object nosuch k": "ERR unknown subcommand 'nosuch'. Try OBJECT HELP.",
		"nosuch a b":      "ERR unknown command 'nosuch', with args beginning with: 'a' 'b' ",
		"SWEEPEXPIRED 1":  "ERR unknown command 'SWEEPEXPIRED', with args beginning with: '1' ",
	} {
		spec, bad := table.Resolve(words(line))
		got := bad.Text
		if spec != nil {
			got = spec.Name
		}
		if got != want || (spec == nil) != bad.IsError() {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// A call that is not for the keyspace must stop the replica, never be answered.
func TestExecFailsOnForeignCalls(t *testing.T) {
	for _, line := range []string{"NOSUCH k", "PING", "OBJECT NOSUCH k", "OBJECT", ""} {
		m := newMachine(t)
		if reply, err := m.try(words(line)); err == nil {
			t.Errorf("%q: got %+v and no error", line, reply)
		}
	}
}

func TestErrorReply(t *testing.T) {
	for _, c := range []struct {
		err    error
		prefix string
	}{
		{ErrNoLeader, "CLUSTERDOWN "},
		{ErrUncertain, "UNCERTAIN "},
		{ErrClosed, "ERR "},
		{errors.New("disk full"), "ERR write: disk full"},
	} {
		reply := ErrorReply(fmt.Errorf("write: %w", c.err))
		if !reply.IsError() || !strings.HasPrefix(reply.Text, c.prefix) {
			t.Errorf("%v: got %+v", c.err, reply)
		}
	}
}

// What the table says must fit together for every command.
func TestSpecs(t *testing.T) {
	table, err := NewTable()
	if err != nil {
		t.Fatal(err)
	}
	var check func(s *Spec)
	check = func(s *Spec) {
		if s.Summary == "" || !strings.HasSuffix(s.Summary, ".") || s.Since == "" ||
			s.Group == "" || s.Complexity == "" {
			t.Errorf("%s: documentation is missing", s.Name)
		}
		if (s.Help != nil) != (s.Sub != nil) {
			t.Errorf("%s: help lines are for containers", s.Name)
		}
		for _, k := range s.Keys {
			if s.Arity > 0 && k.Last >= 0 && k.First+k.Last >= s.Arity {
				t.Errorf("%s: a key lies beyond the arguments", s.Name)
			}
		}
		for i := range s.Sub {
			check(&s.Sub[i])
		}
	}
	for _, spec := range table.All() {
		check(spec)
	}
}
