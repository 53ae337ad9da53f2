package server

import "math"

// Redis's bounds on what a client sends, beside proto-max-bulk-len.
const (
	lineBytesMax = 64 << 10 // an inline command, or the header line of an array or a bulk string
	wordsMax     = 1 << 20  // elements of an array
	// requestSlack is what one request may have beyond proto-max-bulk-len: a value of the
	// greatest length together with its key and options.
	requestSlack = 1 << 20
)

// verdict is what scanner.scan found out.
type verdict uint8

const (
	needMore verdict = iota // the request goes on beyond the bytes given
	whole                   // a request ends here
	empty                   // an array without elements ends here: nothing to execute
	broken                  // the request violates the protocol, see scanner.violation
)

// state is where in a request the scanner stands.
type state uint8

const (
	inCount   state = iota // before the first byte, or in "*3"
	afterCR                // the count is known, its line feed is to come
	inHeader               // before or in "$5"
	afterBulk              // the length is known, its line feed is to come
	inBody                 // in the bytes of a bulk string or the CRLF after them
)

// scanner finds the ends of RESP arrays in a stream that arrives in pieces. It looks at each byte
// of a header once and jumps over the strings, so it costs little whatever the pieces are. It reads
// numbers exactly as Redis does. Like Redis it takes the CRLF after a string, and the line feed
// after a header, for granted; it puts the right bytes there, since redcon insists on them.
type scanner struct {
	state     state
	first     byte   // of the header line of a bulk string
	negative  bool   // the number in this line has a minus
	badNumber bool   // ... can't be one
	digits    uint8  // ... has this many digits
	number    uint64 // ... its value without the sign
	line      int    // bytes of this line so far
	words     int64  // bulk strings to come
	body      int64  // bytes of this bulk string to come, CRLF included
	size      int64  // bytes of this request so far

	violation string // Redis's text, set together with the verdict broken
}

// scan looks at the next bytes of the stream, up to the end of a request. It returns how many it
// has consumed; all of them unless the verdict is whole, empty or broken. After whole and empty it
// stands before the next request, which must start with '*'. bulkMax is proto-max-bulk-len.
func (s *scanner) scan(b []byte, bulkMax int64) (int, verdict) {
	if s.state == inCount && s.line == 0 {
		if n := usualRequest(b); n > 0 {
			return n, whole
		}
	}
	i := 0
	for i < len(b) {
		switch s.state {
		case inCount, inHeader:
			n, found := s.scanLine(b[i:])
			i += n
			if s.line > lineBytesMax {
				return i, s.breaks(s.lineTooLong())
			}
			if found {
				s.state++
			}
		case afterCR:
			b[i] = '\n'
			i++
			if v := s.startArray(); v != needMore {
				return i, v
			}
		case afterBulk:
			b[i] = '\n'
			i++
			if v := s.startBulk(int64(i), bulkMax); v != needMore {
				return i, v
			}
		case inBody:
			i += s.skip(b[i:])
			if s.body == 0 && s.endBulk() {
				return i, whole
			}
		}
	}
	s.size += int64(i)
	return i, needMore
}

// usualRequest returns the length of the request at the start of b if all of it is there, it is
// well-formed, and no number has more than five digits, so that none is too great. It returns 0 in all other cases, which the
// scanner has to look at. It is there for speed only.
func usualRequest(b []byte) int {
	words, i := usualNumber(b, 1)
	if words == 0 {
		return 0
	}
	for ; words > 0; words-- {
		if i >= len(b) || b[i] != '$' {
			return 0
		}
		length, start := usualNumber(b, i+1)
		if i = start + length + 2; start == 0 || i > len(b) || b[i-2] != '\r' || b[i-1] != '\n' {
			return 0
		}
	}
	return i
}

// usualNumber reads the number at b[i:] and the CRLF after it. It returns where the next line
// starts, 0 if this is no such number.
func usualNumber(b []byte, i int) (n, next int) {
	for start := i; i+1 < len(b); i++ {
		d := b[i] - '0'
		if d > 9 {
			if b[i] != '\r' || b[i+1] != '\n' || i == start || i > start+5 ||
				b[start] == '0' && i > start+1 {
				break
			}
			return n, i + 2
		}
		n = n*10 + int(d)
	}
	return 0, 0
}

// scanLine consumes a header line up to its carriage return, which is consumed as well. What makes
// the line invalid is overwritten: redcon may see a part of it, and must not answer in our place.
func (s *scanner) scanLine(b []byte) (n int, found bool) {
	if s.line == 0 {
		s.first = b[0] // '*' or what should be '$'
		if s.state == inHeader {
			b[0] = '$'
		}
		if s.first == '\r' {
			return 1, true
		}
		s.line, n = 1, 1
	}
	for n < len(b) && b[n] != '\r' {
		if s.digit(b[n]); b[n] == '\n' {
			b[n] = ' '
		}
		s.line++
		n++
	}
	if n == len(b) {
		return n, false
	}
	return n + 1, true
}

// digit adds a byte to the number of this line. As in Redis there are no plus signs, no spaces
// and no leading zeros.
func (s *scanner) digit(c byte) {
	d := uint64(c - '0')
	switch {
	case c == '-' && s.digits == 0 && !s.negative:
		s.negative = true
		return
	case d > 9, s.digits == 19, s.digits == 1 && s.number == 0, d == 0 && s.negative && s.digits == 0:
		s.badNumber = true
		return
	}
	s.number = s.number*10 + d
	s.digits++
}

// value returns the number of this line and gets ready for the next line.
func (s *scanner) value() (v int64, ok bool) {
	ok = !s.badNumber && s.digits > 0
	switch {
	case s.negative && s.number <= math.MaxInt64+1:
		v = -int64(s.number)
	case !s.negative && s.number <= math.MaxInt64:
		v = int64(s.number)
	default:
		ok = false
	}
	s.negative, s.badNumber, s.digits, s.number, s.line = false, false, 0, 0, 0
	return v, ok
}

func (s *scanner) startArray() verdict {
	words, ok := s.value()
	if !ok || words > wordsMax {
		return s.breaks("invalid multibulk length")
	}
	if words <= 0 {
		*s = scanner{}
		return empty
	}
	s.words, s.state = words, inHeader
	return needMore
}

// startBulk begins a bulk string; done is how much of the request the current piece had so far.
func (s *scanner) startBulk(done, bulkMax int64) verdict {
	first := s.first
	length, ok := s.value()
	switch {
	case first == '\r' || first == '\n':
		return s.breaks("expected '$', got ' '") // line breaks can't be in an error's text
	case first != '$':
		return s.breaks("expected '$', got '" + string([]byte{first}) + "'")
	case !ok || length < 0 || length > bulkMax:
		return s.breaks("invalid bulk length")
	case s.size+done+length > bulkMax+requestSlack:
		return s.breaks("too big request")
	}
	s.body, s.state = length+2, inBody
	return needMore
}

// skip goes over what there is of a bulk string and sees to the CRLF after it.
func (s *scanner) skip(b []byte) int {
	n := int(min(int64(len(b)), s.body))
	s.body -= int64(n)
	switch s.body {
	case 0:
		b[n-1] = '\n'
		if n > 1 {
			b[n-2] = '\r'
		}
	case 1:
		b[n-1] = '\r'
	}
	return n
}

// endBulk goes on to the next bulk string; it reports whether there was none.
func (s *scanner) endBulk() bool {
	if s.words--; s.words == 0 {
		*s = scanner{}
		return true
	}
	s.state = inHeader
	return false
}

func (s *scanner) lineTooLong() string {
	if s.state == inCount {
		return "too big mbulk count string"
	}
	return "too big bulk count string"
}

func (s *scanner) breaks(text string) verdict {
	s.violation = text
	return broken
}
