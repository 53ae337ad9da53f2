package script

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"

	"redoubt/resp"
)

var redisFunctions = map[string]func(*thread, []value) []value{
	"call":          func(th *thread, args []value) []value { return redisCall(th, args, true) },
	"pcall":         func(th *thread, args []value) []value { return redisCall(th, args, false) },
	"error_reply":   redisErrorReply,
	"status_reply":  redisStatusReply,
	"sha1hex":       redisSHA1,
	"setresp":       redisSetRESP,
	"set_repl":      redisSetRepl,
	"acl_check_cmd": redisACLCheck,
}

// debugFunctions are for Redis's debugger, which is never there.
var debugFunctions = map[string]func(*thread, []value) []value{
	"breakpoint":         func(th *thread, _ []value) []value { return th.ret(falseValue) },
	"debug":              func(*thread, []value) []value { return nil },
	"replicate_commands": func(th *thread, _ []value) []value { return th.ret(trueValue) },
}

// errorHandler is a global of Redis that scripts can see: it makes tables of errors.
func errorHandler(th *thread, args []value) []value {
	t := at(args, 0).table()
	if t == nil {
		t = th.r.newTable(0, 0)
		t.setField(th.r, "err", text("ERR "+errorText(at(args, 0))))
	}
	return th.ret(value{o: t})
}

// errorTable is an error as redis.pcall returns it. A message that begins with '-' has its code.
func (r *run) errorTable(message string) value {
	code := "ERR"
	if rest, ok := strings.CutPrefix(message, "-"); ok {
		message = rest
		if before, after, ok := strings.Cut(rest, " "); ok {
			code, message = before, after
		}
	}
	t := r.newTable(0, 0)
	t.setField(r, "err", text(cString(code+" "+strings.Trim(message, "\r\n"))))
	return value{o: t}
}

// failRedis raises an error as Redis's functions do.
func (th *thread) failRedis(message string) { th.raise(th.r.errorTable(message)) }

// commandArgs are the arguments of a command; problem says what is wrong with them. They hold until the next call; their
// texts are the command's.
func (th *thread) commandArgs(args []value) (list [][]byte, problem string) {
	if len(args) == 0 {
		return nil, "Please specify at least one argument for this redis lib call"
	}
	size := 0
	for _, v := range args {
		switch x := v.o.(type) {
		case *str:
			th.r.chargeBytes(len(x.s))
			size += len(x.s)
		case isNumber:
			size += numberRoom
		default:
			return nil, "Lua redis lib command arguments must be strings or integers"
		}
	}
	list, all := th.r.list[:0], make([]byte, 0, size)
	for _, v := range args {
		from := len(all)
		if s := v.str(); s != nil {
			all = append(all, s.s...)
		} else {
			all = appendArgument(all, v.n)
		}
		list = append(list, all[from:len(all):len(all)])
	}
	th.r.list = list
	return list, ""
}

// numberRoom is enough for most numbers.
const numberRoom = 24

// appendArgument prints a number so that it reads back as the same.
func appendArgument(dst []byte, n float64) []byte {
	if n == 0 {
		return append(dst, '0') // also for -0
	}
	return resp.AppendDouble(dst, n)
}

// callCost is what a command costs beside its arguments and reply.
const callCost = 50

func redisCall(th *thread, args []value, raise bool) []value {
	list, problem := th.commandArgs(args)
	if problem != "" {
		e := th.r.errorTable(problem)
		if raise {
			th.raise(e)
		}
		return th.ret(e)
	}
	th.r.charge(callCost)
	reply := th.r.host.Call(list)
	v := th.r.fromReply(reply)
	if raise && reply.IsError() {
		th.raise(v)
	}
	return th.ret(v)
}

func redisErrorReply(th *thread, args []value) []value {
	if len(args) != 1 || args[0].str() == nil {
		return th.ret(th.r.errorTable("wrong number or type of arguments"))
	}
	message := cString(args[0].str().s)
	if !strings.HasPrefix(message, "-") {
		message = "-" + message
	}
	return th.ret(th.r.errorTable(message))
}

func redisStatusReply(th *thread, args []value) []value {
	if len(args) != 1 || args[0].str() == nil {
		return th.ret(th.r.errorTable("wrong number or type of arguments"))
	}
	t := th.r.newTable(0, 0)
	t.setField(th.r, "ok", args[0])
	return th.ret(value{o: t})
}

func redisSHA1(th *thread, args []value) []value {
	if len(args) != 1 {
		th.failRedis("wrong number of arguments")
	}
	s, _ := toText(args[0])
	th.r.chargeBytes(4 * len(s))
	sum := sha1.Sum([]byte(s))
	return th.ret(text(hex.EncodeToString(sum[:])))
}

func redisSetRESP(th *thread, args []value) []value {
	if len(args) != 1 {
		th.failRedis("redis.setresp() requires one argument.")
	}
	n, _ := toNumber(args[0])
	version := toInt32(n)
	if version != 2 && version != 3 {
		th.failRedis("RESP version must be 2 or 3.")
	}
	th.r.proto = version
	th.r.host.SetRESP(version)
	return nil
}

// redisSetRepl checks its argument: what a script does is always replicated.
func redisSetRepl(th *thread, args []value) []value {
	if len(args) != 1 {
		th.failRedis("redis.set_repl() requires one argument.")
	}
	n, _ := toNumber(args[0])
	if toInt32(n)&^3 != 0 {
		th.failRedis("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
	}
	return nil
}

func redisACLCheck(th *thread, args []value) []value {
	list, problem := th.commandArgs(args)
	if problem != "" {
		th.failRedis(problem)
	}
	allowed, known := th.r.host.Allowed(list)
	if !known {
		th.failRedis("Invalid command passed to redis.acl_check_cmd()")
	}
	return th.ret(boolean(allowed))
}

func redisLog(th *thread, args []value) []value {
	if len(args) < 2 {
		th.failRedis("redis.log() requires two arguments or more.")
	}
	n, ok := toNumber(args[0])
	if !ok {
		th.failRedis("First argument must be a number (log level).")
	}
	level := toInt32(n)
	if level < LogDebug || level > LogWarning {
		th.failRedis("Invalid debug level.")
	}
	var b strings.Builder
	for i, v := range args[1:] {
		if s, ok := toText(v); ok {
			if i > 0 {
				b.WriteByte(' ')
			}
			th.r.chargeBytes(len(s))
			th.r.checkLength(b.Len() + len(s))
			b.WriteString(s)
		}
	}
	th.r.host.Log(level, b.String())
	return nil
}
