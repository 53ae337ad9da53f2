package raftnode

import (
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/failpoint"
)

// walFillBytes is how far a log file is filled with zeroes at a time: little enough that the sync
// that takes them to the disk is hardly longer than others.
const walFillBytes = 256 << 10

var walZeroes [walFillBytes]byte

// walFS is the file system of the log engine. Its write-ahead logs are written over zeroes that are
// already there: a sync then has only the data to bring to the disk, while one of a file that grows
// has the new size and place as well, which is an operation of the disk more, each time. Pebble takes
// zeroes at the end of a log for its end, and reuses old logs in the same way.
type walFS struct {
	vfs.FS
	synced *walPlace
}

// walPlace is how far the newest log is certainly on the disk.
type walPlace struct {
	mu     sync.Mutex
	number uint64
	bytes  int64
}

func (p *walPlace) reached(number uint64, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if number >= p.number {
		p.number, p.bytes = number, bytes
	}
}

func (p *walPlace) get() (number uint64, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.number, p.bytes
}

func (fs walFS) Unwrap() vfs.FS { return fs.FS }

// Create is part of vfs.FS.
func (fs walFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &walFile{File: f, number: walNumber(fs.PathBase(name)), synced: fs.synced}, nil
}

// ReuseForWrite is part of vfs.FS.
func (fs walFS) ReuseForWrite(from, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(from, name, category)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &walFile{File: f, number: walNumber(fs.PathBase(name)), synced: fs.synced, filled: info.Size()}, nil
}

// walNumber returns the number in the name of a log, or 0.
func walNumber(name string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, ".log"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// walFile is written from its start to its end, by one goroutine.
type walFile struct {
	vfs.File
	written, filled int64 // bytes
	number          uint64
	synced          *walPlace
}

// Write is part of vfs.File.
func (f *walFile) Write(p []byte) (int, error) {
	for f.written+int64(len(p)) > f.filled {
		n, err := f.File.WriteAt(walZeroes[:], f.filled)
		f.filled += int64(n)
		if err != nil {
			return 0, err
		}
	}
	n, err := f.File.Write(p)
	f.written += int64(n)
	return n, err
}

// Sync is part of vfs.File.
func (f *walFile) Sync() error { return f.after(f.File.Sync()) }

// SyncData is part of vfs.File.
func (f *walFile) SyncData() error {
	if err := failpoint.LogSyncBefore.Err(); err != nil {
		return err
	}
	return failpoint.LogSyncAfter.After(f.after(f.File.SyncData()))
}

// Preallocate is part of vfs.File. It does nothing: Pebble asks for more than a memtable's size at
// once, and the zeroes take what is needed.
func (f *walFile) Preallocate(int64, int64) error { return nil }

func (f *walFile) after(err error) error {
	if err == nil {
		f.synced.reached(f.number, f.written)
	}
	return err
}
