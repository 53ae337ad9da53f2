package command

import (
	"bytes"
	"testing"

	"redoubt/fsm"
)

// FuzzExec executes any calls: lines of words. Nothing panics; a second machine that applies all of
// them at once comes to the same replies and the same state; and so does a third one to the same
// state that is spared the calls that were answered with errors.
func FuzzExec(f *testing.F) {
	for _, script := range []string{
		"SET k v EX 10\nGETEX k PERSIST\nAPPEND k x\nSETRANGE k 10 \x00\xff\nLCS k l IDX",
		"INCR n\nDECRBY n -9223372036854775808\nINCRBYFLOAT n 0x1p-16446\nINCRBYFLOAT n 1e4932",
		"MSET a 1 b 2\nRENAME a b\nCOPY b c DB 1 REPLACE\nMOVE b 2\nSWAPDB 0 1\nFLUSHALL ASYNC",
		"SET k v PX 1\nPEXPIREAT k 1 LT\nEXPIRE k -1 NX\nTTL k\nSWEEPEXPIRED 5\nRANDOMKEY",
		"SET a* v\nKEYS [^a\nSCAN 0 MATCH *[ COUNT 1 TYPE string\nSCAN 18446744073709551615",
		"OBJECT ENCODING k\nOBJECT REFCOUNT k\nGETRANGE k -9223372036854775808 9223372036854775807",
	} {
		f.Add([]byte(script))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		one, atOnce, spared := newMachine(t), newMachine(t), newMachine(t)
		var entries []fsm.Entry
		var requests []*fsm.Request
		var replies [][]byte
		for _, line := range bytes.Split(script, []byte("\n")) {
			args := bytes.Split(line, []byte(" "))
			spec := one.table.Find(args)
			if spec == nil || spec.Run == nil {
				continue // the dispatcher lets no such call through
			}
			reply, err := one.try(args)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			replies = append(replies, reply.Append(nil, 3))
			entry, req := atOnce.entry(args, spec.Flags&ReadOnly != 0)
			entries, requests = append(entries, entry), append(requests, req)
			entry, _ = spared.entry(args, spec.Flags&ReadOnly != 0)
			if reply.IsError() {
				entry.Batches = nil
			}
			if err := spared.fsm.Apply([]fsm.Entry{entry}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := atOnce.fsm.Apply(entries, nil); err != nil {
			t.Fatal(err)
		}
		for i, req := range requests {
			if got := req.Replies[0].Append(nil, 3); !bytes.Equal(got, replies[i]) {
				t.Fatalf("%q: %q, and with all calls at once %q", req.Calls[0].Args, replies[i], got)
			}
		}
		if one.digest() != atOnce.digest() {
			t.Fatal("another state with all calls at once")
		}
		if one.digest() != spared.digest() {
			t.Fatal("a call that was answered with an error left something behind")
		}
	})
}
