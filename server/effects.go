package server

import "redoubt/fsm"

// effects is the node's observer: it hands what was applied to those parts of the server that somebody waits at.
type effects struct{ server *Server }

var _ fsm.Observer = effects{}

// Wants is part of fsm.Observer.
func (e effects) Wants() fsm.Wants {
	h := e.server.hub
	return fsm.Wants{Keys: e.server.blocked.count.Load() > 0 || e.server.tracking.on.Load() > 0 || e.server.missing.count.Load() > 0,
		Messages: h.count(toChannels)+h.count(toPatterns)+h.count(toShards) > 0}
}

// Applied is part of fsm.Observer.
func (e effects) Applied(done *fsm.Effects) {
	for _, m := range done.Messages {
		if m.Shard {
			e.server.hub.publishShard(string(m.Channel), string(m.Text))
		} else {
			e.server.hub.publish(string(m.Channel), string(m.Text))
		}
	}
	e.server.blocked.applied(done)
	e.server.tracking.applied(done)
	e.server.missing.applied(done)
}

// Skipped is part of fsm.Observer.
func (e effects) Skipped() {
	e.server.blocked.skipped()
	e.server.tracking.skipped()
	e.server.missing.skipped()
	e.server.cutOff(0)
}
