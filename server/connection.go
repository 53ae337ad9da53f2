package server

import (
	"bytes"
	"math"

	"redoubt/fsm"
	"redoubt/resp"
)

// redisVersion is the version of Redis whose behaviour is followed. Clients look at it to decide
// what they may use.
const redisVersion = "7.2.6"

// is compares an option or subcommand in any case; word is in upper case.
func is(arg []byte, word string) bool { return bytes.EqualFold(arg, []byte(word)) }

var pong = resp.NewSimple("PONG")

// ping answers a subscribed RESP2 client in the form of a message.
func ping(s *session, args [][]byte) resp.Reply {
	if len(args) > 2 {
		return errorf("wrong number of arguments for 'ping' command")
	}
	text := resp.NewBulkString("")
	if len(args) == 2 {
		text = resp.NewBulk(args[1])
	}
	switch {
	case s.subs.count() > 0 && s.proto.Load() == 2:
		return resp.ArrayOf(resp.NewBulkString("pong"), text)
	case len(args) == 1:
		return pong
	}
	return text
}

func echo(_ *session, args [][]byte) resp.Reply { return resp.NewBulk(args[1]) }

func selectDB(s *session, args [][]byte) resp.Reply {
	db, ok := parseInt(args[1])
	switch {
	case !ok:
		return errNotInteger
	case db < math.MinInt32 || db > math.MaxInt32:
		return errorf("value is out of range, value must between %d and %d",
			math.MinInt32, math.MaxInt32)
	case db != 0 && s.server.clusterFace.Load():
		return notInCluster("SELECT is")
	case db < 0 || db >= fsm.Databases:
		return errDBRange
	}
	s.db.Store(int32(db))
	return resp.OK
}

func quit(s *session, _ [][]byte) resp.Reply {
	s.leaving = true
	return resp.OK
}

func reset(s *session, _ [][]byte) resp.Reply {
	s.db.Store(0)
	s.proto.Store(2)
	s.setReplies(repliesOn)
	s.readOnly.Store(false)
	s.dropAll()
	s.endTransaction()
	s.server.tracking.disable(s)
	s.mu.Lock()
	s.profile.name = ""
	s.profile.noEvict, s.profile.noTouch = false, false
	s.mu.Unlock()
	return resp.NewSimple("RESET")
}

// auth knows one user, "default", who needs no password.
func auth(_ *session, args [][]byte) resp.Reply {
	switch {
	case len(args) == 2:
		return errNoPassword
	case len(args) > 3:
		return errSyntax
	case string(args[1]) != "default":
		return errWrongPass
	}
	return resp.OK
}

// hello is HELLO [protocol [AUTH user password] [SETNAME name]].
func hello(s *session, args [][]byte) resp.Reply {
	proto := int64(s.proto.Load())
	if len(args) > 1 {
		var ok bool
		if proto, ok = parseInt(args[1]); !ok {
			return errProtoParse
		}
		if proto < 2 || proto > 3 {
			return errProto
		}
	}
	var name []byte
	var wrongUser bool
	for i := 2; i < len(args); {
		switch {
		case is(args[i], "AUTH") && i+2 < len(args):
			wrongUser = string(args[i+1]) != "default"
			i += 3
		case is(args[i], "SETNAME") && i+1 < len(args):
			if name = args[i+1]; !isPrintable(name) {
				return errName
			}
			i += 2
		default:
			return errorf("Syntax error in HELLO option '%s'", args[i])
		}
	}
	if wrongUser {
		return errWrongPass
	}
	if name != nil {
		s.setName(name)
	}
	s.proto.Store(int32(proto))
	return resp.NewMap([]resp.Reply{
		resp.NewBulkString("server"), resp.NewBulkString("redis"),
		resp.NewBulkString("version"), resp.NewBulkString(redisVersion),
		resp.NewBulkString("proto"), resp.NewInt(proto),
		resp.NewBulkString("id"), resp.NewInt(s.id),
		resp.NewBulkString("mode"), resp.NewBulkString(s.server.mode()),
		resp.NewBulkString("role"), resp.NewBulkString(helloRole(s.server)),
		resp.NewBulkString("modules"), resp.NewArray(nil),
	})
}

func helloRole(s *Server) string {
	if s.engine.View().Role == roleLeader {
		return "master"
	}
	return "replica"
}

// isPrintable tells whether a name can be shown in CLIENT LIST, whose fields are separated by
// spaces.
func isPrintable(name []byte) bool {
	for _, c := range name {
		if c < '!' || c > '~' {
			return false
		}
	}
	return true
}

func (s *session) setName(name []byte) {
	s.mu.Lock()
	s.profile.name = string(name)
	s.mu.Unlock()
}
