package rdb

import (
	"encoding/binary"
	"strconv"
)

// StreamID is the id of an entry of a stream.
type StreamID struct{ MS, Seq uint64 }

func (id StreamID) less(other StreamID) bool {
	return id.MS < other.MS || id.MS == other.MS && id.Seq < other.Seq
}

// StreamInfo is what a stream has beside its entries.
type StreamInfo struct {
	LastID, FirstID, MaxDeletedID StreamID
	EntriesAdded                  uint64
	Groups                        []Group
}

// Group is a consumer group.
type Group struct {
	Name        []byte
	LastID      StreamID
	EntriesRead int64 // -1: not known
	Pending     []Pending
	Consumers   []Consumer
}

// Pending is an entry that was given to a consumer and not acknowledged.
type Pending struct {
	ID        StreamID
	Consumer  int   // which one of the group's
	Delivered int64 // the time, milliseconds since 1970
	Count     uint64
}

// Consumer is one of a group. The times are milliseconds since 1970.
type Consumer struct {
	Name       []byte
	SeenTime   int64
	ActiveTime int64 // -1: never
}

// streamItemsMax bounds the fields of an entry.
const streamItemsMax = 1 << 20

// An entry of a listpack of a stream says what it is.
const (
	entryDeleted    = 1
	entrySameFields = 2 // as the first of the listpack
)

// stream reads a stream, and returns what it has beside its entries.
func (r *reader) stream(form byte, yield func(id StreamID, fields [][]byte) bool) *StreamInfo {
	s := &StreamInfo{}
	var last, first StreamID
	count := uint64(0)
	r.entries(func(id StreamID, fields [][]byte) bool {
		if count > 0 && !last.less(id) {
			r.fail()
			return false
		}
		if count == 0 {
			first = id
		}
		last = id
		count++
		return yield(id, fields)
	})
	if n := r.length(); n != count {
		r.fail()
	}
	s.LastID = r.id()
	if s.LastID.less(last) {
		r.fail()
	}
	if form == typeStream {
		s.FirstID, s.EntriesAdded = first, count
	} else {
		s.FirstID, s.MaxDeletedID = r.id(), r.id()
		s.EntriesAdded = r.length()
	}
	names := make(map[string]bool)
	for n := r.length(); n > 0 && !r.bad; n-- {
		g := r.group(form, s)
		if names[string(g.Name)] {
			r.fail()
		}
		names[string(g.Name)] = true
		s.Groups = append(s.Groups, g)
	}
	return s
}

// id reads an id as two lengths.
func (r *reader) id() StreamID { return StreamID{r.length(), r.length()} }

// rawID reads an id as 16 bytes.
func (r *reader) rawID() StreamID { return idOf(r.take(16)) }

func idOf(b []byte) StreamID {
	if len(b) != 16 {
		return StreamID{}
	}
	return StreamID{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// entries goes over the listpacks of a stream.
func (r *reader) entries(yield func(id StreamID, fields [][]byte) bool) {
	more := true
	for n := r.length(); n > 0 && more && !r.bad; n-- {
		name := r.string()
		if len(name) != 16 {
			r.fail()
			return
		}
		more = r.streamNode(idOf(name), r.openListpack(r.string()), yield)
	}
}

// streamNode goes over a listpack: the number of entries, that of deleted ones, the fields of the first, 0, and the
// entries, whose ids are relative to the name of the listpack.
func (r *reader) streamNode(name StreamID, l *listpack, yield func(id StreamID, fields [][]byte) bool) bool {
	live, deleted := l.integer(), l.integer()
	common := l.items(nil, l.integer())
	if l.integer() != 0 || live < 0 || deleted < 0 {
		r.fail()
	}
	var fields [][]byte
	for n := uint64(live) + uint64(deleted); n > 0 && !r.bad; n-- {
		flags := l.integer()
		id := StreamID{name.MS + uint64(l.integer()), name.Seq + uint64(l.integer())}
		fields = fields[:0]
		words := int64(3)
		if flags&entrySameFields != 0 {
			for _, field := range common {
				value, _ := l.next()
				fields = append(fields, field, value)
			}
			words += int64(len(common))
		} else {
			count := l.integer()
			if count < 0 || count > streamItemsMax {
				r.fail()
			}
			fields = l.items(fields, 2*count)
			words += 1 + 2*count
		}
		if back := l.integer(); back != words || r.bad {
			r.fail()
			return false
		}
		if flags&entryDeleted == 0 {
			if live--; !yield(id, fields) {
				return false
			}
		}
	}
	if _, is := l.next(); is || live != 0 {
		r.fail()
	}
	return !r.bad
}

// integer returns the next entry, which must be an integer.
func (l *listpack) integer() int64 {
	entry, _ := l.next()
	v, err := strconv.ParseInt(string(entry), 10, 64)
	if err != nil {
		l.r.fail()
	}
	return v
}

// items adds so many entries.
func (l *listpack) items(dst [][]byte, n int64) [][]byte {
	if n < 0 || n > 2*streamItemsMax {
		l.r.fail()
	}
	for ; n > 0 && !l.r.bad; n-- {
		entry, ok := l.next()
		if !ok {
			l.r.fail()
		}
		dst = append(dst, entry)
	}
	return dst
}

// group reads a group of a stream.
func (r *reader) group(form byte, s *StreamInfo) Group {
	g := Group{Name: r.string(), LastID: r.id(), EntriesRead: -1}
	if form != typeStream {
		g.EntriesRead = int64(r.length())
	} else {
		g.EntriesRead = s.readBefore(g.LastID)
	}
	for n := r.length(); n > 0 && !r.bad; n-- {
		p := Pending{ID: r.rawID(), Consumer: -1, Delivered: int64(r.uint64()), Count: r.length()}
		if len(g.Pending) > 0 && !g.Pending[len(g.Pending)-1].ID.less(p.ID) {
			r.fail()
		}
		g.Pending = append(g.Pending, p)
	}
	names := make(map[string]bool)
	for n := r.length(); n > 0 && !r.bad; n-- {
		c := Consumer{Name: r.string(), SeenTime: int64(r.uint64())}
		c.ActiveTime = c.SeenTime
		if form == typeStream3 {
			c.ActiveTime = int64(r.uint64())
		}
		if names[string(c.Name)] {
			r.fail()
		}
		names[string(c.Name)] = true
		r.owned(&g, len(g.Consumers))
		g.Consumers = append(g.Consumers, c)
	}
	for _, p := range g.Pending {
		if p.Consumer < 0 {
			r.fail()
		}
	}
	return g
}

// owned reads which pending entries a consumer has: in order, as all of them are.
func (r *reader) owned(g *Group, consumer int) {
	at := 0
	for n := r.length(); n > 0 && !r.bad; n-- {
		id := r.rawID()
		at += find(g.Pending[at:], id)
		if at == len(g.Pending) || g.Pending[at].ID != id || g.Pending[at].Consumer >= 0 {
			r.fail()
			return
		}
		g.Pending[at].Consumer = consumer
		at++
	}
}

// find is the index of the first entry that is not before an id.
func find(pending []Pending, id StreamID) int {
	low, high := 0, len(pending)
	for low < high {
		if mid := (low + high) / 2; pending[mid].ID.less(id) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// readBefore is how many entries a group has read of a stream without such a counter, -1 if nobody can tell.
func (s *StreamInfo) readBefore(last StreamID) int64 {
	switch {
	case s.EntriesAdded == 0, last.less(s.FirstID):
		return 0
	case last == s.LastID:
		return int64(s.EntriesAdded)
	case last == s.FirstID:
		return 1
	}
	return -1
}
