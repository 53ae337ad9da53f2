package rdb

import (
	"iter"
	"math"
	"slices"
)

// Value is a serialised value that was found to be in order. Its parts are read when they are asked for, and alias
// the payload.
type Value struct {
	Kind   Kind
	Len    int         // elements of a list, set or sorted set, fields of a hash, entries of a stream
	Packed bool        // it is one listpack, ziplist or zipmap
	Nodes  int         // of a quicklist
	Stream *StreamInfo // what a stream has beside its entries

	form byte
	body []byte
}

// kinds are those of the forms.
var kinds = map[byte]Kind{
	typeString: String,
	typeList:   List, typeListZiplist: List, typeListQuicklist: List, typeListQuicklist2: List,
	typeSet: Set, typeSetIntset: Set, typeSetListpack: Set,
	typeZSet: ZSet, typeZSet2: ZSet, typeZSetZiplist: ZSet, typeZSetListpack: ZSet,
	typeHash: Hash, typeHashZipmap: Hash, typeHashZiplist: Hash, typeHashListpack: Hash,
	typeStream: Stream, typeStream2: Stream, typeStream3: Stream,
}

// Open checks a payload, all of it, and returns the value in it. The error is ErrFooter or ErrFormat.
func Open(payload []byte) (*Value, error) {
	b, err := unseal(payload)
	if err != nil {
		return nil, err
	}
	return Parse(b)
}

// Parse checks a serialised value, all of it. The error is ErrFormat.
func Parse(b []byte) (*Value, error) {
	if len(b) == 0 || kinds[b[0]] == 0 {
		return nil, ErrFormat
	}
	v := &Value{Kind: kinds[b[0]], form: b[0], body: b[1:]}
	if !v.check() {
		return nil, ErrFormat
	}
	return v, nil
}

// check reads everything once.
func (v *Value) check() bool {
	r := &reader{b: v.body}
	switch v.form {
	case typeListZiplist, typeHashZiplist, typeZSetZiplist, typeHashZipmap, typeHashListpack, typeSetListpack, typeZSetListpack:
		v.Packed = true
	}
	switch v.Kind {
	case String:
		return len(r.string()) <= StringBytesMax && !r.bad
	case Stream:
		v.Stream = r.stream(v.form, func(StreamID, [][]byte) bool {
			v.Len++
			return true
		})
		return !r.bad
	}
	var hashes []uint64
	v.walk(r, func(p part) bool {
		v.Len++
		if v.Kind != List {
			hashes = append(hashes, hash(p.element))
		}
		if math.IsNaN(p.score) || max(len(p.element), len(p.value)) > StringBytesMax {
			r.fail()
		}
		return !r.bad
	})
	if r.bad || v.Len == 0 {
		return false
	}
	v.Nodes = r.nodes
	slices.Sort(hashes)
	return len(slices.Compact(hashes)) == len(hashes)
}

// hash is FNV-1a. No element may be there twice, and to see that it must be the same everywhere.
func hash(b []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return h
}

// String returns the bytes of a string.
func (v *Value) String() []byte { return (&reader{b: v.body}).string() }

// Elements are those of a list, in order, or of a set.
func (v *Value) Elements() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		v.walk(&reader{b: v.body}, func(p part) bool { return yield(p.element) })
	}
}

// Fields are the fields of a hash and their values.
func (v *Value) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(field, value []byte) bool) {
		v.walk(&reader{b: v.body}, func(p part) bool { return yield(p.element, p.value) })
	}
}

// Members are those of a sorted set and their scores, in any order.
func (v *Value) Members() iter.Seq2[[]byte, float64] {
	return func(yield func(member []byte, score float64) bool) {
		v.walk(&reader{b: v.body}, func(p part) bool { return yield(p.element, p.score) })
	}
}

// Entries are those of a stream, with fields and values in turns. The slice is used again for the next entry.
func (v *Value) Entries() iter.Seq2[StreamID, [][]byte] {
	return func(yield func(id StreamID, fields [][]byte) bool) {
		(&reader{b: v.body}).entries(yield)
	}
}

// part is an element of a list or a set, a field and its value, or a member and its score.
type part struct {
	element, value []byte
	score          float64
}

// walk goes over the parts of a value.
func (v *Value) walk(r *reader, yield func(p part) bool) {
	switch v.form {
	case typeZSet, typeZSet2:
		more := true
		for n := r.length(); n > 0 && more && !r.bad; n-- {
			p := part{element: r.string()}
			if v.form == typeZSet {
				p.score = r.textScore()
			} else {
				p.score = math.Float64frombits(r.uint64())
			}
			more = !r.bad && yield(p)
		}
		return
	}
	var p part
	half := false // there is a field without its value yet
	r.items(v.form, func(item []byte) bool {
		switch {
		case v.Kind != Hash && v.Kind != ZSet:
			return yield(part{element: item})
		case !half:
			p.element, half = item, true
			return true
		case v.Kind == ZSet:
			p.score = r.score(item)
		default:
			p.value = item
		}
		half = false
		return yield(p)
	})
	if half {
		r.fail()
	}
}

// items goes over the strings that a form consists of.
func (r *reader) items(form byte, yield func(item []byte) bool) {
	switch form {
	case typeList, typeSet, typeHash:
		n := r.length()
		if n > uint64(len(r.b)) {
			r.fail()
		}
		if form == typeHash {
			n *= 2
		}
		for more := true; n > 0 && more && !r.bad; n-- {
			item := r.string()
			more = !r.bad && yield(item)
		}
	case typeListQuicklist, typeListQuicklist2:
		more := true
		for n := r.length(); n > 0 && more && !r.bad; n-- {
			r.quicklistNode(form, func(item []byte) bool {
				more = yield(item)
				return more
			})
		}
	case typeHashZipmap:
		r.zipmap(r.string(), yield)
	case typeSetIntset:
		r.intset(r.string(), yield)
	case typeListZiplist, typeHashZiplist, typeZSetZiplist:
		r.ziplist(r.string(), yield)
	default:
		r.listpack(r.string(), yield)
	}
}

// What a node of a quicklist is.
const (
	nodePlain  = 1 // one large element
	nodePacked = 2 // a listpack
)

func (r *reader) quicklistNode(form byte, yield func(item []byte) bool) {
	r.nodes++
	if form == typeListQuicklist {
		r.ziplist(r.string(), yield)
		return
	}
	switch node := r.length(); node {
	case nodePacked:
		r.listpack(r.string(), yield)
	case nodePlain:
		if item := r.string(); len(item) > 0 {
			yield(item)
			return
		}
		r.fail()
	default:
		r.fail()
	}
}
