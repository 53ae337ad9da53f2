package redoubt

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/raftnode"
	"redoubt/resp"
)

const (
	// spaceEvery is how often the free space of the data directory's file system is looked at: often
	// enough that what a fast disk takes meanwhile fits into the reserve.
	spaceEvery = 200 * time.Millisecond
	// largeWrite is the size, in bytes, from which a write is preceded by a look of its own.
	largeWrite = 1 << 20
	// noSpacePart of the reserve is the rest that not even deletes may use: files are still compacted.
	noSpacePart = 4
	// spaceSlack is the part of a limit by which the free space must exceed it before it counts as met
	// again, so that writes are not refused and taken by turns.
	spaceSlack = 8
)

// DiskUsage returns the free bytes of the file system of a directory.
type DiskUsage func(dir string) (free uint64, err error)

// freeBytes asks the operating system.
func freeBytes(dir string) (uint64, error) {
	usage, err := vfs.Default.GetDiskUsage(dir)
	return usage.AvailBytes, err
}

// spaceWatch knows how much room the data directory has.
type spaceWatch struct {
	dir     string
	reserve uint64 // bytes to be kept free; 0: whatever there is will do
	usage   DiskUsage
	logger  *zap.Logger

	mu    sync.Mutex // one look at a time
	free  atomic.Uint64
	level atomic.Uint32
}

func newSpaceWatch(cfg Config) *spaceWatch {
	w := &spaceWatch{dir: cfg.DataDir, reserve: uint64(max(cfg.MinFreeDisk, 0)), usage: cfg.DiskUsage, logger: cfg.Logger}
	w.look()
	return w
}

// Level is what the last look found.
func (w *spaceWatch) Level() raftnode.Space { return raftnode.Space(w.level.Load()) }

// look measures the free space. A measurement that fails changes nothing: writing will tell.
func (w *spaceWatch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	free, err := w.usage(w.dir)
	if err != nil {
		return
	}
	w.free.Store(free)
	was := w.Level()
	is := w.judge(free, was)
	w.level.Store(uint32(is))
	if is != was {
		w.logger.Warn("free disk space of this node", zap.String("dir", w.dir), zap.Uint64("free_bytes", free),
			zap.Uint64("reserve_bytes", w.reserve), zap.Stringer("was", was), zap.Stringer("is", is))
	}
}

// judge compares free bytes with the limits, which are a little higher for whoever was below them.
func (w *spaceWatch) judge(free uint64, was raftnode.Space) raftnode.Space {
	limit := func(bytes uint64, below bool) uint64 {
		if below {
			bytes += bytes / spaceSlack
		}
		return bytes
	}
	switch {
	case free < limit(w.reserve/noSpacePart, was == raftnode.SpaceNone):
		return raftnode.SpaceNone
	case free < limit(w.reserve, was != raftnode.SpaceOK):
		return raftnode.SpaceLow
	}
	return raftnode.SpaceOK
}

// watchSpace looks again and again.
func (n *Node) watchSpace() {
	defer n.stopped.Done()
	ticker := time.NewTicker(spaceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			n.space.look()
		case <-n.ctx.Done():
			return
		}
	}
}

// doWithoutRoom is do while the cluster is short of disk space: what would make the data grow is
// refused before it gets near the log, the rest is executed.
func (n *Node) doWithoutRoom(req *fsm.Request) (write bool, err error) {
	space := n.group.Space()
	return n.doAllowed(req, command.NoRoom, func(c *fsm.Call) bool { return n.hasRoom(c, space) })
}

// doAllowed is do of some of the calls; the others get a refusal.
func (n *Node) doAllowed(req *fsm.Request, refusal resp.Reply, allow func(c *fsm.Call) bool) (write bool, err error) {
	allowed := &fsm.Request{Calls: make([]fsm.Call, 0, len(req.Calls)), Local: req.Local, NoTouch: req.NoTouch, Client: req.Client}
	for i := range req.Calls {
		if allow(&req.Calls[i]) {
			allowed.Calls = append(allowed.Calls, req.Calls[i])
		}
	}
	switch {
	case len(allowed.Calls) == len(req.Calls):
		return n.do(req)
	case req.Atomic:
		return false, command.Refusal{Reply: refusal}
	}
	if len(allowed.Calls) > 0 {
		if write, err = n.do(allowed); err != nil {
			return write, err
		}
	}
	req.Replies = req.Replies[:0]
	next := 0
	for i := range req.Calls {
		if allow(&req.Calls[i]) {
			req.Replies = append(req.Replies, allowed.Replies[next])
			next++
		} else {
			req.Replies = append(req.Replies, refusal)
		}
	}
	return write, nil
}

func (n *Node) hasRoom(c *fsm.Call, space raftnode.Space) bool {
	if c.Read || space == raftnode.SpaceOK {
		return true
	}
	return space == raftnode.SpaceLow && !n.grows(c)
}

// grows says whether a call may make the data grow.
func (n *Node) grows(c *fsm.Call) bool { return n.hasFlag(c, command.DenyOOM|command.Logged) }

// fills says whether a call is to be refused when the data set is above its limit. Scripts refuse commands by themselves.
func (n *Node) fills(c *fsm.Call) bool { return n.hasFlag(c, command.DenyOOM) }

// hasFlag says whether a call that is to be logged is of a command with one of the flags.
func (n *Node) hasFlag(c *fsm.Call, flags command.Flags) bool {
	return !c.Read && n.table.HasFlag(c.Args, flags)
}
