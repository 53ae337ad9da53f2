package server

import (
	"slices"
	"sync"
	"sync/atomic"

	"redoubt/command"
	"redoubt/resp"
)

// hub knows who wants which messages. A subscriber is a session whose replies and messages all go
// through the queue of its output, so that publishing waits for nobody.
type hub struct {
	mu       sync.Mutex
	channels map[string]map[*session]bool
	patterns map[string]map[*session]bool
}

func newHub() *hub {
	return &hub{channels: map[string]map[*session]bool{}, patterns: map[string]map[*session]bool{}}
}

// publish sends a message to everyone who wants it, and returns how many that are. As in Redis, who
// subscribed to the channel and to patterns that match it gets it several times.
func (h *hub) publish(channel, message string) (receivers int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	tell := func(who map[*session]bool, words ...string) {
		push := resp.NewPush(resp.BulkArray(words).Elems)
		for s := range who {
			s.push(&push)
		}
		receivers += len(who)
	}
	tell(h.channels[channel], "message", channel, message)
	for pattern, who := range h.patterns {
		if command.Match([]byte(pattern), []byte(channel), false) {
			tell(who, "pmessage", pattern, channel, message)
		}
	}
	return receivers
}

// counts returns how many channels and patterns have subscribers.
func (h *hub) counts() (channels, patterns int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.channels), len(h.patterns)
}

// subscriptions are those of one session, in the order in which they were made.
type subscriptions struct {
	channels, patterns []string
	channelCount       atomic.Int32 // for CLIENT LIST, like the next
	patternCount       atomic.Int32
}

func (s *subscriptions) count() int { return len(s.channels) + len(s.patterns) }

// kind is one of the two kinds of subscriptions of a session.
type kind struct {
	names *[]string
	all   map[string]map[*session]bool
	count *atomic.Int32
}

func (s *session) channelKind() kind {
	return kind{&s.subs.channels, s.server.hub.channels, &s.subs.channelCount}
}

func (s *session) patternKind() kind {
	return kind{&s.subs.patterns, s.server.hub.patterns, &s.subs.patternCount}
}

func subscribe(s *session, args [][]byte) resp.Reply {
	return s.subscribe("subscribe", s.channelKind(), args[1:])
}

func patternSubscribe(s *session, args [][]byte) resp.Reply {
	return s.subscribe("psubscribe", s.patternKind(), args[1:])
}

func unsubscribe(s *session, args [][]byte) resp.Reply {
	return s.unsubscribe("unsubscribe", s.channelKind(), args[1:])
}

func patternUnsubscribe(s *session, args [][]byte) resp.Reply {
	return s.unsubscribe("punsubscribe", s.patternKind(), args[1:])
}

// subscribe confirms each name under the hub's lock: a message of the channel comes neither before the
// confirmation, nor is one missed that is published after it.
func (s *session) subscribe(word string, k kind, names [][]byte) resp.Reply {
	s.flush()
	s.guard.queueAll()
	s.server.hub.mu.Lock()
	defer s.server.hub.mu.Unlock()
	for _, arg := range names {
		name := string(arg)
		if !slices.Contains(*k.names, name) {
			*k.names = append(*k.names, name)
			if k.all[name] == nil {
				k.all[name] = map[*session]bool{}
			}
			k.all[name][s] = true
			k.count.Add(1)
		}
		s.confirm(word, resp.NewBulkString(name))
	}
	s.guard.patient.Store(true)
	return resp.Reply{}
}

// unsubscribe ends these subscriptions, or all of the kind when none is named.
func (s *session) unsubscribe(word string, k kind, names [][]byte) resp.Reply {
	s.flush()
	s.guard.queueAll()
	s.server.hub.mu.Lock()
	defer s.server.hub.mu.Unlock()
	if len(names) == 0 {
		for _, name := range *k.names {
			names = append(names, []byte(name))
		}
		if len(names) == 0 {
			s.confirm(word, resp.Nil)
		}
	}
	for _, name := range names {
		s.drop(k, string(name))
		s.confirm(word, resp.NewBulk(name))
	}
	s.guard.patient.Store(s.subs.count() > 0)
	return resp.Reply{}
}

// drop ends a subscription if there is one; the hub's lock is held.
func (s *session) drop(k kind, name string) {
	at := slices.Index(*k.names, name)
	if at < 0 {
		return
	}
	*k.names = slices.Delete(*k.names, at, at+1)
	k.count.Add(-1)
	if delete(k.all[name], s); len(k.all[name]) == 0 {
		delete(k.all, name)
	}
}

// dropAll ends all subscriptions without telling the client.
func (s *session) dropAll() {
	if s.subs.count() == 0 {
		return
	}
	s.server.hub.mu.Lock()
	defer s.server.hub.mu.Unlock()
	for _, k := range []kind{s.channelKind(), s.patternKind()} {
		for _, name := range slices.Clone(*k.names) {
			s.drop(k, name)
		}
	}
	s.guard.patient.Store(false)
}

func (s *session) confirm(word string, name resp.Reply) {
	push := resp.NewPush([]resp.Reply{resp.NewBulkString(word), name, resp.NewInt(int64(s.subs.count()))})
	s.guard.pushReply(push.Append(nil, int(s.proto.Load())))
}

// push queues what is no reply to a call. CLIENT REPLY does not hold it back.
func (s *session) push(message *resp.Reply) {
	s.guard.push(message.Append(nil, int(s.proto.Load())))
}

// whileSubscribed are the commands that a RESP2 client may use when replies could be taken for messages.
var whileSubscribed = map[string]bool{"SUBSCRIBE": true, "PSUBSCRIBE": true, "UNSUBSCRIBE": true,
	"PUNSUBSCRIBE": true, "PING": true, "QUIT": true, "RESET": true}

// subscribedOnly refuses a call that a subscribed client may not make.
func (s *session) subscribedOnly(r *route) resp.Reply {
	if s.proto.Load() > 2 || whileSubscribed[r.spec.Name] {
		return resp.Reply{}
	}
	return errorf("Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "+
		"allowed in this context", r.spec.FullName())
}
