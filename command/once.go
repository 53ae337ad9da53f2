package command

import (
	"fmt"

	"redoubt/fsm"
	"redoubt/resp"
)

// Bounds of what clients say of sessions.
const (
	sessionNameMax    = 128
	sessionTTLDefault = 3600 * 1000 // milliseconds, as the next two
	sessionTTLMin     = 1000
	sessionTTLMax     = 30 * 24 * 3600 * 1000
)

var (
	errNoSession = resp.NewError("NOSESSION There is no such session: it was never opened, was closed, or has expired; " +
		"nothing was executed")
	errSequenceOld = resp.NewError("OLDSEQUENCE This sequence number was acknowledged, or is too far below the highest one; " +
		"nothing was executed now")
	errReplyGone = resp.NewError("EXECUTED This call was executed before, and its reply was not kept; " +
		"nothing was executed now")
	errSessionName = resp.NewError(fmt.Sprintf("ERR the name of a session has 1 to %d bytes", sessionNameMax))
	errSessionTTL  = resp.NewError(fmt.Sprintf("ERR the time to live of a session is %d to %d milliseconds",
		sessionTTLMin, int64(sessionTTLMax)))
	errSequence    = resp.NewError("ERR sequence numbers are integers from 1 on")
	errAcknowledge = resp.NewError("ERR what is acknowledged is 0, or a sequence number below that of the call")
)

// onceArgs is where the inner call begins.
const onceArgs = 4

// onceCommands are those that clients with a session use. ONCE executes calls of the table that it is in.
func onceCommands(t *Table) []Spec {
	return []Spec{
		{Name: "ONCE", Arity: -onceArgs - 1, Flags: Write | NoScript, Keys: Keys{{Unknown: true}},
			Group: GroupGeneric, Since: "0.4.0", Complexity: "as the command, and O(N) in the replies that the session keeps",
			Summary: "Executes a command that writes for a session, under a sequence number, and forgets the replies up to an " +
				"acknowledged one. If that number was executed before, it returns the reply from then.",
			Run: t.once, KeysOf: t.onceKeys, Inner: t.onceInner, Differs: "Not in Redis."},
		{Name: "SESSION", Arity: -2, Group: GroupGeneric, Since: "0.4.0",
			Complexity: "as the subcommand", Summary: "Manages the sessions of ONCE.", Differs: "Not in Redis.",
			Help: []string{
				"OPEN <name> [TTL <milliseconds>]", "    Opens a session, or goes on with it. Returns the highest number executed.",
				"CLOSE <name>", "    Forgets a session.",
				"INFO <name>", "    Describes a session.",
				"COUNT", "    Returns the number of sessions.",
			},
			Sub: []Spec{
				{Name: "SESSION OPEN", Arity: -3, Flags: Write | DenyOOM | Fast, Group: GroupGeneric, Since: "0.4.0",
					Complexity: "O(1), mostly", Run: cmdSessionOpen,
					Summary: "Opens a session, which expires when it is not used for its time to live, or goes on with one, and returns " +
						"the highest sequence number that it has executed.", Differs: "Not in Redis."},
				{Name: "SESSION CLOSE", Arity: 3, Flags: Write | Fast, Group: GroupGeneric, Since: "0.4.0",
					Complexity: "O(1)", Run: cmdSessionClose, Summary: "Forgets a session.", Differs: "Not in Redis."},
				{Name: "SESSION INFO", Arity: 3, Flags: ReadOnly | Fast, Group: GroupGeneric, Since: "0.4.0",
					Complexity: "O(N) in the replies that are kept", Run: cmdSessionInfo, Summary: "Describes a session.", Differs: "Not in Redis."},
				{Name: "SESSION COUNT", Arity: 2, Flags: ReadOnly | Fast, Group: GroupGeneric, Since: "0.4.0",
					Complexity: "O(1)", Run: cmdSessionCount, Summary: "Returns the number of sessions.", Differs: "Not in Redis."},
				{Name: "SESSION HELP", Arity: 2, Flags: Loading | Stale, Group: GroupGeneric, Since: "0.4.0",
					Complexity: "O(1)", Summary: "Lists the subcommands.", Differs: "Not in Redis."},
			}},
	}
}

// onceInner finds what a call of ONCE executes. The reply is the error when it can't be executed so.
func (t *Table) onceInner(args [][]byte) (*Spec, resp.Reply) {
	inner := args[onceArgs:]
	if outer := t.Lookup(inner[0]); outer != nil && (outer.Inner != nil || outer.Name == "SESSION") {
		return nil, notOnce(outer)
	}
	spec, bad := t.Resolve(inner)
	switch {
	case bad.IsError():
		return nil, bad
	case spec.Run == nil || !spec.Flags.IsWrite() || spec.Flags&(Blocking|NoMulti) != 0:
		return nil, notOnce(spec)
	}
	return spec, resp.Reply{}
}

func notOnce(spec *Spec) resp.Reply {
	return errorf("'%s' can't be executed by ONCE: it has to be a command that writes, and does not wait", spec.fullName)
}

// onceKeys finds the keys of the inner call.
func (t *Table) onceKeys(args [][]byte) []Key {
	if len(args) <= onceArgs {
		return nil
	}
	spec, bad := t.onceInner(args)
	if bad.IsError() {
		return nil
	}
	var keys []Key
	for _, key := range spec.CallKeys(args[onceArgs:]) {
		keys = append(keys, Key{Index: key.Index + onceArgs, Flags: key.Flags})
	}
	return keys
}

func (t *Table) once(tx *fsm.Txn, args [][]byte) resp.Reply {
	spec, bad := t.onceInner(args)
	if bad.IsError() {
		return bad
	}
	sequence, acknowledged, bad := parseSequence(args)
	if bad.IsError() {
		return bad
	}
	session, _ := tx.Session(args[1])
	if session == nil {
		return errNoSession
	}
	done := session.Find(sequence)
	if done == nil && sequence <= session.Floor {
		return errSequenceOld
	}
	var reply resp.Reply
	if done != nil {
		reply = storedReply(tx, done)
	} else {
		reply = spec.Run(tx, args[onceArgs:])
		session.Add(sequence, storable(&reply))
	}
	session.Forget(acknowledged)
	tx.SaveSession(args[1], session)
	return reply
}

// storable is a reply in the form in which a session keeps it; nothing when it is too long for that.
func storable(reply *resp.Reply) []byte {
	b, ok := appendStored(nil, reply, fsm.SessionReplyMax)
	if !ok {
		return nil
	}
	return b
}

// storedReply is the reply of a call that was executed before.
func storedReply(tx *fsm.Txn, done *fsm.Done) resp.Reply {
	if len(done.Reply) == 0 {
		return errReplyGone
	}
	reply, err := parseStored(done.Reply)
	if err != nil {
		tx.Fail(err)
	}
	return reply
}

// parseSequence reads the number of a call and up to which one the client has the replies.
func parseSequence(args [][]byte) (sequence, acknowledged uint64, bad resp.Reply) {
	n, ok := parseInt(args[2])
	if !ok || n < 1 {
		return 0, 0, errSequence
	}
	a, ok := parseInt(args[3])
	if !ok || a < 0 || a >= n {
		return 0, 0, errAcknowledge
	}
	return uint64(n), uint64(a), resp.Reply{}
}

func cmdSessionOpen(tx *fsm.Txn, args [][]byte) resp.Reply {
	if n := len(args[2]); n == 0 || n > sessionNameMax {
		return errSessionName
	}
	ttl := int64(sessionTTLDefault)
	given := len(args) == 5 && isOption(args[3], "TTL")
	if len(args) != 3 && !given {
		return errSyntax
	}
	if given {
		var ok bool
		if ttl, ok = parseInt(args[4]); !ok || ttl < sessionTTLMin || ttl > sessionTTLMax {
			return errSessionTTL
		}
	}
	session, _ := tx.Session(args[2])
	if session == nil {
		session = &fsm.Session{TTL: ttl}
	} else if given {
		session.TTL = ttl
	}
	tx.SaveSession(args[2], session)
	return resp.NewInt(int64(session.Highest))
}

func cmdSessionClose(tx *fsm.Txn, args [][]byte) resp.Reply {
	if tx.DropSession(args[2]) {
		return resp.NewInt(1)
	}
	return resp.NewInt(0)
}

func cmdSessionInfo(tx *fsm.Txn, args [][]byte) resp.Reply {
	session, expireAt := tx.Session(args[2])
	if session == nil {
		return resp.Nil
	}
	return resp.NewMap([]resp.Reply{
		resp.NewBulkString("ttl"), resp.NewInt(session.TTL),
		resp.NewBulkString("left"), resp.NewInt(expireAt - tx.Now()),
		resp.NewBulkString("highest"), resp.NewInt(int64(session.Highest)),
		resp.NewBulkString("forgotten"), resp.NewInt(int64(session.Floor)),
		resp.NewBulkString("remembered"), resp.NewInt(int64(session.Remembered())),
	})
}

func cmdSessionCount(tx *fsm.Txn, _ [][]byte) resp.Reply { return resp.NewInt(tx.Sessions()) }
