package command

import (
	"strings"

	"redoubt/fsm"
	"redoubt/resp"
)

// Spec is the complete description of one command: the dispatcher, COMMAND and docs/COMMANDS.md
// read nothing else. It must not change once it was given to NewTable.
type Spec struct {
	// Name is in upper case. The name of a subcommand has its container before it: "OBJECT FREQ".
	Name string
	// Arity counts the words of a call, the name (and the subcommand's name) included.
	// A negative arity -n means n or more.
	Arity      int
	Flags      Flags
	Keys       Keys
	Group      Group
	Categories Categories // ACL categories beside those that follow from Flags
	Since      string     // version of Redis (or of Redoubt) that had it first
	// Version is the version of the cluster from which on calls may be logged, since all nodes know them then;
	// 0: always. See raftnode/version.go.
	Version    uint32
	Summary    string // one sentence
	Complexity string
	Tips       []string // hints for clients that talk to several nodes, in Redis's words

	DeprecatedSince string
	ReplacedBy      string // what the documentation recommends instead

	// Differs says in a sentence what is not as in Redis; empty for most.
	Differs string
	// Help has the lines of the HELP subcommand: "NAME <args>" and, indented, what it does.
	Help []string
	// Sub makes the command a container, whose calls are calls of one of these.
	Sub []Spec

	// Run executes the call on the keyspace. It is a pure function of the transaction and the
	// arguments, and it has written nothing when it answers with an error. It is nil for the
	// commands of the session and of the node, which the server executes.
	Run func(tx *fsm.Txn, args [][]byte) resp.Reply

	// Wait says what a call waits for, outside of transactions, when Run has answered with null, and whether it does so
	// at all. It is nil for the commands that never wait.
	Wait func(args [][]byte) (w Waiting, ok bool)

	// KeysOf finds the keys of a call when Keys alone does not tell where they are or what is done to them.
	KeysOf func(args [][]byte) []Key

	// Inner finds the command that a call of this one executes, and whose keys and needs it has. The reply is the error when
	// there is none that it can execute. It is nil for commands that execute no others.
	Inner func(args [][]byte) (*Spec, resp.Reply)

	fullName string // as Redis prints it: "object|freq"
}

// FullName returns the name in Redis's spelling: lower case, with a bar before the subcommand.
func (s *Spec) FullName() string { return s.fullName }

// CheckArity returns Redis's error when a call with this many words can't be right,
// and a reply of kind None otherwise.
func (s *Spec) CheckArity(args [][]byte) resp.Reply {
	if s.arityFits(len(args)) {
		return resp.Reply{}
	}
	return wrongArity(s.fullName)
}

func (s *Spec) arityFits(words int) bool {
	if s.Arity < 0 {
		return words >= -s.Arity
	}
	return words == s.Arity
}

// sub finds a subcommand by its own name, in any case; nil when there is none.
func (s *Spec) sub(name []byte) *Spec {
	for i := range s.Sub {
		own := s.Sub[i].Name[len(s.Name)+1:]
		if strings.EqualFold(own, string(name)) {
			return &s.Sub[i]
		}
	}
	return nil
}

// Flags say what a command does and when it may run. The bits are in the order in which
// COMMAND INFO lists their names.
type Flags uint32

// Redis's flags, then (not shown to clients) those that only Redoubt reads.
const (
	Write    Flags = 1 << iota // may change the keyspace: goes through the log
	ReadOnly                   // reads the keyspace
	DenyOOM                    // refused when memory is short
	Admin
	PubSub
	NoScript
	Blocking
	Loading // allowed while the data set is being loaded
	Stale   // allowed on a node that has lost its cluster
	SkipMonitor
	SkipSlowlog
	Fast
	NoAuth
	NoMandatoryKeys // a call without keys is right
	NoAsyncLoading
	NoMulti // not allowed inside a transaction
	MovableKeys
	AllowBusy

	Internal // proposed by the nodes themselves, unknown to clients
	Scan     // walks a whole database: runs on a view of its own, never in one request with writes
	AtNode   // of the keyspace, but has no Run: the server makes other calls of it
	Logged   // changes state beside the keyspace: goes through the log, as with Write
	Looks    // reads state beside the keyspace, as with ReadOnly
	Scripted // runs a script: goes through the log, or is a read if it turns out to be one; see Scripts
)

var flagNames = []string{"write", "readonly", "denyoom", "admin", "pubsub", "noscript", "blocking",
	"loading", "stale", "skip_monitor", "skip_slowlog", "fast", "no_auth", "no_mandatory_keys", "no_async_loading", "no_multi",
	"movablekeys", "allow_busy"}

// IsWrite says whether calls may be in the log.
func (f Flags) IsWrite() bool { return f&(Write|Logged) != 0 }

// Names returns Redis's names of the flags that clients see.
func (f Flags) Names() []string { return names(uint32(f), flagNames) }

// Group is the chapter of the documentation that a command is in.
type Group string

// The groups that have commands.
const (
	GroupString       Group = "string"
	GroupBitmap       Group = "bitmap"
	GroupHLL          Group = "hyperloglog"
	GroupHash         Group = "hash"
	GroupList         Group = "list"
	GroupSet          Group = "set"
	GroupZSet         Group = "sorted-set"
	GroupGeo          Group = "geo"
	GroupStream       Group = "stream"
	GroupGeneric      Group = "generic"
	GroupServer       Group = "server"
	GroupConnection   Group = "connection"
	GroupCluster      Group = "cluster"
	GroupSentinel     Group = "sentinel"
	GroupPubSub       Group = "pubsub"
	GroupScripting    Group = "scripting"
	GroupTransactions Group = "transactions"
)

// Categories are Redis's ACL categories, in the order in which it lists them.
type Categories uint32

// All of Redis 7.2's categories.
const (
	CatKeyspace Categories = 1 << iota
	CatRead
	CatWrite
	CatSet
	CatSortedSet
	CatList
	CatHash
	CatString
	CatBitmap
	CatHyperLogLog
	CatGeo
	CatStream
	CatPubSub
	CatAdmin
	CatFast
	CatSlow
	CatBlocking
	CatDangerous
	CatConnection
	CatTransaction
	CatScripting
)

var categoryNames = []string{"keyspace", "read", "write", "set", "sortedset", "list", "hash",
	"string", "bitmap", "hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow",
	"blocking", "dangerous", "connection", "transaction", "scripting"}

// Names returns the names of the categories, without the "@".
func (c Categories) Names() []string { return names(uint32(c), categoryNames) }

// categories adds to the explicit categories those that Redis derives from the flags.
func (s *Spec) categories() Categories {
	all := s.Categories
	for _, implied := range []struct {
		flag Flags
		cat  Categories
	}{
		{Write, CatWrite}, {ReadOnly, CatRead}, {Admin, CatAdmin | CatDangerous},
		{PubSub, CatPubSub}, {Fast, CatFast}, {Blocking, CatBlocking},
	} {
		if s.Flags&implied.flag != 0 && (implied.cat != CatRead || all&CatScripting == 0) {
			all |= implied.cat
		}
	}
	if all&CatFast == 0 {
		all |= CatSlow
	}
	return all
}

// names lists the names of the bits that are set; bits beyond the list have no name.
func names(bits uint32, all []string) []string {
	var set []string
	for i, name := range all {
		if bits&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	return set
}
