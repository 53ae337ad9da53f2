package command

import (
	"encoding/binary"
	"errors"
	"math"

	"redoubt/resp"
)

// Replies are stored with sessions in a form of their own, since the one who asks again may speak another version of
// RESP. Each is a letter, which is a part of the stored format, and what its kind has: a number as a varint, bytes with their
// length before them, elements with their count before them.
var storedKinds = map[resp.Kind]byte{
	resp.None: '0', resp.Null: '_', resp.NullArray: 'n', resp.Simple: '+', resp.Error: '-', resp.Integer: ':',
	resp.Bulk: '$', resp.Array: '*', resp.Map: '%', resp.Set: '~', resp.Push: '>', resp.Pairs: 'p', resp.PairMap: 'm',
	resp.Double: ',', resp.Boolean: '#', resp.BigNumber: '(', resp.Verbatim: '=',
}

// kindsStored is the inverse of storedKinds.
var kindsStored = func() (kinds [256]struct {
	kind resp.Kind
	ok   bool
}) {
	for kind, letter := range storedKinds {
		kinds[letter].kind, kinds[letter].ok = kind, true
	}
	return kinds
}()

var errStored = errors.New("damaged stored reply")

// appendStored writes a reply at the end of dst. It is false when it would be longer than limit, or can't be stored.
func appendStored(dst []byte, r *resp.Reply, limit int) ([]byte, bool) {
	if len(dst)+len(r.Text)+len(r.Bytes)+len(r.Elems) > limit || r.Stream != nil {
		return dst, false
	}
	dst = append(dst, storedKinds[r.Kind])
	switch r.Kind {
	case resp.None, resp.Null, resp.NullArray:
	case resp.Integer, resp.Boolean:
		dst = binary.AppendVarint(dst, r.Int)
	case resp.Array, resp.Map, resp.Set, resp.Push, resp.Pairs, resp.PairMap:
		dst = binary.AppendUvarint(dst, uint64(len(r.Elems)))
		for i := range r.Elems {
			var ok bool
			if dst, ok = appendStored(dst, &r.Elems[i], limit); !ok {
				return dst, false
			}
		}
	default:
		if r.Kind == resp.Double {
			dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(r.Float))
		}
		dst = binary.AppendUvarint(dst, uint64(len(r.Text)+len(r.Bytes)))
		dst = append(append(dst, r.Text...), r.Bytes...)
	}
	return dst, len(dst) <= limit
}

// parseStored reads a reply that appendStored has written, and nothing else.
func parseStored(b []byte) (resp.Reply, error) {
	s := storedReader{rest: b}
	r := s.reply(0)
	if s.damaged || len(s.rest) > 0 {
		return resp.Reply{}, errStored
	}
	return r, nil
}

// storedReader takes stored replies apart.
type storedReader struct {
	rest    []byte
	damaged bool
}

// storedDepthMax is how deep replies are nested at most, in a stored one.
const storedDepthMax = 64

func (s *storedReader) take(n uint64) []byte {
	if s.damaged || n > uint64(len(s.rest)) {
		s.damaged = true
		return nil
	}
	b := s.rest[:n:n]
	s.rest = s.rest[n:]
	return b
}

func (s *storedReader) number() uint64 {
	n, size := binary.Uvarint(s.rest)
	if size <= 0 {
		s.damaged = true
		return 0
	}
	s.take(uint64(size))
	return n
}

func (s *storedReader) reply(depth int) (r resp.Reply) {
	letter := s.take(1)
	if s.damaged || depth > storedDepthMax || !kindsStored[letter[0]].ok {
		s.damaged = true
		return r
	}
	r.Kind = kindsStored[letter[0]].kind
	switch r.Kind {
	case resp.None, resp.Null, resp.NullArray:
	case resp.Integer, resp.Boolean:
		n := s.number()
		r.Int = int64(n>>1) ^ -int64(n&1)
	case resp.Array, resp.Map, resp.Set, resp.Push, resp.Pairs, resp.PairMap:
		count := s.number()
		if count > uint64(len(s.rest)) { // each takes a byte at least
			s.damaged = true
			return r
		}
		r.Elems = make([]resp.Reply, 0, count)
		for i := uint64(0); i < count && !s.damaged; i++ {
			r.Elems = append(r.Elems, s.reply(depth+1))
		}
	case resp.Bulk:
		r.Bytes = s.take(s.number())
	case resp.Double:
		if bits := s.take(8); !s.damaged {
			r.Float = math.Float64frombits(binary.BigEndian.Uint64(bits))
		}
		r.Text = string(s.take(s.number()))
	default:
		r.Text = string(s.take(s.number()))
	}
	return r
}
