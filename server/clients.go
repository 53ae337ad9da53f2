package server

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"redoubt/resp"
)

func clientID(s *session, _ [][]byte) resp.Reply { return resp.NewInt(s.id) }

func clientInfo(s *session, _ [][]byte) resp.Reply {
	return resp.NewVerbatim("txt", string(s.describe(nil, time.Now())))
}

func clientGetName(s *session, _ [][]byte) resp.Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.profile.name == "" {
		return resp.Nil
	}
	return resp.NewBulkString(s.profile.name)
}

func clientSetName(s *session, args [][]byte) resp.Reply {
	if !isPrintable(args[2]) {
		return errName
	}
	s.setName(args[2])
	return resp.OK
}

func clientSetInfo(s *session, args [][]byte) resp.Reply {
	var field *string
	switch {
	case is(args[2], "LIB-NAME"):
		field = &s.profile.libName
	case is(args[2], "LIB-VER"):
		field = &s.profile.libVersion
	default:
		return errorf("Unrecognized option '%s'", args[2])
	}
	if !isPrintable(args[3]) {
		return errorf("%s cannot contain spaces, newlines or special characters.", args[2])
	}
	s.mu.Lock()
	*field = string(args[3])
	s.mu.Unlock()
	return resp.OK
}

func clientNoEvict(s *session, args [][]byte) resp.Reply {
	return s.setFlag(&s.profile.noEvict, args[2])
}

func clientNoTouch(s *session, args [][]byte) resp.Reply {
	return s.setFlag(&s.profile.noTouch, args[2])
}

func (s *session) setFlag(flag *bool, value []byte) resp.Reply {
	on := is(value, "ON")
	if !on && !is(value, "OFF") {
		return errSyntax
	}
	s.mu.Lock()
	*flag = on
	s.mu.Unlock()
	return resp.OK
}

func clientReply(s *session, args [][]byte) resp.Reply {
	switch {
	case is(args[2], "ON"):
		s.setReplies(repliesOn)
		return resp.OK
	case is(args[2], "OFF"):
		s.setReplies(repliesOff)
	case is(args[2], "SKIP"):
		s.skip = s.replies == repliesOn
	default:
		return errSyntax
	}
	return resp.Reply{}
}

func (s *session) setReplies(mode replyMode) {
	s.replies, s.skip = mode, false
	s.guard.silent = mode == repliesOff
}

// clientUnblock ends the wait of another client for keys or for replicas.
func clientUnblock(s *session, args [][]byte) resp.Reply {
	reply := timedOut
	if len(args) == 4 {
		switch {
		case is(args[3], "ERROR"):
			reply = errUnblocked
		case !is(args[3], "TIMEOUT"):
			return errUnblock
		}
	}
	id, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	if c := s.server.find(id); c != nil && c.endWait(reply) {
		return resp.NewInt(1)
	}
	return resp.NewInt(0)
}

// setUnblock says what CLIENT UNBLOCK does with the session; nil for nothing.
func (s *session) setUnblock(unblock func(reply resp.Reply) bool) {
	s.mu.Lock()
	s.unblock = unblock
	s.mu.Unlock()
}

// endWait ends what the session waits in, and says whether there is such a thing.
func (s *session) endWait(reply resp.Reply) bool {
	s.mu.Lock()
	unblock := s.unblock
	s.mu.Unlock()
	return unblock != nil && unblock(reply)
}

func (s *session) doesNotTouch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.profile.noTouch
}

func clientPause(s *session, args [][]byte) resp.Reply {
	mode := pauseAll
	if len(args) > 4 {
		return errorf("wrong number of arguments for 'client|pause' command")
	}
	if len(args) == 4 {
		switch {
		case is(args[3], "WRITE"):
			mode = pauseWrites
		case !is(args[3], "ALL"):
			return errPauseMode
		}
	}
	wait, refusal := parseTimeout(args[2])
	if refusal.IsError() {
		return refusal
	}
	s.server.pause.set(mode, time.Now().Add(wait))
	return resp.OK
}

func clientUnpause(s *session, _ [][]byte) resp.Reply {
	s.server.pause.end()
	return resp.OK
}

// parseTimeout reads a number of milliseconds. What is longer than a Go duration is cut to that.
func parseTimeout(arg []byte) (time.Duration, resp.Reply) {
	ms, ok := parseInt(arg)
	switch {
	case !ok:
		return 0, errTimeoutParse
	case ms < 0:
		return 0, errTimeoutNegative
	case ms > math.MaxInt64-time.Now().UnixMilli():
		return 0, errTimeoutRange
	}
	return milliseconds(ms), resp.Reply{}
}

// milliseconds is a time as Go has it, which is cut to some hundred years.
func milliseconds(ms int64) time.Duration {
	return time.Duration(min(ms, math.MaxInt64/int64(2*time.Millisecond))) * time.Millisecond
}

// sorted returns all sessions in the order in which they were opened. One whose connection has ended is
// no client any more: who saw it end must not find it.
func (s *Server) sorted() []*session {
	all := slices.DeleteFunc(s.all(), func(c *session) bool { return c.guard.phase.Load() == ended })
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	return all
}

func clientList(s *session, args [][]byte) resp.Reply {
	clients := s.server.sorted()
	switch {
	case len(args) == 2:
	case len(args) == 4 && is(args[2], "TYPE"):
		if !isClientType(args[3]) {
			return errorf("Unknown client type '%s'", args[3])
		}
		clients = slices.DeleteFunc(clients, func(c *session) bool { return !is(args[3], c.clientType()) })
	case len(args) > 3 && is(args[2], "ID"):
		clients = nil
		for _, arg := range args[3:] {
			id, ok := parseInt(arg)
			if !ok {
				return errClientID
			}
			if c := s.server.find(id); c != nil {
				clients = append(clients, c)
			}
		}
	default:
		return errSyntax
	}
	var text []byte
	now := time.Now()
	for _, c := range clients {
		text = c.describe(text, now)
	}
	return resp.NewVerbatim("txt", string(text))
}

// isClientType reports whether Redis has such a type of clients. Here are none of the last three.
func isClientType(name []byte) bool {
	return slices.ContainsFunc([]string{typeNormal, typePubSub, "REPLICA", "SLAVE", "MASTER"},
		func(word string) bool { return is(name, word) })
}

const (
	typeNormal = "NORMAL"
	typePubSub = "PUBSUB"
)

func (s *session) clientType() string {
	if s.subs.subscribed() {
		return typePubSub
	}
	return typeNormal
}

// describe appends a line of CLIENT LIST. Sizes of buffers that we do not have are 0.
func (s *session) describe(dst []byte, now time.Time) []byte {
	s.mu.Lock()
	p := s.profile
	s.mu.Unlock()
	flags, events, last := "", "r", "NULL"
	if s.subs.subscribed() {
		flags += "P"
	}
	calls, held := s.multi.calls.Load()-1, s.multi.held.Load()
	if calls >= 0 {
		flags += "x"
	}
	if s.blocked.Load() > 0 {
		flags += "b"
	}
	tracks, redirect := s.server.tracking.letters(s)
	flags += tracks
	if s.guard.closing.Load() {
		flags += "A"
	}
	if s.readOnly.Load() {
		flags += "r"
	}
	if p.noEvict {
		flags += "e"
	}
	if p.noTouch {
		flags += "T"
	}
	if flags == "" {
		flags = "N"
	}
	pieces, waiting := s.guard.waiting()
	if pieces > 0 {
		events = "rw"
	}
	if r := s.last.Load(); r != nil {
		last = r.spec.FullName()
	}
	idle := s.server.clock() - time.Duration(s.lastUse.Load())
	return fmt.Appendf(dst, "id=%d addr=%s laddr=%s fd=%d name=%s age=%d idle=%d flags=%s db=%d "+
		"sub=%d psub=%d ssub=%d multi=%d qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=%d rbs=0 rbp=0 obl=0 "+
		"oll=%d omem=%d tot-mem=%d events=%s cmd=%s user=default redir=%d resp=%d lib-name=%s "+
		"lib-ver=%s\n",
		s.id, s.guard.RemoteAddr(), s.guard.LocalAddr(), s.fd, p.name,
		int64(now.Sub(s.opened).Seconds()), max(0, int64(idle.Seconds())), flags,
		s.db.Load(), s.subs.counts[toChannels].Load(), s.subs.counts[toPatterns].Load(), s.subs.counts[toShards].Load(), calls, held, pieces, waiting, int64(sessionBytes+waiting)+held, events, last, redirect, s.proto.Load(), p.libName,
		p.libVersion)
}

// sessionBytes is about what a connection takes that has nothing to do: redcon's buffers and a
// goroutine's stack, above all.
const sessionBytes = 22 << 10

// killFilter says which clients CLIENT KILL means.
type killFilter struct {
	addr, laddr []byte
	id          int64 // 0 is any
	age         time.Duration
	kind        []byte // type of client; nil is any
	self        bool
}

func clientKill(s *session, args [][]byte) resp.Reply {
	var f killFilter
	if len(args) == 3 {
		f = killFilter{addr: args[2], self: true}
	} else {
		var refusal resp.Reply
		if f, refusal = parseKill(args[2:]); refusal.IsError() {
			return refusal
		}
	}
	killed := int64(0)
	for _, c := range s.server.sorted() {
		if !f.matches(c) || c == s && !f.self {
			continue
		}
		killed++
		if c == s {
			s.leaving = true
		} else {
			c.kill()
		}
	}
	if len(args) > 3 {
		return resp.NewInt(killed)
	}
	if killed == 0 {
		return errNoClient
	}
	return resp.OK
}

// parseKill reads the pairs of filters and values.
func parseKill(args [][]byte) (f killFilter, refusal resp.Reply) {
	for ; len(args) > 1; args = args[2:] {
		value := args[1]
		switch {
		case is(args[0], "ID"):
			id, ok := parseInt(value)
			if !ok || id < 1 {
				return f, errKillID
			}
			f.id = id
		case is(args[0], "MAXAGE"):
			seconds, ok := parseInt(value)
			if !ok || seconds < 1 || seconds > math.MaxInt32 {
				return f, errKillAge
			}
			f.age = time.Duration(seconds) * time.Second
		case is(args[0], "TYPE"):
			if !isClientType(value) {
				return f, errorf("Unknown client type '%s'", value)
			}
			f.kind = value
		case is(args[0], "ADDR"):
			f.addr = value
		case is(args[0], "LADDR"):
			f.laddr = value
		case is(args[0], "USER"):
			if string(value) != "default" {
				return f, errorf("No such user '%s'", value)
			}
		case is(args[0], "SKIPME") && (is(value, "YES") || is(value, "NO")):
			f.self = is(value, "NO")
		default:
			return f, errSyntax
		}
	}
	if len(args) == 1 {
		return f, errSyntax
	}
	return f, resp.Reply{}
}

func (f *killFilter) matches(c *session) bool {
	switch {
	case f.kind != nil && !is(f.kind, c.clientType()),
		f.addr != nil && string(f.addr) != c.guard.RemoteAddr().String(),
		f.laddr != nil && string(f.laddr) != c.guard.LocalAddr().String(),
		f.id != 0 && f.id != c.id,
		f.age != 0 && time.Since(c.opened) < f.age:
		return false
	}
	return true
}
