package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// inode is a file, whatever its names.
type inode struct{ device, number uint64 }

// eachFile visits every file below a directory in which files come and go. A file with several names
// is visited by each of them.
func eachFile(dir string, visit func(name string, info fs.FileInfo, id inode)) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				stat := info.Sys().(*syscall.Stat_t) // it is one on every Unix
				visit(name, info, inode{uint64(stat.Dev), stat.Ino})
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone between being listed and being looked at
		}
		return err
	})
}

// diskBytes is the space that the files below a directory take.
func diskBytes(dir string) (sum int64, err error) {
	seen := map[inode]bool{}
	err = eachFile(dir, func(_ string, info fs.FileInfo, id inode) {
		if !seen[id] {
			seen[id] = true
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	})
	return sum, err
}

// watcher adds up the sizes of all files that ever appear in a directory: what is written into files
// that are written once, from their beginning to their end.
type watcher struct {
	dir    string
	counts func(name string) bool
	mu     sync.Mutex
	sizes  map[inode]int64
	known  int64 // the sizes when the watch began
}

// watchInterval is much less than the life of a table of the storage engine.
const watchInterval = 20 * time.Millisecond

// watch begins to watch the files that count. It ends with the context.
func watch(ctx context.Context, dir string, counts func(name string) bool) (*watcher, error) {
	w := &watcher{dir: dir, counts: counts, sizes: map[inode]int64{}}
	var err error
	if w.known, err = w.total(); err != nil {
		return nil, err
	}
	go func() {
		for tick := time.NewTicker(watchInterval); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				_, _ = w.total() // the one who asks in the end will see a lasting error
			}
		}
	}()
	return w, nil
}

func (w *watcher) total() (sum int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	err = eachFile(w.dir, func(name string, info fs.FileInfo, id inode) {
		if w.counts(name) {
			w.sizes[id] = max(w.sizes[id], info.Size())
		}
	})
	for _, size := range w.sizes {
		sum += size
	}
	return sum, err
}

// written is what was written since the watch began.
func (w *watcher) written() (int64, error) {
	total, err := w.total()
	return total - w.known, err
}
