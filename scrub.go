package redoubt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// The hashes that replicas compare are kept while entries are applied. What happened to the rows
// beneath them, on the disk or while the node was stopped, shows when the rows are read and added up:
// once after each start, in the background, and whenever an operator asks.

// scrub checks the state that this node was started with. It pauses for as long as it works.
func (n *Node) scrub() {
	defer n.stopped.Done()
	start := time.Now()
	worked := start
	pos, err := n.verify(func() error {
		select {
		case <-time.After(time.Since(worked)):
		case <-n.ctx.Done():
			return n.ctx.Err()
		}
		worked = time.Now()
		return nil
	})
	if err == nil {
		n.logger.Info("state checked", zap.Uint64("index", pos.Index), zap.Duration("took", time.Since(start)))
	}
}

// verify compares all rows with their sums. What it finds wrong stops this node from serving, or, when
// they can't be read, stops it altogether. A state that is replaced meanwhile is not checked: the new
// one was, when it was received.
func (n *Node) verify(pause func() error) (fsm.Position, error) {
	pos, err := n.state.Check(pause)
	var corrupt *fsm.CorruptError
	switch {
	case errors.As(err, &corrupt):
		n.group.Condemn(fmt.Sprintf("at log index %d, %v", pos.Index, corrupt))
	case err == nil, errors.Is(err, fsm.ErrClosed), errors.Is(err, context.Canceled):
	default:
		n.group.Fail(fmt.Errorf("check the state: %w", err))
	}
	return pos, err
}

// raftVerify checks the state as fast as it can.
func (n *Node) raftVerify(ctx context.Context) resp.Reply {
	pos, err := n.verify(func() error { return errors.Join(ctx.Err(), n.ctx.Err()) })
	var corrupt *fsm.CorruptError
	switch {
	case errors.As(err, &corrupt):
		return command.ErrorReply(command.ErrCorrupt)
	case err != nil:
		return resp.NewError("ERR check failed: " + err.Error())
	}
	return resp.NewInt(int64(pos.Index))
}
