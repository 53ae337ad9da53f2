package fsm

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrClosed is returned by every method of a closed machine.
var ErrClosed = errors.New("state machine is closed")

// Options of a machine. Exec is required; FS and Logger have Pebble's defaults.
type Options struct {
	FS              vfs.FS
	Dir             string
	CacheBytes      int64  // of hot rows; 0: none
	BlockCacheBytes int64  // of Pebble's blocks; 0: 8 MB
	BufferBytes     int64  // of rows that wait to be written to the engine; 0: 32 MB
	MemTableBytes   uint64 // of one of at most four memtables; 0: 64 MB
	Still           bool   // no compactions: for simulations, which have to be the same each time
	Exec            Exec
	Observer        Observer // nil: nobody
	Expect          bool     // the state was made before: refuse to make a new one
	// Logger hears what Pebble has to say. Fatalf is called when the engine cannot go on, and must
	// not return.
	Logger pebble.Logger
}

// Machine is one replica's state. Apply and Close are called by one goroutine, everything else by
// any number.
type Machine struct {
	db       *pebble.DB
	exec     Exec
	observer Observer
	cache    *cache
	writer   *Txn // of Apply
	pool     sync.Pool

	// mu is held exclusively to publish what entries have changed, shared by whoever looks at the
	// fields below, the cache, the buffers and the engine as one state.
	mu      sync.RWMutex
	closed  bool
	applied Position
	time    int64
	member  []byte
	ks      keyspace
	// due[db] is at or below the first expiry time in the database, so that asking whether
	// something is due mostly costs nothing. Raised by readers, lowered while publishing.
	due [allDatabases]atomic.Int64

	// What is applied but not in the engine yet: see buffer. writing is held by whoever writes one.
	active, full atomic.Pointer[buffer]
	bufferBytes  int64
	writing      sync.Mutex
	writtenKS    keyspace // as the engine has it; guarded by writing

	hashes hashRing // see Hash

	interrupted atomic.Bool // see Interrupt

	views    sync.Map       // *view of each stream that is being written
	users    sync.WaitGroup // of the engine without the lock; added to under mu
	failed   chan struct{}  // closed after failErr is set
	failErr  error
	failOnce sync.Once
	expired  atomic.Uint64
	evicted  atomic.Uint64
	memory   memory
	opened   atomic.Int64  // the first time that SetClock told
	randoms  atomic.Uint64 // numbers the reads that asked for a random number
}

// Open opens the state in a directory, or makes it.
func Open(o Options) (*Machine, error) {
	m := &Machine{exec: o.Exec, observer: o.Observer, bufferBytes: cmp.Or(o.BufferBytes, defaultBufferBytes), cache: newCache(o.CacheBytes), failed: make(chan struct{})}
	m.pool.New = func() any { return &Txn{m: m} }
	options := engineOptions(o)
	options.EventListener = &pebble.EventListener{
		BackgroundError: func(err error) { m.fail(fmt.Errorf("state engine: %w", err)) },
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			m.fail(fmt.Errorf("state engine: %s: %w", info.Path, info.Details))
		},
	}
	cache := pebble.NewCache(options.CacheSize)
	defer cache.Unref()
	options.Cache = cache
	var err error
	if m.db, err = openEngine(o.Dir, options, o.Expect); err != nil {
		return nil, fmt.Errorf("open state in %s: %w", o.Dir, located(err))
	}
	if err = m.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open state in %s: %w", o.Dir, err), m.db.Close())
	}
	m.writer = &Txn{m: m, ks: &keyspace{}, pending: newPending()}
	*m.writer.ks, m.writer.now = m.ks, m.time
	m.hashes.note(m.applied.Index, m.ks.hash(m.time))
	m.writtenKS = m.ks
	m.active.Store(newBuffer(1))
	m.cache.complete.Store(m.ks.empty())
	m.noteMemory()
	return m, nil
}

func (m *Machine) load() error {
	fresh, err := isFresh(m.db)
	if err != nil {
		return err
	}
	if fresh {
		if err = m.db.Set(metaFormat, []byte{formatVersion}, pebble.NoSync); err != nil {
			return err
		}
	}
	if err = checkFormat(m.db); err != nil {
		return err
	}
	if m.applied, m.time, err = readApplied(m.db); err != nil {
		return err
	}
	if m.member, err = readMeta(m.db, metaMember); err != nil {
		return err
	}
	m.ks, err = readKeyspace(m.db)
	return err
}

// Applied is the position of the last entry whose effects are visible.
func (m *Machine) Applied() Position {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.applied
}

// Meta is what the caller gave to the last Apply that had any. It must not be changed.
func (m *Machine) Meta() []byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.member
}

// Time is the time of the last applied entry, milliseconds since 1970.
func (m *Machine) Time() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.time
}

// enter lets its caller use the engine without the lock until leave.
func (m *Machine) enter() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return ErrClosed
	}
	m.users.Add(1)
	return nil
}

func (m *Machine) leave() { m.users.Done() }

// Failed is closed after the first error that makes the state unreliable: one of Apply, or one that
// Pebble met in the background. Apply says which; the replica must stop.
func (m *Machine) Failed() <-chan struct{} { return m.failed }

// fail remembers the first error after which the state is not to be relied on, and returns it.
func (m *Machine) fail(err error) error {
	m.failOnce.Do(func() {
		m.failErr = err
		close(m.failed)
	})
	return m.failErr
}

// Err returns why the machine failed, or nil.
func (m *Machine) Err() error { return m.failure() }

// failure is what fail remembers, or nil.
func (m *Machine) failure() error {
	select {
	case <-m.failed:
		return m.failErr
	default:
		return nil
	}
}

// Close makes the state durable and closes the engine, after those who use it have finished.
func (m *Machine) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.closed = true
	m.mu.Unlock()
	m.closeViews()
	m.users.Wait()
	m.writer.pending.reset()
	err := m.drain()
	if err == nil {
		err = m.flush()
	}
	return errors.Join(err, m.db.Close())
}

// formatVersion of the keys and rows in the engine. A machine refuses any other.
const formatVersion = 4

func isFresh(db *pebble.DB) (bool, error) {
	it, err := db.NewIter(nil)
	if err != nil {
		return false, err
	}
	found := it.First()
	return !found && it.Error() == nil, it.Close()
}

func checkFormat(r pebble.Reader) error {
	b, err := readMeta(r, metaFormat)
	switch {
	case err != nil:
		return err
	case len(b) != 1:
		return errors.New("no format version: not the state of a replica")
	case b[0] != formatVersion:
		return fmt.Errorf("format version %d is not known, want %d: written by another release?",
			b[0], formatVersion)
	}
	return nil
}

// readMeta returns a copy of a row of the meta table, or nil.
func readMeta(r pebble.Reader, name []byte) ([]byte, error) {
	b, closer, err := r.Get(name)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read meta row %q: %w", name, located(err))
	}
	b = bytes.Clone(b)
	return b, closer.Close()
}

const appliedSize = 8 + 8 + 8

func encodeApplied(p Position, time int64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, appliedSize), p.Index)
	b = binary.BigEndian.AppendUint64(b, p.Term)
	return binary.BigEndian.AppendUint64(b, uint64(time))
}

func decodeApplied(b []byte) (p Position, time int64, err error) {
	if len(b) != appliedSize {
		return p, 0, fmt.Errorf("applied row of %d bytes, want %d", len(b), appliedSize)
	}
	p = Position{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
	return p, int64(binary.BigEndian.Uint64(b[16:])), nil
}

// readApplied returns zeroes when nothing was applied yet.
func readApplied(r pebble.Reader) (Position, int64, error) {
	b, err := readMeta(r, metaApplied)
	if err != nil || b == nil {
		return Position{}, 0, err
	}
	return decodeApplied(b)
}
