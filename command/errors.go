package command

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"redoubt/resp"
)

// What an engine returns when it can't answer a request. ErrorReply has their texts.
var (
	// ErrNoLeader means that the request was certainly not executed and may be sent again.
	ErrNoLeader = errors.New("no leader was found in time")
	// ErrUncertain means that a write may have been executed, or may yet be.
	ErrUncertain = errors.New("outcome unknown")
	// ErrClosed means that this node is stopping; the request was not executed.
	ErrClosed = errors.New("node is closing")
	// ErrCorrupt means that this node's state is not what the log has made; nothing was executed.
	ErrCorrupt = errors.New("the state of this node is corrupt")
	// ErrStale means that a local read was refused, because what this node has may be too old.
	ErrStale = errors.New("the state of this node may be too old")
)

// Refusal is the error of an engine that has executed nothing of a request, since the request has to be executed as a whole and
// one of its calls was to be answered with this error.
type Refusal struct{ Reply resp.Reply }

func (r Refusal) Error() string { return r.Reply.Text }

// ErrorReply turns an engine's error into the reply for a client. The code of ErrUncertain is one
// that no client library retries by itself: a retry could execute the write twice.
func ErrorReply(err error) resp.Reply {
	var refusal Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal.Reply
	case errors.Is(err, ErrNoLeader):
		return resp.NewError("CLUSTERDOWN The cluster has no leader; nothing was executed")
	case errors.Is(err, ErrUncertain):
		return resp.NewError("UNCERTAIN outcome unknown: the write may or may not take effect")
	case errors.Is(err, ErrStale):
		return resp.NewError("MASTERDOWN This node has not heard from the leader within max-staleness; " +
			"the read was not executed")
	case errors.Is(err, ErrClosed):
		return resp.NewError("ERR Server is shutting down")
	case errors.Is(err, ErrCorrupt):
		return resp.NewError("CORRUPT this node's state differs from the log's; nothing was executed. " +
			"Use another node, and replace this one's data directory (see INFO raft)")
	}
	return errorf("%s", err)
}

// NoRoom answers a write that was refused, before anything was done about it, because too many nodes
// are short of disk space.
var NoRoom = resp.NewError("MISCONF Not enough free disk space for this write, which was not executed; " +
	"reads and deletes go on")

// Redis's errors with a fixed text.
var (
	errSyntax         = resp.NewError("ERR syntax error")
	errWrongType      = resp.NewError("WRONGTYPE Operation against a key holding the wrong kind of value")
	errNotInteger     = resp.NewError("ERR value is not an integer or out of range")
	errNotFloat       = resp.NewError("ERR value is not a valid float")
	errIntRange       = resp.NewError("ERR value is out of range, value must between -2147483648 and 2147483647")
	errOverflow       = resp.NewError("ERR increment or decrement would overflow")
	errDecrOverflow   = resp.NewError("ERR decrement would overflow")
	errNaN            = resp.NewError("ERR increment would produce NaN or Infinity")
	errOffset         = resp.NewError("ERR offset is out of range")
	errTooLong        = resp.NewError("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
	errHashNotInteger = resp.NewError("ERR hash value is not an integer")
	errHashNotFloat   = resp.NewError("ERR hash value is not a float")
	errNaNOrInf       = resp.NewError("ERR value is NaN or Infinity")
	errRange          = resp.NewError("ERR value is out of range")
	errCountRange     = resp.NewError("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")
	errIndex          = resp.NewError("ERR index out of range")
	errNotPositive    = resp.NewError("ERR value is out of range, must be positive")
	errCountZero      = resp.NewError("ERR count should be greater than 0")
	errNumKeys        = resp.NewError("ERR numkeys should be greater than 0")
	errTooManyKeys    = resp.NewError("ERR Number of keys can't be greater than number of args")
	errLimit          = resp.NewError("ERR LIMIT can't be negative")
	errNoSuchKey      = resp.NewError("ERR no such key")
	errSameObject     = resp.NewError("ERR source and destination objects are the same")
	errDBRange        = resp.NewError("ERR DB index is out of range")
	errFirstDB        = resp.NewError("ERR invalid first DB index")
	errSecondDB       = resp.NewError("ERR invalid second DB index")
	errCursor         = resp.NewError("ERR invalid cursor")
	errLFU            = resp.NewError("ERR An LFU maxmemory policy is selected, idle time not tracked. " +
		"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
	errNotLFU = resp.NewError("ERR An LFU maxmemory policy is not selected, " +
		"access frequency not tracked. Please note that when switching between policies at " +
		"runtime LRU and LFU data will take some time to adjust.")
	errExpireNX   = resp.NewError("ERR NX and XX, GT or LT options at the same time are not compatible")
	errExpireGTLT = resp.NewError("ERR GT and LT options at the same time are not compatible")
	errLCSType    = resp.NewError("ERR The specified keys must contain string values")
	errLCSBoth    = resp.NewError("ERR If you want both the length and indexes, please just use IDX.")
	errLCSMemory  = resp.NewError("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")

	errGetKeysCommand = resp.NewError("ERR Invalid command specified")
	errGetKeysNone    = resp.NewError("ERR The command has no key arguments")
	errGetKeysArity   = resp.NewError("ERR Invalid number of arguments specified for command")
	errGetKeysArgs    = resp.NewError("ERR Invalid arguments specified for command")
)

// quotedMax is how much of what a client sent is repeated in an error, in bytes.
const quotedMax = 128

// errorf makes an ERR reply; line breaks at the ends are dropped, as Redis does.
func errorf(format string, args ...any) resp.Reply {
	return resp.NewError("ERR " + strings.Trim(fmt.Sprintf(format, args...), "\r\n"))
}

func wrongArity(fullName string) resp.Reply {
	return errorf("wrong number of arguments for '%s' command", fullName)
}

func invalidExpire(name string) resp.Reply {
	return errorf("invalid expire time in '%s' command", name)
}

func unsupportedOption(option []byte) resp.Reply {
	return errorf("Unsupported option %s", cString(option))
}

func unknownSubcommand(container, sub []byte) resp.Reply {
	return errorf("unknown subcommand '%s'. Try %s HELP.",
		clip(cString(sub), quotedMax), bytes.ToUpper(container))
}

// unknownCommand repeats the name and, up to a bound, the arguments.
func unknownCommand(args [][]byte) resp.Reply {
	var rest []byte
	for _, arg := range args[1:] {
		if len(rest) >= quotedMax {
			break
		}
		rest = fmt.Appendf(rest, "'%s' ", clip(cString(arg), quotedMax-len(rest)))
	}
	return resp.NewError(fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s",
		clip(cString(args[0]), quotedMax), rest))
}

func clip(b []byte, n int) []byte { return b[:min(len(b), n)] }
