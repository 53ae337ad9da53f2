package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// pause is CLIENT PAUSE: until a time, calls of all clients wait, or only writes.
type pause struct {
	mode atomic.Int32 // looked at for each segment, so it is apart from the rest

	mu      sync.Mutex
	until   time.Time
	changed chan struct{} // closed when mode or until changes
}

const (
	pauseNone int32 = iota
	pauseWrites
	pauseAll
)

// held reports whether a call has to wait.
func (s *session) held(r *route) bool {
	mode := s.server.pause.mode.Load()
	return mode == pauseAll || mode == pauseWrites && (r.write || r.spec.Name == "EXEC" && s.multi.writes)
}

// set begins a pause or changes it. As in Redis, a pause of all calls does not become one of
// writes, and a pause does not become shorter.
func (p *pause) set(mode int32, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !time.Now().Before(p.until) {
		p.mode.Store(pauseNone)
	}
	if p.mode.Load() == pauseNone || until.After(p.until) {
		p.until = until
	}
	p.mode.Store(max(mode, p.mode.Load()))
	p.signal()
}

func (p *pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode.Store(pauseNone)
	p.signal()
}

func (p *pause) signal() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// left returns how long the pause lasts, and a channel that is closed when that changes.
func (p *pause) left() (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return time.Until(p.until), p.changed
}

// expire ends the pause if its time is over.
func (p *pause) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !time.Now().Before(p.until) {
		p.mode.Store(pauseNone)
		p.signal()
	}
}

// awaitEnd waits until nothing is paused, or the context ends.
func (p *pause) awaitEnd(ctx context.Context) {
	for p.mode.Load() != pauseNone && ctx.Err() == nil {
		left, changed := p.left()
		timer := time.NewTimer(max(left, 0))
		select {
		case <-changed:
		case <-timer.C:
			p.expire()
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// awaitPause waits until a call may be executed. It is false when the connection has ended.
func (s *session) awaitPause(r *route) bool {
	p := &s.server.pause
	s.flush()
	defer s.blocks()()
	for s.held(r) {
		left, changed := p.left()
		timer := time.NewTimer(max(left, 0))
		select {
		case <-changed:
		case <-timer.C:
			p.expire()
		case <-s.ctx.Done():
			timer.Stop()
			return false
		}
		timer.Stop()
	}
	s.mark = s.server.clock()
	return true
}
