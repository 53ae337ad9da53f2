package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"
	"go.uber.org/zap"

	"redoubt/fsm"
	"redoubt/resp"
)

const (
	// stashMax bounds the commands that a session collects into one pipeline.
	stashMax = 8192
	// flushBytes is how much of a pipeline's replies is collected before it is written.
	flushBytes = 256 << 10
	// keptReply and keptCalls bound what a workspace keeps for its next use.
	keptReply = 64 << 10
	keptCalls = 1024
)

// session is one client. All of it belongs to the goroutine of its connection, except what is
// marked as shared: other connections see that in CLIENT LIST.
type session struct {
	server *Server
	guard  *guard
	id     int64
	opened time.Time
	fd     int

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc

	received int // commands that redcon has delivered
	replies  replyMode
	skip     bool // CLIENT REPLY SKIP: the next reply is not sent
	leaving  bool // nothing further is executed
	inReply  int  // see beginReply
	parted   bool // a part of a reply was sent
	subs     subscriptions
	multi    transaction
	tracker  *tracker // nil until CLIENT TRACKING ON

	// A pipeline borrows this; an idle session has none.
	*workspace

	// Shared.
	killed   atomic.Bool
	db       atomic.Int32
	readOnly atomic.Bool // READONLY: a follower may answer reads from what it has
	proto    atomic.Int32
	lastUse  atomic.Int64 // when the last pipeline began, as mark
	last     atomic.Pointer[route]
	mu       sync.Mutex
	profile  profile
	unblock  func(reply resp.Reply) bool // ends what the session waits in, by CLIENT UNBLOCK; nil when it does not wait so
	blocked  atomic.Int32                // it is inside of a command that waits
}

// profile is what a client has told about itself.
type profile struct {
	name, libName, libVersion string
	noEvict, noTouch          bool
}

type replyMode uint8

const (
	repliesOn replyMode = iota
	repliesOff
)

// workspace is the memory that the execution of a pipeline needs.
type workspace struct {
	commands []redcon.Command // collected while more of the pipeline is on its way
	request  *fsm.Request
	ran      []ranCall
	out      []byte
	mark     time.Duration // end of the last segment, since the start of the server
}

// ranCall is a command that was executed, for the statistics.
type ranCall struct {
	route  *route
	failed bool
}

var workspaces = sync.Pool{New: func() any { return &workspace{request: &fsm.Request{}} }}

func newSession(srv *Server, g *guard, id int64) *session {
	s := &session{server: srv, guard: g, id: id, opened: time.Now(), fd: socketNumber(g)}
	s.ctx, s.cancel = context.WithCancel(srv.ctx)
	s.proto.Store(2)
	s.lastUse.Store(int64(srv.clock()))
	return s
}

// socketNumber returns the file descriptor, for CLIENT LIST; -1 when there is none.
func socketNumber(g *guard) int {
	number := -1
	if g.raw != nil {
		_ = g.raw.Control(func(fd uintptr) { number = int(fd) })
	}
	return number
}

// serveCommands is redcon's handler. redcon takes a few KiB at a time; when the guard knows that
// the pipeline goes on, what there is of it is put aside, so that all of it is executed together.
func serveCommands(conn redcon.Conn, first redcon.Command) {
	s := conn.Context().(*session)
	rest := conn.ReadPipeline()
	if s.workspace == nil {
		s.workspace = workspaces.Get().(*workspace)
	}
	s.commands = append(append(s.commands, first), rest...)
	s.received += 1 + len(rest)
	if (s.guard.more() || s.received < s.guard.handedOn) && len(s.commands) < stashMax {
		return
	}
	s.execute(s.commands)
	s.giveBack()
}

// execute runs a pipeline and writes its replies.
func (s *session) execute(commands []redcon.Command) {
	s.mark = s.server.clock()
	s.lastUse.Store(int64(s.mark))
	for len(commands) > 0 && !s.leaving && !s.killed.Load() {
		commands = commands[s.segment(commands):]
	}
	if s.leaving { // who gets the last reply must not find this client any more
		s.guard.closing.Store(true)
	}
	s.flush()
	if s.leaving {
		_ = s.guard.Close()
	}
}

// giveBack returns the workspace without holding on to what the clients have sent.
func (s *session) giveBack() {
	s.guard.executed()
	w := s.workspace
	s.workspace = nil
	clear(w.commands)
	w.commands = w.commands[:0]
	if cap(w.commands) > keptCalls {
		w.commands = nil
	}
	if cap(w.out) > keptReply {
		w.out = nil
	}
	workspaces.Put(w)
}

// emit appends the reply to a command, unless the client does not want it.
func (s *session) emit(reply *resp.Reply) {
	if reply.Kind == resp.None {
		return
	}
	if s.replies == repliesOff || s.skip {
		s.skip = false
		if reply.Stream != nil {
			reply.Stream.Close()
		}
		return
	}
	s.write(reply)
}

// write appends a reply that the client wants.
func (s *session) write(reply *resp.Reply) {
	if reply.Stream != nil {
		s.stream(reply.Stream)
		return
	}
	s.out = reply.Append(s.out, int(s.proto.Load()))
	if len(s.out) >= flushBytes {
		s.flush()
	}
}

// streamedMax bounds, in bytes, what of a stream waits for the client.
const streamedMax = 4 << 20

// stream writes a reply that is made piece by piece, as fast as the client takes it.
func (s *session) stream(reply *resp.Stream) {
	defer reply.Close()
	proto := int(s.proto.Load())
	s.beginReply()
	defer s.endReply()
	s.out = reply.AppendHead(s.out, proto)
	for more := true; more; {
		var err error
		if s.out, more, err = reply.AppendNext(s.out, proto); err != nil {
			s.server.log.Error("a reply could not be made to its end, its client is disconnected",
				zap.Stringer("client", s.guard.RemoteAddr()), zap.Error(err))
			s.kill()
			return
		}
		if len(s.out) >= flushBytes {
			s.flush()
			if !s.guard.await(streamedMax) {
				return
			}
		}
	}
}

// beginReply says that what is flushed until endReply may be parts of one reply.
func (s *session) beginReply() { s.inReply++ }

func (s *session) endReply() {
	if s.inReply--; s.inReply == 0 && s.parted {
		s.flush()
		s.parted = false
		s.guard.whole()
	}
}

// holdMessages has what other sessions or the log send to a subscriber wait until letMessages: as in Redis, the messages that calls
// of its own cause come after the replies.
func (s *session) holdMessages() {
	s.beginReply()
	if !s.parted {
		s.parted = true
		s.guard.part()
	}
}

func (s *session) letMessages() {
	if !s.leaving { // else what is left is the last reply
		s.endReply()
	}
}

// flush sends the replies so far.
func (s *session) flush() {
	if s.inReply > 0 && !s.parted {
		s.parted = true
		s.guard.part()
	}
	if s.guard.send(s.out) {
		s.out = nil
	}
	s.out = s.out[:0]
	if s.tracker != nil {
		s.settle()
	}
}

// kill ends the connection at once, whatever it is doing.
func (s *session) kill() {
	s.killed.Store(true)
	s.cancel()
	s.guard.kill()
}

// end is called when nothing will be read any more.
func (s *session) end() {
	s.cancel()
	s.dropAll()
	s.endTransaction()
	s.server.tracking.disable(s)
	s.guard.release()
	s.guard.abandon()
}
