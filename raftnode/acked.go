package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	ackedFile = "ACKED" // in the log's directory
	// Two records, in places that share no sector and no page, written by turns: whatever becomes of a
	// write that a crash cuts off, the one before it is there.
	ackedPlace = 4096
	ackedBytes = 2 * ackedPlace
	// ackedSyncEvery is how far back at most a power cut takes the file.
	ackedSyncEvery = 200 * time.Millisecond
)

// acknowledgement says how far the log has been made durable, and thus what may have been acknowledged.
type acknowledgement struct {
	last       Position // of the log
	term, vote uint64
	wal        uint64 // number of the write-ahead log that was synced last
	walBytes   int64  // how much of it was
}

// acked is a file of its own that notes each acknowledgement before it leaves. A write-ahead log can't
// tell that its last record is gone, be it cut off, overwritten or damaged: it looks as if that had
// never been written completely. The note can.
//
// It is written without a sync, which would cost as much as that of the log: a process that is killed
// loses nothing of it, and a power cut at most what ackedSyncEvery says. It never says more than what
// the log has on disk. See ADR 10.
type acked struct {
	mu    sync.Mutex
	file  vfs.File
	seq   uint64
	now   acknowledgement
	room  []byte // for now as it is written
	dirty bool
	err   error // the first failure, which is the last: what is on the disk then is not known
	stop  chan struct{}
	done  chan struct{}
}

// readAcked returns the note in the log's directory, or false when there is none.
func readAcked(fs vfs.FS, dir string) (a acknowledgement, seq uint64, ok bool, err error) {
	path := fs.PathJoin(dir, ackedFile)
	f, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return a, 0, false, nil
	}
	if err != nil {
		return a, 0, false, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return a, 0, false, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) != ackedBytes {
		return a, 0, false, &DamageError{Path: path, Offset: int64(min(len(data), ackedBytes)),
			Detail: fmt.Sprintf("it has %d bytes instead of %d", len(data), ackedBytes)}
	}
	for place := 0; place < ackedBytes; place += ackedPlace {
		if b, n, valid := decodeAcked(data[place:]); valid && n >= seq {
			a, seq, ok = b, n, true
		}
	}
	if !ok {
		return a, 0, false, &DamageError{Path: path, Detail: "checksum mismatch"}
	}
	return a, seq, true, nil
}

// createAcked makes the file, durably.
func createAcked(fs vfs.FS, dir string, now acknowledgement) error {
	path := fs.PathJoin(dir, ackedFile)
	f, err := fs.Create(path+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	data := make([]byte, ackedBytes)
	appendAcked(data[:0], now, 1)
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := fs.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openAcked goes on with an existing file.
func openAcked(fs vfs.FS, dir string, now acknowledgement, seq uint64) (*acked, error) {
	f, err := fs.OpenReadWrite(fs.PathJoin(dir, ackedFile), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	a := &acked{file: f, seq: seq, now: now, stop: make(chan struct{}), done: make(chan struct{})}
	go a.runSync()
	return a, nil
}

// note writes what change makes of the last acknowledgement; when sync is true, durably.
func (a *acked) note(sync bool, change func(*acknowledgement)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	change(&a.now)
	a.seq++
	a.room = appendAcked(a.room[:0], a.now, a.seq)
	_, err := a.file.WriteAt(a.room, int64(a.seq%2)*ackedPlace)
	if err == nil && sync {
		err = a.file.SyncData()
	}
	a.dirty = !sync
	return a.failed(err)
}

// failed remembers an error. Called with the lock held.
func (a *acked) failed(err error) error {
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("note what is acknowledged: %w", err)
	}
	return a.err
}

// last is the position noted.
func (a *acked) last() Position {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now.last
}

// runSync takes the note to the disk now and then.
func (a *acked) runSync() {
	defer close(a.done)
	ticker := time.NewTicker(ackedSyncEvery)
	defer ticker.Stop()
	for {
		select {
		case <-a.stop:
			return
		case <-ticker.C:
		}
		a.mu.Lock()
		dirty := a.dirty
		a.dirty = false
		a.mu.Unlock()
		if !dirty {
			continue
		}
		if err := a.file.SyncData(); err != nil {
			a.mu.Lock()
			_ = a.failed(err) // the next acknowledgement is the one that tells
			a.mu.Unlock()
			return
		}
	}
}

func (a *acked) close() error {
	close(a.stop)
	<-a.done
	return errors.Join(a.file.Sync(), a.file.Close())
}

const ackedMagic = "ACK1"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendAcked is for an empty dst.
func appendAcked(dst []byte, a acknowledgement, seq uint64) []byte {
	b := append(dst, ackedMagic+"\x00\x00\x00\x00"...)
	for _, n := range []uint64{seq, a.last.Index, a.last.Term, a.term, a.vote, a.wal, uint64(a.walBytes)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

func decodeAcked(b []byte) (a acknowledgement, seq uint64, ok bool) {
	b = b[:64]
	if string(b[:4]) != ackedMagic || binary.BigEndian.Uint32(b[4:]) != crc32.Checksum(b[8:], castagnoli) {
		return a, 0, false
	}
	r := reader{b: b[8:]}
	seq = r.uint64()
	a.last = Position{r.uint64(), r.uint64()}
	a.term, a.vote, a.wal, a.walBytes = r.uint64(), r.uint64(), r.uint64(), int64(r.uint64())
	return a, seq, !r.bad
}

// before says whether a log that ends at p is older than one that ends at q, as raft compares logs.
func (p Position) before(q Position) bool {
	return p.Term < q.Term || p.Term == q.Term && p.Index < q.Index
}
