package script

import "strings"

// Limits of pattern matching. Each step is paid for: some patterns take a time that is a power of
// the length of the string.
const (
	maxCaptures    = 32
	maxMatchDepth  = 20000
	captureOpen    = -1
	capturePlace   = -2
	patternSpecial = "^$*+?.([%-"
)

// matcher finds a pattern of Lua 5.1 in a string.
type matcher struct {
	th       *thread
	src, pat string
	level    int
	depth    int
	capture  [maxCaptures]struct{ start, length int }
}

// patternEnd is the byte after the single character class at p.
func (m *matcher) classEnd(p int) int {
	c, start := m.pat[p], p
	p++
	switch c {
	case '%':
		if p >= len(m.pat) {
			m.th.fail("malformed pattern (ends with '%%')")
		}
		return p + 1
	case '[':
		if p < len(m.pat) && m.pat[p] == '^' {
			p++
		}
		for first := true; first || p >= len(m.pat) || m.pat[p] != ']'; first = false {
			if p >= len(m.pat) {
				m.th.fail("malformed pattern (missing ']')")
			}
			p++
			if m.pat[p-1] == '%' && p < len(m.pat) {
				p++
			}
		}
		m.th.r.chargeBytes(p - start)
		return p + 1
	}
	return p
}

func isClass(c, class byte) bool {
	var in bool
	lower := class | 0x20
	switch {
	case class|0x20 < 'a' || class|0x20 > 'z':
		return class == c
	case lower == 'a':
		in = 'a' <= c|0x20 && c|0x20 <= 'z'
	case lower == 'c':
		in = c < 32 || c == 127
	case lower == 'd':
		in = '0' <= c && c <= '9'
	case lower == 'l':
		in = 'a' <= c && c <= 'z'
	case lower == 'p':
		in = c > 32 && c < 127 && !isAlnum(int(c)) || c == '_'
	case lower == 's':
		in = strings.IndexByte(spaces, c) >= 0
	case lower == 'u':
		in = 'A' <= c && c <= 'Z'
	case lower == 'w':
		in = isAlnum(int(c)) && c != '_'
	case lower == 'x':
		in = isHex(c)
	case lower == 'z':
		in = c == 0
	default:
		return class == c
	}
	return in == (class == lower)
}

// inSet says whether c is in the set from p, at '[', to end, at ']'.
func (m *matcher) inSet(c byte, p, end int) bool {
	found := true
	p++
	if m.pat[p] == '^' {
		found = false
		p++
	}
	for ; p < end; p++ {
		m.th.r.charge(1)
		switch {
		case m.pat[p] == '%':
			p++
			if isClass(c, m.pat[p]) {
				return found
			}
		case p+2 < end && m.pat[p+1] == '-':
			if m.pat[p] <= c && c <= m.pat[p+2] {
				return found
			}
			p += 2
		case m.pat[p] == c:
			return found
		}
	}
	return !found
}

func (m *matcher) single(s, p, end int) bool {
	m.th.r.charge(1)
	if s >= len(m.src) {
		return false
	}
	c := m.src[s]
	switch m.pat[p] {
	case '.':
		return true
	case '%':
		return isClass(c, m.pat[p+1])
	case '[':
		return m.inSet(c, p, end-1)
	}
	return m.pat[p] == c
}

// match is where the pattern from p on ends in the string from s on, or -1.
func (m *matcher) match(s, p int) int {
	m.depth++
	defer func() { m.depth-- }()
	if m.depth > maxMatchDepth {
		m.th.fail("pattern too complex")
	}
	for {
		m.th.r.charge(1)
		if p >= len(m.pat) {
			return s
		}
		switch m.pat[p] {
		case '(':
			if p+1 < len(m.pat) && m.pat[p+1] == ')' {
				return m.open(s, p+2, capturePlace)
			}
			return m.open(s, p+1, captureOpen)
		case ')':
			return m.closeCapture(s, p+1)
		case '$':
			if p+1 == len(m.pat) {
				if s == len(m.src) {
					return s
				}
				return -1
			}
		case '%':
			if next, end, ok := m.special(s, p); ok {
				if next < 0 {
					return -1
				}
				s, p = next, end
				continue
			}
		}
		end := m.classEnd(p)
		repeat := byte(0)
		if end < len(m.pat) {
			repeat = m.pat[end]
		}
		switch repeat {
		case '?':
			if m.single(s, p, end) {
				if r := m.match(s+1, end+1); r >= 0 {
					return r
				}
			}
			p = end + 1
		case '*':
			return m.most(s, p, end)
		case '+':
			if !m.single(s, p, end) {
				return -1
			}
			return m.most(s+1, p, end)
		case '-':
			return m.least(s, p, end)
		default:
			if !m.single(s, p, end) {
				return -1
			}
			s++
			p = end
		}
	}
}

// special matches %b, %f and %1; ok is false for everything else.
func (m *matcher) special(s, p int) (next, end int, ok bool) {
	if p+1 >= len(m.pat) {
		return 0, 0, false
	}
	switch c := m.pat[p+1]; {
	case c == 'b':
		return m.balance(s, p+2), p + 4, true
	case c == 'f':
		end, ok := m.frontier(s, p+2)
		if !ok {
			s = -1
		}
		return s, end, true
	case '0' <= c && c <= '9':
		return m.back(s, c), p + 2, true
	}
	return 0, 0, false
}

func (m *matcher) most(s, p, end int) int {
	i := 0
	for m.single(s+i, p, end) {
		i++
	}
	for ; i >= 0; i-- {
		if r := m.match(s+i, end+1); r >= 0 {
			return r
		}
	}
	return -1
}

func (m *matcher) least(s, p, end int) int {
	for {
		if r := m.match(s, end+1); r >= 0 {
			return r
		}
		if !m.single(s, p, end) {
			return -1
		}
		s++
	}
}

func (m *matcher) open(s, p, what int) int {
	if m.level >= maxCaptures {
		m.th.fail("too many captures")
	}
	m.capture[m.level].start, m.capture[m.level].length = s, what
	m.level++
	r := m.match(s, p)
	if r < 0 {
		m.level--
	}
	return r
}

func (m *matcher) closeCapture(s, p int) int {
	l := m.level - 1
	for ; l >= 0 && m.capture[l].length != captureOpen; l-- {
	}
	if l < 0 {
		m.th.fail("invalid pattern capture")
	}
	m.capture[l].length = s - m.capture[l].start
	r := m.match(s, p)
	if r < 0 {
		m.capture[l].length = captureOpen
	}
	return r
}

func (m *matcher) balance(s, p int) int {
	if p+1 >= len(m.pat) {
		m.th.fail("unbalanced pattern")
	}
	if s >= len(m.src) || m.src[s] != m.pat[p] {
		return -1
	}
	begin, end, open := m.pat[p], m.pat[p+1], 1
	for i := s + 1; i < len(m.src); i++ {
		m.th.r.charge(1)
		switch m.src[i] {
		case end:
			open--
			if open == 0 {
				return i + 1
			}
		case begin:
			open++
		}
	}
	return -1
}

func (m *matcher) frontier(s, p int) (end int, ok bool) {
	if p >= len(m.pat) || m.pat[p] != '[' {
		m.th.fail("missing '[' after '%%f' in pattern")
	}
	end = m.classEnd(p)
	before, here := byte(0), byte(0)
	if s > 0 {
		before = m.src[s-1]
	}
	if s < len(m.src) {
		here = m.src[s]
	}
	return end, !m.inSet(before, p, end-1) && m.inSet(here, p, end-1)
}

func (m *matcher) back(s int, c byte) int {
	l := int(c) - '1'
	if l < 0 || l >= m.level || m.capture[l].length == captureOpen {
		m.th.fail("invalid capture index")
	}
	had := m.src[m.capture[l].start:][:max(0, m.capture[l].length)]
	m.th.r.chargeBytes(len(had))
	if m.capture[l].length < 0 || !strings.HasPrefix(m.src[s:], had) {
		return -1
	}
	return s + len(had)
}

// captured is one capture; the whole match stands for the first when there is none.
func (m *matcher) captured(i, s, e int) value {
	if i >= m.level {
		if i != 0 {
			m.th.fail("invalid capture index")
		}
		return m.th.r.newString(m.src[s:e])
	}
	c := m.capture[i]
	switch c.length {
	case captureOpen:
		m.th.fail("unfinished capture")
	case capturePlace:
		return number(float64(c.start + 1))
	}
	return m.th.r.newString(m.src[c.start : c.start+c.length])
}

// captures are all of them; whole says that the match stands for them if there are none.
func (m *matcher) captures(s, e int, whole bool) []value {
	n := m.level
	if n == 0 && whole {
		n = 1
	}
	list := make([]value, n)
	for i := range list {
		list[i] = m.captured(i, s, e)
	}
	return list
}

// find looks for the pattern from s on; anchored ones only there.
func (m *matcher) find(s int) (start, end int) {
	p := 0
	anchor := strings.HasPrefix(m.pat, "^")
	if anchor {
		p = 1
	}
	for ; ; s++ {
		m.level = 0
		if e := m.match(s, p); e >= 0 {
			return s, e
		}
		if anchor || s >= len(m.src) {
			return -1, -1
		}
	}
}
