package command

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"redoubt/fsm"
	"redoubt/resp"
	"redoubt/script"
)

// Scripts is what a node has of scripts and functions beside the state: compiled programs, what is running, and what was
// learned about which scripts write. Nothing of it decides what becomes of the state.
type Scripts struct {
	table *Table

	mu        sync.RWMutex
	bySHA     map[[shaBytes]byte]*program
	byText    map[string]*program
	libraries map[string]*library
	bytes     int // of the texts of all programs

	writers sync.Map // names of functions that were seen to write

	inLog   atomic.Pointer[scriptRun]
	runs    sync.Map // *scriptRun -> nil: of those that do not run in the log, the ones that take long
	outside atomic.Pointer[Outside]
}

// Outside is what scripts have of the process that they run in. It has no influence on their effects.
type Outside struct {
	Now func() int64 // milliseconds
	Log func(level int, text string)
}

const (
	shaBytes = 20
	// loadInstructions is what a library may run while it registers its functions.
	loadInstructions = 5_000_000
	// Bounds of the compiled programs that are kept.
	programsMax     = 2000
	programsByteMax = 4 << 20 // a program takes about a hundred times as much as its text
)

// program is a compiled script.
type program struct {
	*script.Program
	sha    [shaBytes]byte
	name   string // sha in hexadecimal digits
	text   string
	stored atomic.Bool // the state had it when it was last run
	writes atomic.Bool // it wrote, or was about to, when it was last run
}

// library is a compiled one.
type library struct {
	*script.Library
	text []byte
}

// NeedsLog is the reply of a script that was run as a read and turned out to write.
var NeedsLog = resp.NewError("NEEDSLOG the script writes")

func newScripts(t *Table) *Scripts {
	return &Scripts{table: t, bySHA: map[[shaBytes]byte]*program{}, byText: map[string]*program{}, libraries: map[string]*library{}}
}

// Scripts is what this node has of scripts beside the state.
func (t *Table) Scripts() *Scripts { return t.scripts }

// SetOutside tells scripts of the process that they run in.
func (s *Scripts) SetOutside(o Outside) { s.outside.Store(&o) }

func (s *Scripts) now() int64 {
	if o := s.outside.Load(); o != nil {
		return o.Now()
	}
	return 0
}

func (s *Scripts) log(level int, text string) {
	if o := s.outside.Load(); o != nil {
		o.Log(level, text)
	}
}

// known returns the compiled script with a text or a SHA-1, if it is at hand.
func (s *Scripts) known(text []byte, sha *[shaBytes]byte) *program {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if sha != nil {
		return s.bySHA[*sha]
	}
	return s.byText[string(text)]
}

// compile returns the program of a text.
func (s *Scripts) compile(text []byte, sha [shaBytes]byte) (*program, error) {
	compiled, err := compileScript(text)
	if err != nil {
		return nil, err
	}
	p := &program{Program: compiled, sha: sha, name: hexSHA(sha), text: string(text)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes += len(text); s.bytes > programsByteMax || len(s.bySHA) >= programsMax {
		clear(s.bySHA)
		clear(s.byText)
		s.bytes = len(text)
	}
	s.bySHA[sha], s.byText[p.text] = p, p
	return p, nil
}

// load returns the compiled library with a name, whose text the state has.
func (s *Scripts) load(name string, text []byte) (*library, error) {
	s.mu.RLock()
	l := s.libraries[name]
	s.mu.RUnlock()
	if l != nil && bytes.Equal(l.text, text) {
		return l, nil
	}
	compiled, err := loadLibrary(text)
	if err != nil {
		return nil, err
	}
	l = &library{compiled, bytes.Clone(text)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.libraries) >= programsMax {
		clear(s.libraries)
	}
	s.libraries[name] = l
	return l, nil
}

// MayRead says whether a call of a script may turn out to be a read: it was not seen to write. If it does write, the reply is
// NeedsLog, and it was run in vain.
func (s *Scripts) MayRead(args [][]byte) bool {
	if len(args) < 2 {
		return true
	}
	if isOption(args[0], "FCALL") {
		_, writes := s.writers.Load(strings.ToLower(string(args[1])))
		return !writes
	}
	p := s.programOf(args)
	return p == nil || !p.writes.Load()
}

// programOf returns the program of a call of EVAL or EVALSHA and the like, if it is at hand.
func (s *Scripts) programOf(args [][]byte) *program {
	if isOption(args[0], "EVALSHA") || isOption(args[0], "EVALSHA_RO") {
		sha, ok := parseSHA(args[1])
		if !ok {
			return nil
		}
		return s.known(nil, &sha)
	}
	return s.known(args[1], nil)
}

// Remember returns the call that brings the script of a call into the state, if that was run as a read, and the state did
// not have it. EVALSHA is to find it.
func (s *Scripts) Remember(args [][]byte) (call fsm.Call, ok bool) {
	if len(args) < 2 || !isOption(args[0], "EVAL") && !isOption(args[0], "EVAL_RO") {
		return fsm.Call{}, false
	}
	p := s.known(args[1], nil)
	if p == nil || p.stored.Load() {
		return fsm.Call{}, false
	}
	return fsm.Call{Args: [][]byte{[]byte("REMEMBERSCRIPT"), args[1]}}, true
}

// scriptRun is a script that is running.
type scriptRun struct {
	eval   bool // and not a function
	name   string
	args   [][]byte
	start  int64
	killed atomic.Bool
}

// Redis's answers about scripts that are running.
var (
	errNotBusy      = resp.NewError("NOTBUSY No scripts in execution right now.")
	errUnkillable   = resp.NewError("UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.")
	errBusyEval     = resp.NewError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")
	errBusyFunction = resp.NewError("BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.")
)

func (r *scriptRun) busy() resp.Reply {
	if r.eval {
		return errBusyEval
	}
	return errBusyFunction
}

// Busy is the answer to all calls while a script has been running in the log for so many milliseconds, and of kind None
// otherwise.
func (s *Scripts) Busy(after int64) resp.Reply {
	r := s.inLog.Load()
	if r == nil || s.now()-r.start < after {
		return resp.Reply{}
	}
	return r.busy()
}

// Kill ends the scripts, or the functions, that run here as reads, or looks whether they write.
func (s *Scripts) Kill(eval bool) resp.Reply {
	answer := errNotBusy
	if r := s.inLog.Load(); r != nil {
		answer = errUnkillable
	}
	s.runs.Range(func(k, _ any) bool {
		switch r := k.(*scriptRun); {
		case r.eval == eval:
			r.killed.Store(true)
			answer = resp.OK
		case answer.IsError():
			answer = r.busy()
		}
		return true
	})
	return answer
}

// running returns a script that has been running for long, nil if there is none.
func (s *Scripts) running() (r *scriptRun) {
	if r = s.inLog.Load(); r != nil {
		return r
	}
	s.runs.Range(func(k, _ any) bool {
		r = k.(*scriptRun)
		return r.eval // rather a function
	})
	return r
}

// Stats is the reply of FUNCTION STATS, for the counts of a state.
func (s *Scripts) Stats(libraries, functions int64) resp.Reply {
	running := resp.Nil
	if r := s.running(); r != nil {
		if r.eval {
			return errBusyEval
		}
		call := make([]resp.Reply, len(r.args))
		for i := range r.args {
			call[i] = resp.NewBulk(r.args[i])
		}
		running = resp.NewMap([]resp.Reply{resp.NewBulkString("name"), resp.NewBulkString(r.name),
			resp.NewBulkString("command"), resp.NewArray(call),
			resp.NewBulkString("duration_ms"), resp.NewInt(s.now() - r.start)})
	}
	lua := resp.NewMap([]resp.Reply{resp.NewBulkString("libraries_count"), resp.NewInt(libraries),
		resp.NewBulkString("functions_count"), resp.NewInt(functions)})
	return resp.NewMap([]resp.Reply{resp.NewBulkString("running_script"), running,
		resp.NewBulkString("engines"), resp.NewMap([]resp.Reply{resp.NewBulkString("LUA"), lua})})
}

// compileScript and loadLibrary are those of package script, where a panic is a mistake, but the same one for the same text on all
// nodes, and nothing has been done yet: it becomes an error, and not the end of the cluster.
func compileScript(text []byte) (p *script.Program, err error) {
	defer asError(&err)
	return script.Compile(text)
}

func loadLibrary(text []byte) (l *script.Library, err error) {
	defer asError(&err)
	l, err = script.Load(text, script.Limits{Instructions: loadInstructions})
	if err != nil && strings.Contains(err.Error(), "exceeded its limit") {
		err = errors.New("FUNCTION LOAD timeout")
	}
	return l, err
}

func asError(err *error) {
	if r := recover(); r != nil {
		*err = errors.New("internal error: this script can't be compiled")
	}
}
