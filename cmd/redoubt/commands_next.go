//go:build nextversion

package main

import (
	"redoubt/command"
	"redoubt/fsm"
	"redoubt/raftnode"
	"redoubt/resp"
)

// extraCommands has one that came with the next version, to try an upgrade: see test/cluster.
var extraCommands = []command.Spec{{Name: "NEXTSET", Arity: 3, Flags: command.Write, Group: command.GroupString,
	Keys: command.Keys{{First: 1, Last: 1, Step: 1}}, Since: "next", Summary: "Sets a key, in the next version.",
	Version: raftnode.VersionMax,
	Run: func(tx *fsm.Txn, args [][]byte) resp.Reply {
		tx.Put(args[1], fsm.Row{Kind: fsm.String, Value: args[2]})
		return resp.OK
	}}}
