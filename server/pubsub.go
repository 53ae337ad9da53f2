package server

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"

	"redoubt/command"
	"redoubt/resp"
)

// subscriptions are those of one session.
type subscriptions struct {
	names [subscriptionKinds]map[string]int // when each was made
	made  int
	// Shared: how many of each kind there are, and how many to what clients publish.
	counts  [subscriptionKinds]atomic.Int32
	foreign atomic.Int32
}

func (s *subscriptions) count() int {
	return len(s.names[toChannels]) + len(s.names[toPatterns]) + len(s.names[toShards])
}

// subscribed says whether there are any, to those that ask from another goroutine.
func (s *subscriptions) subscribed() bool {
	return s.counts[toChannels].Load()+s.counts[toPatterns].Load()+s.counts[toShards].Load() > 0
}

// counted is the number in the confirmations of a kind: shard channels are counted apart.
func (s *subscriptions) counted(kind int) int {
	if kind == toShards {
		return len(s.names[toShards])
	}
	return len(s.names[toChannels]) + len(s.names[toPatterns])
}

// subscriber is the handler that subscribes; word is the one of its confirmations.
func subscriber(kind int, word string) handler {
	return func(s *session, args [][]byte) resp.Reply { return s.subscribe(kind, word, args[1:]) }
}

func unsubscriber(kind int, word string) handler {
	return func(s *session, args [][]byte) resp.Reply { return s.unsubscribe(kind, word, args[1:]) }
}

// leaderless is the refusal of what needs the others, while this node knows no leader: it may be cut off.
func (s *Server) leaderless() resp.Reply {
	if s.engine.View().Leader == 0 {
		return command.ErrorReply(command.ErrNoLeader)
	}
	return resp.Reply{}
}

// subscribe confirms each name under the hub's lock: a message of the channel comes neither before the
// confirmation, nor is one missed that is published after it.
func (s *session) subscribe(kind int, word string, names [][]byte) resp.Reply {
	for _, name := range names {
		if isSentinelName(kind, string(name)) {
			continue
		}
		if refusal := s.server.leaderless(); refusal.IsError() {
			return refusal
		}
		break
	}
	s.flush()
	s.guard.queueAll()
	h := s.server.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, arg := range names {
		name := string(arg)
		if h.add(kind, name, s) {
			s.subs.note(kind, name)
		}
		s.confirm(kind, word, resp.NewBulkString(name))
	}
	s.guard.patient.Store(true)
	return resp.Reply{}
}

func (s *subscriptions) note(kind int, name string) {
	if s.names[kind] == nil {
		s.names[kind] = map[string]int{}
	}
	s.made++
	s.names[kind][name] = s.made
	s.counts[kind].Add(1)
	if !isSentinelName(kind, name) {
		s.foreign.Add(1)
	}
}

// unsubscribe ends these subscriptions, or all of the kind when none is named.
func (s *session) unsubscribe(kind int, word string, names [][]byte) resp.Reply {
	s.flush()
	s.guard.queueAll()
	s.server.hub.mu.Lock()
	defer s.server.hub.mu.Unlock()
	if len(names) == 0 {
		for _, name := range s.subs.inOrder(kind) {
			names = append(names, []byte(name))
		}
		if len(names) == 0 {
			s.confirm(kind, word, resp.Nil)
		}
	}
	for _, name := range names {
		s.drop(kind, string(name))
		s.confirm(kind, word, resp.NewBulk(name))
	}
	s.guard.patient.Store(s.subs.count() > 0)
	return resp.Reply{}
}

func (s *subscriptions) inOrder(kind int) []string {
	names := make([]string, 0, len(s.names[kind]))
	for name := range s.names[kind] {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(s.names[kind][a], s.names[kind][b]) })
	return names
}

// drop ends a subscription if there is one; the hub's lock is held.
func (s *session) drop(kind int, name string) {
	if s.subs.names[kind][name] == 0 {
		return
	}
	delete(s.subs.names[kind], name)
	s.subs.counts[kind].Add(-1)
	if !isSentinelName(kind, name) {
		s.subs.foreign.Add(-1)
	}
	s.server.hub.remove(kind, name, s)
}

// dropAll ends all subscriptions without telling the client.
func (s *session) dropAll() {
	if s.subs.count() == 0 {
		return
	}
	s.server.hub.mu.Lock()
	defer s.server.hub.mu.Unlock()
	for kind := range s.subs.names {
		for name := range s.subs.names[kind] {
			s.drop(kind, name)
		}
	}
	s.guard.patient.Store(false)
}

func (s *session) confirm(kind int, word string, name resp.Reply) {
	push := resp.NewPush([]resp.Reply{resp.NewBulkString(word), name, resp.NewInt(int64(s.subs.counted(kind)))})
	s.guard.pushReply(push.Append(nil, int(s.proto.Load())))
}

// whileSubscribed are the commands that a RESP2 client may use when replies could be taken for messages.
var whileSubscribed = map[string]bool{"SUBSCRIBE": true, "PSUBSCRIBE": true, "SSUBSCRIBE": true, "UNSUBSCRIBE": true,
	"PUNSUBSCRIBE": true, "SUNSUBSCRIBE": true, "PING": true, "QUIT": true, "RESET": true}

// subscribedOnly refuses a call that a subscribed client may not make.
func (s *session) subscribedOnly(r *route) resp.Reply {
	if s.proto.Load() > 2 || whileSubscribed[r.spec.Name] {
		return resp.Reply{}
	}
	return errorf("Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "+
		"allowed in this context", r.spec.FullName())
}

func publish(s *session, args [][]byte) resp.Reply {
	return s.publish(messageToChannel, s.server.hub.publish, args)
}

func shardPublish(s *session, args [][]byte) resp.Reply {
	return s.publish(messageToShard, s.server.hub.publishShard, args)
}

// publish sends a message to the subscribers here, whom it counts, and to the other nodes.
func (s *session) publish(kind byte, here func(channel, text string) int, args [][]byte) resp.Reply {
	if refusal := s.server.leaderless(); refusal.IsError() {
		return refusal
	}
	receivers := here(string(args[1]), string(args[2]))
	s.server.engine.Broadcast(encodeMessage(kind, args[1], args[2]))
	return resp.NewInt(int64(receivers))
}

func pubSubChannels(kind int) handler {
	return func(s *session, args [][]byte) resp.Reply {
		if len(args) > 3 {
			return unknownSubcommand("PUBSUB", args[1])
		}
		var pattern []byte
		if len(args) == 3 {
			pattern = args[2]
		}
		return resp.BulkArray(s.server.hub.list(kind, pattern))
	}
}

func pubSubSubscribers(kind int) handler {
	return func(s *session, args [][]byte) resp.Reply {
		counts := []resp.Reply{}
		for _, name := range args[2:] {
			counts = append(counts, resp.NewBulk(name), resp.NewInt(s.server.hub.subscribers(kind, string(name))))
		}
		return resp.NewArray(counts)
	}
}

func pubSubPatterns(s *session, _ [][]byte) resp.Reply {
	return resp.NewInt(s.server.hub.count(toPatterns))
}

// unknownSubcommand is the answer to a subcommand with a number of words that it takes only by its arity.
func unknownSubcommand(name string, sub []byte) resp.Reply {
	return errorf("unknown subcommand or wrong number of arguments for '%s'. Try %s HELP.", sub, strings.ToUpper(name))
}
