package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/gomodule/redigo/redis"

	"redoubt"
)

// backupCmd makes backups and checks them.
type backupCmd struct {
	Make   makeBackupCmd  `cmd:"" default:"withargs" help:"Write a backup of a running cluster. This is what happens without a command."`
	Verify checkBackupCmd `cmd:"" help:"Read a backup and check all of it."`
}

// makeBackupCmd writes a backup of the cluster, as one of its nodes has it.
type makeBackupCmd struct {
	nodeAddr   `embed:""`
	storeFlags `embed:""`
	Out        string `help:"File to write, - for standard output, or s3://bucket/key." required:""`
}

// checkBackupCmd checks a backup.
type checkBackupCmd struct {
	storeFlags `embed:""`
	From       string `arg:"" help:"File, - for standard input, or s3://bucket/key."`
}

// untilSignal ends when the process is told to stop, so that half-written files are removed.
func untilSignal() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

// Run is called by kong.
func (b *makeBackupCmd) Run() error {
	ctx, cancel := untilSignal()
	defer cancel()
	conn, err := b.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	begun, err := askFields(conn, "RAFT", "BACKUP", "BEGIN")
	if err != nil {
		return err
	}
	handle, size := begun.text("handle"), begun.number("bytes")
	defer func() { _, _ = conn.Do("RAFT", "BACKUP", "END", handle) }() // it ends by itself as well
	bar := newProgress(size, "backup")
	source := &backupReader{ctx: ctx, conn: conn, handle: handle, seen: func(n int) { _ = bar.Add(n) }}
	checked, ended := checkWhileRead(source)
	err = b.put(ctx, b.Out, checked, size)
	_ = checked.Close() // which ends the check, if it has not ended
	<-ended
	if err != nil {
		return err
	}
	_ = bar.Finish()
	fmt.Fprintf(os.Stderr, "%s holds log index %d of cluster %s, %d bytes\n", b.Out, begun.number("index"),
		begun.text("cluster"), size)
	return nil
}

// backupReader reads the archive that a node sends.
type backupReader struct {
	ctx    context.Context
	conn   redis.Conn
	handle string
	seen   func(n int)

	offset int64
	piece  []byte
}

func (r *backupReader) Read(b []byte) (int, error) {
	if len(r.piece) == 0 {
		if err := r.ctx.Err(); err != nil {
			return 0, errors.New("interrupted")
		}
		piece, err := redis.Bytes(r.conn.Do("RAFT", "BACKUP", "READ", r.handle, r.offset))
		if err != nil {
			return 0, err
		}
		if len(piece) == 0 {
			return 0, io.EOF
		}
		r.piece = piece
		r.offset += int64(len(piece))
		r.seen(len(piece))
	}
	n := copy(b, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

// checkWhileRead returns what source has, and in place of its end an error if it is not a whole backup.
// ended is closed when source is not used any more.
func checkWhileRead(source io.Reader) (checked *io.PipeReader, ended <-chan struct{}) {
	in, out := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := redoubt.CheckBackup(io.TeeReader(source, out))
		_ = out.CloseWithError(err)
	}()
	return in, done
}

// Run is called by kong.
func (c *checkBackupCmd) Run() error {
	ctx, cancel := untilSignal()
	defer cancel()
	r, size, err := c.get(ctx, c.From)
	if err != nil {
		return err
	}
	defer r.Close()
	bar := newProgress(size, "verify")
	h, err := redoubt.CheckBackup(io.TeeReader(r, bar))
	if err != nil {
		return fmt.Errorf("%s: %w", c.From, err)
	}
	_ = bar.Finish()
	fmt.Printf("%s is whole: log index %d of cluster %016x, made by node %d at %s\n", c.From, h.Index, h.ClusterID,
		h.NodeID, h.Time.Format("2006-01-02 15:04:05 MST"))
	return nil
}
