package resp

// Stream is an aggregate that is too large to be held in memory: its elements are made piece by piece, while they are
// written.
type Stream struct {
	Kind Kind  // Array, Set, Map, Pairs or PairMap
	Len  int64 // of elements, as in Reply.Elems
	// Next returns the elements that come next, none after the last one; of a Map or of Pairs whole pairs. After an
	// error the rest of the reply can't be made, and its client has to be disconnected.
	Next func() ([]Reply, error)
	// Close gives back what the elements are made from. It is called once, after the last use of Next.
	Close func()
}

// NewStream answers with an aggregate that is made while it is written.
func NewStream(s *Stream) Reply { return Reply{Kind: s.Kind, Stream: s} }

// AppendHead writes what stands before the elements.
func (s *Stream) AppendHead(dst []byte, proto int) []byte {
	mark, count := aggregateMark(s.Kind, int(s.Len), proto)
	return appendNumber(dst, mark, int64(count))
}

// AppendNext writes some elements, and says whether there may be more.
func (s *Stream) AppendNext(dst []byte, proto int) (_ []byte, more bool, err error) {
	elems, err := s.Next()
	if err != nil || len(elems) == 0 {
		return dst, false, err
	}
	if isNested(s.Kind, proto) {
		return appendPairs(dst, elems, proto), true, nil
	}
	for i := range elems {
		dst = elems[i].append(dst, proto)
	}
	return dst, true, nil
}

// append writes all of it, for those who have the memory. After an error it is cut short.
func (s *Stream) append(dst []byte, proto int) []byte {
	defer s.Close()
	dst = s.AppendHead(dst, proto)
	for more := true; more; {
		dst, more, _ = s.AppendNext(dst, proto)
	}
	return dst
}
