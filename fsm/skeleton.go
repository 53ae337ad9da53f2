package fsm

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/resp"
)

const Databases = 16

type Call struct {
	DB   int
	Args [][]byte
	Read bool
}
type Request struct {
	Calls   []Call
	Replies []resp.Reply
}
type Exec func(tx *Txn, args [][]byte) resp.Reply
type Position struct{ Index, Term uint64 }
type Batch struct {
	Payload []byte
	Local   *Request
}
type Entry struct {
	Position
	Time    int64
	Seed    uint64
	Batches []Batch
}

func AppendCalls(dst []byte, calls []Call) []byte { return dst }

type Options struct {
	FS              vfs.FS
	Dir             string
	CacheBytes      int64
	BlockCacheBytes int64
	MemTableBytes   uint64
	Exec            Exec
	Logger          pebble.Logger
}
type Machine struct{}

func Open(Options) (*Machine, error)                                       { return nil, nil }
func (m *Machine) Apply(entries []Entry, meta []byte) error                { return nil }
func (m *Machine) Applied() Position                                       { return Position{} }
func (m *Machine) Meta() []byte                                            { return nil }
func (m *Machine) Time() int64                                             { return 0 }
func (m *Machine) Read(req *Request, now int64) (agree bool, err error)    { return false, nil }
func (m *Machine) ExpireDue(now int64) bool                                { return false }
func (m *Machine) Flush() error                                            { return nil }
func (m *Machine) Durable() (Position, error)                              { return Position{}, nil }
func (m *Machine) Checkpoint(dir string) error                             { return nil }
func (m *Machine) Digest() (uint64, error)                                 { return 0, nil }
func (m *Machine) Stats() Stats                                            { return Stats{} }
func (m *Machine) Close() error                                            { return nil }
func Inspect(fs vfs.FS, dir string) (pos Position, meta []byte, err error) { return }
func Verify(fs vfs.FS, dir string) error                                   { return nil }

// DBStats counts the keys of one logical database.
type DBStats struct{ Keys, Expires int64 }

// Stats are figures of one machine since it was opened.
type Stats struct {
	DB                                                              [Databases]DBStats
	CacheBytes, CacheCapacity, CacheKeys                            int64
	CacheHits, CacheMisses                                          uint64
	DiskBytes, MemTableBytes, BlockCacheBytes                       int64
	Flushes, Compactions, CompactionDebtBytes, L0Sublevels, ReadAmp int64
	ExpiredKeys                                                     uint64
}

type Txn struct{}

func (tx *Txn) Now() int64                          { return 0 }
func (tx *Txn) Rand() uint64                        { return 0 }
func (tx *Txn) DB() int                             { return 0 }
func (tx *Txn) Use(db int) int                      { return 0 }
func (tx *Txn) Fail(err error)                      {}
func (tx *Txn) Lookup(key []byte) *Row              { return nil }
func (tx *Txn) Put(key []byte, row Row)             {}
func (tx *Txn) Delete(key []byte) bool              { return false }
func (tx *Txn) SetExpire(key []byte, at int64) bool { return false }
func (tx *Txn) Count(db int) int64                  { return 0 }
func (tx *Txn) Expires(db int) int64                { return 0 }
func (tx *Txn) FlushDB(db int)                      {}
func (tx *Txn) SwapDB(a, b int)                     {}
func (tx *Txn) RandomKey(r uint64) []byte           { return nil }
func (tx *Txn) Sweep(limit int) int                 { return 0 }
func (tx *Txn) Scan(cursor uint64, fn func(key []byte, row *Row) bool) (next uint64) {
	return 0
}
