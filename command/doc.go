// Package command is the syntax and the meaning of Redis's commands: one table of specs that the
// dispatcher, COMMAND and docs/COMMANDS.md read, and one function for each command that works on
// the keyspace. It knows nothing of connections, of the log and of storage engines.
//
// # The contract of a command's function
//
// It is a pure function of the transaction and the arguments: every node executes it, and all
// must come to the same state and the same reply. Time, randomness and keys come from the
// transaction; a map is never ranged over into output. It validates everything first and then
// writes, so that a call that is answered with an error has changed nothing. A row that the
// transaction hands out, and its value, is never modified. An I/O error needs no care: the
// transaction remembers it, answers with zero values, and the replica stops.
//
// # How to add a command
//
// On a type that exists, say GETMID for strings:
//
//  1. Add a Spec to stringCommands in string.go. Copy flags, key places, categories and tips from
//     Redis if it has the command ("COMMAND INFO getmid"); write Differs if ours is not the same.
//  2. Write cmdGetMid beside it. Texts of errors belong in errors.go, reading of arguments in
//     args.go.
//  3. Add cases to test/compat/testdata/string.txt and record what Redis answers to them
//     (go test ./test/compat -record), or to string_test.go if Redis does not have the command.
//  4. Write docs/COMMANDS.md anew: go test ./command -run Docs -write
//
// A new type also has a file here with its specs, a line in NewTable, and a file in package fsm
// for its bytes. A command of the connection or the node has a spec in session.go or node.go
// without Run, and its code in package server.
package command
