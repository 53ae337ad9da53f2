package raftnode

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

const (
	// linkQueueMax bounds what waits to be sent on a lane, in bytes; what exceeds it is dropped. One
	// frame is always taken, however large.
	linkQueueMax = 64 << 20
	linkRetryMin = 50 * time.Millisecond
	linkRetryMax = time.Second
)

// link sends the frames of one lane to one peer. Frames that wait while one is being sent go out
// together. While there is no stream, frames are dropped: raft and the callers repeat what matters,
// and old messages would only be in the way.
type link struct {
	peer *peer
	lane Lane

	mu     sync.Mutex
	up     bool
	queue  [][]byte
	bytes  int
	wakeup chan struct{}
	spare  [][]byte // of run: an empty queue to go on with
}

func newLink(p *peer, lane Lane) *link {
	l := &link{peer: p, lane: lane, wakeup: make(chan struct{}, 1)}
	p.t.running.Add(1)
	go l.run()
	return l
}

func (l *link) send(frame []byte) {
	l.mu.Lock()
	if !l.up || l.bytes > 0 && l.bytes+len(frame) > linkQueueMax {
		l.mu.Unlock()
		return
	}
	l.queue = append(l.queue, frame)
	l.bytes += len(frame)
	l.mu.Unlock()
	select {
	case l.wakeup <- struct{}{}:
	default:
	}
}

// run keeps a stream open until the peer is stopped.
func (l *link) run() {
	defer l.peer.t.running.Done()
	handler := l.peer.t.handler
	for retry := linkRetryMin; ; retry = min(2*retry, linkRetryMax) {
		began := time.Now()
		err := l.serve(func() {
			if l.lane == LaneControl {
				handler.PeerUp(l.peer.id)
			}
		})
		if l.peer.ctx.Err() != nil {
			return
		}
		if refused := (*RefusedError)(nil); errors.As(err, &refused) {
			if l.lane == LaneControl {
				handler.Refused(l.peer.id, refused)
			}
		} else if l.setUp(false) && l.lane == LaneControl {
			handler.PeerDown(l.peer.id, err)
		}
		if time.Since(began) > linkRetryMax {
			retry = linkRetryMin
		}
		select {
		case <-time.After(retry):
		case <-l.peer.ctx.Done():
			return
		}
	}
}

// setUp opens or shuts the queue and returns whether it was open.
func (l *link) setUp(up bool) (was bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, l.up = l.up, up
	l.queue, l.bytes = nil, 0
	return was
}

// serve opens a stream and sends on it until it breaks.
func (l *link) serve(opened func()) error {
	ctx, cancel := context.WithCancel(l.peer.ctx)
	defer cancel()
	s, err := l.peer.open(ctx, false)
	if err != nil {
		return err
	}
	defer s.close()
	opened()
	l.setUp(true)
	broken := make(chan error, 1)
	go func() { // the peer says nothing more on this stream, so that a return means its end
		_, err := s.r.ReadByte()
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("the peer closed the stream")
		}
		broken <- err
	}()
	for {
		select {
		case err := <-broken:
			return err
		case <-l.wakeup:
		}
		if err := l.flush(s); err != nil {
			return err
		}
	}
}

// flush sends all that is queued, in as few writes as may be.
func (l *link) flush(s *stream) error {
	for {
		l.mu.Lock()
		queue := l.queue
		l.queue, l.bytes = l.spare, 0
		l.mu.Unlock()
		if len(queue) == 0 {
			l.spare = queue
			return nil
		}
		if err := s.conn.SetWriteDeadline(time.Now().Add(streamIdle)); err != nil {
			return err
		}
		for _, frame := range queue {
			if err := writeRecord(s.w, frame); err != nil {
				return err
			}
		}
		if err := s.w.Flush(); err != nil {
			return err
		}
		clear(queue)
		l.spare = queue[:0]
	}
}
