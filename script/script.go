// Package script runs Lua 5.1 for EVAL and FUNCTION as Redis 7.2 does: the same libraries, the
// same conversions, the same texts of errors. It knows nothing of commands or of the log: what a
// script calls goes to a Host. A run is a function of its program, keys, arguments and the Host's
// answers, and of nothing else, and it ends within its Limits.
package script

import "redoubt/resp"

// Host is the server as a script sees it.
type Host interface {
	// Call runs a command. An error reply makes redis.call raise, and redis.pcall return it.
	Call(args [][]byte) resp.Reply
	// Allowed says whether the caller may run a command, and whether there is such a command.
	Allowed(args [][]byte) (allowed, known bool)
	// Log takes what redis.log writes; levels are those of LogDebug and so on.
	Log(level int, text string)
	// SetRESP says which protocol version the commands of the script answer in from now on.
	SetRESP(version int)
}

// Levels of Host.Log.
const (
	LogDebug = iota
	LogVerbose
	LogNotice
	LogWarning
)

// Flags are what a script says of itself in its first line, or a function when it is registered.
type Flags uint

// The flags of Redis 7.2. Compat is the mode of an EVAL script without a first line.
const (
	NoWrites Flags = 1 << iota
	AllowOOM
	AllowStale
	NoCluster
	Compat
	AllowCrossSlotKeys
)

var flagNames = []struct {
	name string
	flag Flags
}{
	{"no-writes", NoWrites}, {"allow-oom", AllowOOM}, {"allow-stale", AllowStale},
	{"no-cluster", NoCluster}, {"allow-cross-slot-keys", AllowCrossSlotKeys},
}

// Names lists the flags as Redis writes them, in its order.
func (f Flags) Names() (names []string) {
	for _, each := range flagNames {
		if f&each.flag != 0 {
			names = append(names, each.name)
		}
	}
	return names
}

// Limits bound a run; they have to be the same on all nodes. Zero stands for the default.
type Limits struct {
	// Instructions is what a run may spend. Work on strings and tables costs by its size.
	Instructions int64
	// StringBytes is the length of the longest string.
	StringBytes int64
}

// The defaults of Limits.
const (
	DefaultInstructions = 100_000_000
	DefaultStringBytes  = 64 << 20
)

// Options belong to one run.
type Options struct {
	Limits Limits
	// Name stands in the texts of errors: the SHA1 of a script, or the name of a function.
	Name string
	// Stop is asked now and then; its error ends the script, which can't catch it. It may be nil.
	Stop func() error
}

// ErrKilled is what Stop answers after SCRIPT KILL and FUNCTION KILL.
var ErrKilled error = refusal("ERR Script killed by user with SCRIPT KILL...")
