//go:build nextversion

package command

import (
	"redoubt/fsm"
	"redoubt/resp"
)

// A build of the next version has one command that came with it, to try an upgrade before there is one: see
// test/cluster.
func init() {
	stringCommands = append(stringCommands, Spec{Name: "NEXTSET", Arity: 3, Flags: Write, Group: GroupString,
		Keys: Keys{{First: 1, Step: 1}}, Since: "next", Summary: "Sets a key, in the next version.", Version: 2, Run: nextSet})
}

func nextSet(tx *fsm.Txn, args [][]byte) resp.Reply {
	putString(tx, args[1], args[2], 0)
	return resp.OK
}
