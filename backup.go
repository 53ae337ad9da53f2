package redoubt

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"redoubt/command"
	"redoubt/raftnode"
	"redoubt/resp"
	"redoubt/snapshot"
)

const (
	// backupIdle is how long a backup waits for its reader to ask for more.
	backupIdle = time.Minute
	// backupsMax is how many may be read from one node at a time: each keeps files from being deleted.
	backupsMax = 4
	// backupPiece is the most that one RAFT BACKUP READ returns, in bytes.
	backupPiece = 1 << 20
)

// backupFormat is the version of BackupHeader. Backups of later versions are refused.
const backupFormat = 1

// BackupHeader says what a backup holds. It is the header of the archive, as JSON.
type BackupHeader struct {
	Format    int       `json:"format"`
	ID        uint64    `json:"id"` // of this backup
	ClusterID uint64    `json:"cluster_id"`
	NodeID    uint64    `json:"node_id"` // who made it
	Index     uint64    `json:"index"`   // the last log entry whose effects are in it
	Term      uint64    `json:"term"`
	Time      time.Time `json:"time"`
}

// backups are the backups that are being read from a node. Each is a checkpoint in a directory of its own,
// whose files stay whatever becomes of the state and its snapshots, and a goroutine that writes its archive
// into a pipe. The goroutine removes the directory when it ends.
type backups struct {
	mu      sync.Mutex
	closed  bool
	open    map[string]*backup
	running int // writers, those included that are not in open yet or any more
	writers sync.WaitGroup
}

// backup is one of them. Whoever holds mu may read; the backup ends when nobody did for backupIdle.
type backup struct {
	pipe *io.PipeReader
	size int64
	idle *time.Timer

	mu     sync.Mutex
	offset int64
}

var errBackupOver = errors.New("the backup is over")

// raftBackup is RAFT BACKUP BEGIN, READ handle offset and END handle.
func (n *Node) raftBackup(args [][]byte) resp.Reply {
	switch sub := strings.ToUpper(string(args[0])); {
	case n.group.Corrupt() != "":
		return command.ErrorReply(command.ErrCorrupt)
	case sub == "BEGIN" && len(args) == 1:
		return n.beginBackup()
	case sub == "READ" && len(args) == 3:
		return n.backups.read(string(args[1]), string(args[2]))
	case sub == "END" && len(args) == 2:
		if !n.backups.end(string(args[1])) {
			return errNoBackup
		}
		return resp.OK
	}
	return resp.NewError("ERR syntax error")
}

var errNoBackup = resp.NewError("ERR no such backup: it has ended, or nobody read from it for too long")

// beginBackup makes a checkpoint of this node's state. Everything that was acknowledged before, by
// whichever node, is in it.
func (n *Node) beginBackup() resp.Reply {
	if err := n.group.ReadBarrier(); err != nil {
		return command.ErrorReply(engineError(err))
	}
	h := BackupHeader{Format: backupFormat, ID: n.platform.rand() | 1, ClusterID: n.dir.id.ClusterID,
		NodeID: n.dir.id.NodeID, Time: time.UnixMilli(n.platform.wall()).UTC()}
	handle := hex(h.ID)
	if err := n.backups.admit(); err != nil {
		return resp.NewError("ERR " + err.Error())
	}
	b, err := n.openBackup(&h, n.dir.fs.PathJoin(n.dir.path(backupDir), handle))
	if err != nil {
		n.backups.done()
		return resp.NewError("ERR backup failed: " + err.Error())
	}
	n.backups.add(handle, b)
	n.logger.Info("backup begun", zap.String("handle", handle), zap.Uint64("index", h.Index), zap.Int64("bytes", b.size))
	return resp.NewMap([]resp.Reply{
		resp.NewBulkString("handle"), resp.NewBulkString(handle),
		resp.NewBulkString("bytes"), resp.NewInt(b.size),
		resp.NewBulkString("index"), resp.NewInt(int64(h.Index)),
		resp.NewBulkString("term"), resp.NewInt(int64(h.Term)),
		resp.NewBulkString("cluster"), resp.NewBulkString(hex(h.ClusterID))})
}

// openBackup makes the checkpoint and starts to write its archive.
func (n *Node) openBackup(h *BackupHeader, dir string) (b *backup, err error) {
	fs := n.dir.fs
	defer func() {
		if err != nil {
			err = errors.Join(err, fs.RemoveAll(dir))
		}
	}()
	if err := fs.MkdirAll(n.dir.path(backupDir), 0o755); err != nil {
		return nil, err
	}
	pos, err := n.state.Checkpoint(dir)
	if err != nil {
		return nil, err
	}
	h.Index, h.Term = pos.Index, pos.Term
	header, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	size, err := snapshot.ArchiveSize(fs, dir, header)
	if err != nil {
		return nil, err
	}
	in, out := io.Pipe()
	go func() {
		defer n.backups.done()
		err := snapshot.WriteArchive(out, fs, dir, header)
		_ = out.CloseWithError(err) // nil is the end of the archive
		if err := errors.Join(err, fs.RemoveAll(dir)); err != nil && !errors.Is(err, errBackupOver) {
			n.logger.Warn("backup ended", zap.String("directory", dir), zap.Error(err))
		}
	}()
	return &backup{pipe: in, size: size}, nil
}

// admit counts a writer that is about to be started.
func (s *backups) admit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return raftnode.ErrClosed
	}
	if s.running >= backupsMax {
		return fmt.Errorf("%d backups are being read from this node already", s.running)
	}
	s.running++
	s.writers.Add(1)
	return nil
}

// done is what follows admit, when the writer has ended or could not be started.
func (s *backups) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	s.writers.Done()
}

func (s *backups) add(handle string, b *backup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = b.pipe.CloseWithError(errBackupOver)
		return
	}
	if s.open == nil {
		s.open = make(map[string]*backup)
	}
	s.open[handle] = b
	b.idle = time.AfterFunc(backupIdle, func() { s.end(handle) })
}

// read returns the bytes of the archive from offset on, which is where the last READ ended. At the end
// there are none.
func (s *backups) read(handle, offset string) resp.Reply {
	s.mu.Lock()
	b := s.open[handle]
	s.mu.Unlock()
	if b == nil {
		return errNoBackup
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, err := strconv.ParseInt(offset, 10, 64); err != nil || at != b.offset {
		return resp.NewError("ERR a backup is read in order: the next offset is " + strconv.FormatInt(b.offset, 10))
	}
	b.idle.Reset(backupIdle)
	piece := make([]byte, min(backupPiece, b.size-b.offset))
	if _, err := io.ReadFull(b.pipe, piece); err != nil {
		s.end(handle)
		return resp.NewError("ERR backup failed: " + err.Error())
	}
	b.offset += int64(len(piece))
	b.idle.Reset(backupIdle)
	return resp.NewBulk(piece)
}

// end gives a backup up. It returns false when there is none.
func (s *backups) end(handle string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.open[handle]
	if b == nil {
		return false
	}
	delete(s.open, handle)
	b.idle.Stop()
	_ = b.pipe.CloseWithError(errBackupOver)
	return true
}

// close ends all backups and waits until their directories are gone.
func (s *backups) close() {
	s.mu.Lock()
	s.closed = true
	for handle, b := range s.open {
		delete(s.open, handle)
		b.idle.Stop()
		_ = b.pipe.CloseWithError(errBackupOver)
	}
	s.mu.Unlock()
	s.writers.Wait()
}
