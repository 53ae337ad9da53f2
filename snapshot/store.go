package snapshot

import (
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/failpoint"
)

const (
	tmpName  = "making"
	dirMode  = 0o755
	nameForm = "%020d-%020d" // index-term, so that names sort by index
)

// ID names a snapshot: the log position whose effects it holds, and nothing later.
type ID struct {
	Index, Term uint64
}

// Store keeps the newest snapshot of one replica in a directory of its own. It is safe for
// concurrent use; a snapshot that is being read stays until its reader lets go of it.
type Store struct {
	fs   vfs.FS
	root string

	mu     sync.Mutex
	latest ID // zero when there is none
	held   map[ID]int
	making bool // the directory tmpName is being written
}

// OpenStore opens the store at root, makes the directory if it is missing, and removes what a
// crash left unfinished and every snapshot but the newest.
func OpenStore(fs vfs.FS, root string) (*Store, error) {
	if err := fs.MkdirAll(root, dirMode); err != nil {
		return nil, fmt.Errorf("make snapshot directory: %w", err)
	}
	if err := syncDir(fs, fs.PathDir(root)); err != nil {
		return nil, err
	}
	s := &Store{fs: fs, root: root, held: make(map[ID]int)}
	names, err := fs.List(root)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, name := range names {
		if id, ok := parseName(name); ok && id.Index > s.latest.Index {
			s.latest = id
		}
	}
	return s, s.prune()
}

// Latest returns the newest snapshot, or false when there is none.
func (s *Store) Latest() (ID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest, s.latest != ID{}
}

// Create makes a snapshot; calls must not overlap. fill writes it into the directory it is given (which does not exist yet)
// and says which position it holds. The snapshot takes its final name by one rename, after a sync.
// Older ones are removed, except those that a reader holds.
func (s *Store) Create(fill func(dir string) (ID, error)) (ID, error) {
	s.setMaking(true)
	defer s.setMaking(false)
	tmp := s.fs.PathJoin(s.root, tmpName)
	if err := s.fs.RemoveAll(tmp); err != nil {
		return ID{}, fmt.Errorf("remove unfinished snapshot: %w", err)
	}
	if err := failpoint.SnapshotCreate.Err(); err != nil {
		return ID{}, err
	}
	id, err := fill(tmp)
	if err = failpoint.SnapshotSync.After(err); err != nil {
		return ID{}, err
	}
	if err := syncDir(s.fs, tmp); err != nil {
		return ID{}, err
	}
	s.mu.Lock()
	known := id.Index <= s.latest.Index
	latest := s.latest
	s.mu.Unlock()
	if known { // nothing was applied since the last one
		return latest, s.fs.RemoveAll(tmp)
	}
	if err := failpoint.SnapshotRenameBefore.Err(); err != nil {
		return ID{}, err
	}
	if err := failpoint.SnapshotRenameAfter.After(s.fs.Rename(tmp, s.dir(id))); err != nil {
		return ID{}, fmt.Errorf("name snapshot: %w", err)
	}
	if err := syncDir(s.fs, s.root); err != nil {
		return ID{}, err
	}
	s.mu.Lock()
	s.latest = id
	s.mu.Unlock()
	if err := failpoint.SnapshotPrune.Err(); err != nil {
		return ID{}, err
	}
	return id, s.prune()
}

// Hold returns the directory of the newest snapshot and keeps it from being removed until release
// is called. It returns false when there is none.
func (s *Store) Hold() (id ID, dir string, release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latest == (ID{}) {
		return ID{}, "", nil, false
	}
	id = s.latest
	s.held[id]++
	return id, s.dir(id), sync.OnceFunc(func() { s.release(id) }), true
}

// Held returns the lowest index among the snapshots that are being read, or 0.
func (s *Store) Held() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	lowest := uint64(0)
	for id := range s.held {
		if lowest == 0 || id.Index < lowest {
			lowest = id.Index
		}
	}
	return lowest
}

func (s *Store) setMaking(making bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.making = making
}

func (s *Store) release(id ID) {
	s.mu.Lock()
	if s.held[id]--; s.held[id] == 0 {
		delete(s.held, id)
	}
	s.mu.Unlock()
	// A directory that can't be removed now is removed by the next prune or at the next start.
	_ = s.prune()
}

// prune removes everything but the newest snapshot and those being read.
func (s *Store) prune() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, err := s.fs.List(s.root)
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	for _, name := range names {
		id, ok := parseName(name)
		if ok && (id == s.latest || s.held[id] > 0) || name == tmpName && s.making {
			continue
		}
		if err := s.fs.RemoveAll(s.fs.PathJoin(s.root, name)); err != nil {
			return fmt.Errorf("remove old snapshot: %w", err)
		}
	}
	return nil
}

func (s *Store) dir(id ID) string {
	return s.fs.PathJoin(s.root, fmt.Sprintf(nameForm, id.Index, id.Term))
}

func parseName(name string) (ID, bool) {
	var id ID
	if n, err := fmt.Sscanf(name, nameForm, &id.Index, &id.Term); n != 2 || err != nil {
		return ID{}, false
	}
	return id, fmt.Sprintf(nameForm, id.Index, id.Term) == name && id.Index > 0
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open directory %s: %w", dir, err)
	}
	if err := d.Sync(); err != nil {
		d.Close()
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return d.Close()
}
