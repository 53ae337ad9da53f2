package compat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// local stands for a server: the command table over a machine in memory. It has the session's
// commands that the cases need.
type local struct {
	table   *command.Table
	machine *fsm.Machine
	db      int
	proto   int
	index   uint64
	told    messages
	now     func() int64 // ms since the epoch
}

func newLocal(t testing.TB) *local {
	t.Helper()
	table, err := command.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	l := &local{table: table, proto: 2, now: func() int64 { return time.Now().UnixMilli() }}
	l.machine, err = fsm.Open(fsm.Options{FS: vfs.NewMem(), Dir: "state", Exec: table.Exec, CacheBytes: 1 << 30,
		Observer: &l.told, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// quiet is an engine's logger that says nothing as long as all is well.
type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (l *local) close() error { return l.machine.Close() }

func (l *local) call(args []string) ([]byte, error) {
	words := make([][]byte, len(args))
	for i, arg := range args {
		words[i] = []byte(arg)
	}
	reply, err := l.dispatch(words)
	if err != nil {
		return nil, err
	}
	return reply.Append(nil, l.proto), nil
}

func (l *local) dispatch(args [][]byte) (resp.Reply, error) {
	spec, bad := l.table.Resolve(args)
	if spec == nil {
		return bad, nil
	}
	switch name, _, _ := strings.Cut(spec.Name, " "); {
	case spec.Run != nil:
		return l.execute(args, spec.Flags&command.ReadOnly != 0)
	case spec.Name == "CONFIG SET":
		return l.configSet(args[2:])
	case spec.Name == "CONFIG GET":
		return l.configGet(string(args[2])), nil
	case name == "COMMAND":
		return l.table.CommandReply(args), nil
	case name == "SELECT":
		db, bad := command.ParseDB(args[1])
		if bad.IsError() {
			return bad, nil
		}
		l.db = db
	case name == "HELLO":
		l.proto = int(args[1][0] - '0')
	case name == "OBJECT", name == "MEMORY", name == "XGROUP", name == "XINFO":
		return l.table.Lookup(args[0]).HelpReply(), nil
	default:
		return resp.NewError("ERR this stand-in has no " + spec.Name), nil
	}
	return resp.OK, nil
}

// oldName makes the present name of a parameter of that before Redis 7.
var oldName = strings.NewReplacer("-ziplist-", "-listpack-")

// configSet sets parameters of the whole cluster, which are the only ones that the stand-in has.
func (l *local) configSet(pairs [][]byte) (resp.Reply, error) {
	var words []string
	for i := 0; i+1 < len(pairs); i += 2 {
		words = append(words, oldName.Replace(string(pairs[i])), string(pairs[i+1]))
	}
	return l.apply(&fsm.Request{Calls: []fsm.Call{command.SetConfigCall(false, words...)}, Replies: make([]resp.Reply, 1)})
}

func (l *local) configGet(name string) resp.Reply {
	value, ok := command.SettingValue(l.machine.Settings(), oldName.Replace(name))
	if !ok {
		return resp.NewMap(nil)
	}
	return resp.NewMap([]resp.Reply{resp.NewBulkString(name), resp.NewBulkString(value)})
}

// execute runs a call as a node does: writes and late reads through the log, reads beside it.
func (l *local) execute(args [][]byte, read bool) (resp.Reply, error) {
	req := &fsm.Request{
		Calls:   []fsm.Call{{DB: l.db, Args: args, Read: read}},
		Replies: make([]resp.Reply, 1),
	}
	if !read {
		return l.apply(req)
	}
	now := l.now()
	agree, err := l.machine.Read(req, now)
	if agree {
		sweep := fsm.Call{Args: [][]byte{[]byte("SWEEPEXPIRED"), []byte("1000")}}
		if _, err := l.apply(&fsm.Request{
			Calls: []fsm.Call{sweep}, Replies: make([]resp.Reply, 1)}); err != nil {
			return resp.Reply{}, err
		}
		_, err = l.machine.Read(req, 0)
	}
	return req.Replies[0], err
}

func (l *local) apply(req *fsm.Request) (resp.Reply, error) {
	l.index++
	err := l.machine.Apply([]fsm.Entry{{
		Position: fsm.Position{Index: l.index, Term: 1},
		Time:     l.now(),
		Seed:     l.index,
		Batches:  []fsm.Batch{{Payload: fsm.AppendCalls(nil, req.Calls), Local: req}},
	}}, nil)
	return req.Replies[0], err
}
