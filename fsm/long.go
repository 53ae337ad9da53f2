package fsm

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"redoubt/resp"
)

const (
	// longBytes is about how much of a reply is made at once. One that is longer becomes a stream.
	longBytes = 1 << 20
	// pieceBytes is about how much a stream makes at a time.
	pieceBytes = 64 << 10
)

// Each calls yield with the elements of an aggregate from a rank on until yield returns false, as tx has them. Each
// rank has one element, or, in a Map and in Pairs, two.
type Each func(tx *Txn, from int64, yield func(resp.Reply) bool)

// Long answers with an aggregate of so many ranks. One that is too large to be held in memory becomes a stream, for which
// each is called again and again, on a transaction that has the same state: then it must find by itself
// what it works on. Only reads can do that; what they do in the middle of writes is made as a whole.
func (tx *Txn) Long(kind resp.Kind, ranks int64, each Each) resp.Reply {
	p := piece{width: 1, limit: longBytes}
	if kind == resp.Map || kind == resp.Pairs {
		p.width = 2
	}
	p.elems = make([]resp.Reply, 0, min(ranks*p.width, longBytes/replyBytes))
	if tx.pending != nil || tx.snapshot != nil || tx.whole {
		p.limit = 0
	}
	each(tx, 0, p.add)
	if !p.full || int64(len(p.elems)) == ranks*p.width || !tx.settled() {
		return resp.Reply{Kind: kind, Elems: p.elems}
	}
	v := tx.m.newView(tx)
	from := int64(0)
	next := func() ([]resp.Reply, error) {
		p := piece{width: p.width, limit: pieceBytes}
		err := v.read(func(tx *Txn) { each(tx, from, p.add) })
		from += int64(len(p.elems)) / p.width
		return p.elems, err
	}
	return resp.NewStream(&resp.Stream{Kind: kind, Len: ranks * p.width, Next: next, Close: v.close})
}

// piece collects elements up to about a number of bytes; 0 stands for no bound.
type piece struct {
	width, bytes, limit int64
	elems               []resp.Reply
	full                bool
}

// replyBytes is about what an element takes beside its text.
const replyBytes = 128

func (p *piece) add(r resp.Reply) bool {
	p.elems = append(p.elems, r)
	p.bytes += sizeOf(&r)
	p.full = p.limit > 0 && p.bytes >= p.limit && int64(len(p.elems))%p.width == 0
	return !p.full
}

func sizeOf(r *resp.Reply) int64 {
	size := replyBytes + int64(len(r.Bytes)+len(r.Text))
	for i := range r.Elems {
		size += sizeOf(&r.Elems[i])
	}
	return size
}

// view is the state of a moment, for as long as a reply is being written.
type view struct {
	mu       sync.Mutex
	tx       *Txn
	ks       keyspace
	snapshot *pebble.Snapshot // nil when closed
}

// newView is what tx, a read, sees. The engine has it all: see settled.
func (m *Machine) newView(tx *Txn) *view {
	v := &view{ks: *tx.ks, snapshot: m.db.NewSnapshot()}
	v.tx = &Txn{m: m, ks: &v.ks, db: tx.db, now: tx.now, agreed: tx.agreed, snapshot: v.snapshot}
	m.views.Store(v, nil)
	return v
}

// read runs fn on the state. It fails when the machine was closed in the meantime.
func (v *view) read(fn func(tx *Txn)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.snapshot == nil {
		return ErrClosed
	}
	fn(v.tx)
	return v.tx.err
}

// close lets go of the state. It may be called again.
func (v *view) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.snapshot != nil {
		v.snapshot.Close() // fails only when it is closed already
		v.snapshot = nil
		v.tx.m.views.Delete(v)
	}
}

// closeViews ends all streams: their clients get a part of the reply and an end of the connection.
func (m *Machine) closeViews() {
	m.views.Range(func(v, _ any) bool {
		v.(*view).close()
		return true
	})
}

// Discard drops replies that no one will get.
func (r *Request) Discard() {
	for i := range r.Replies {
		if s := r.Replies[i].Stream; s != nil {
			s.Close()
		}
	}
	clear(r.Replies)
	r.Replies = r.Replies[:0]
}
