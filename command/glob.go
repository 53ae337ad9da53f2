package command

// globDepthMax bounds the stars of a pattern that are tried inside one another, as Redis does;
// a pattern with more of them matches nothing.
const globDepthMax = 1000

// Match tells whether s matches a glob pattern, with Redis's rules: * is any bytes, ? one byte,
// [ab-z] one of a set, [^ab] one outside it, and \ takes the next byte literally. fold ignores
// the case of ASCII letters. There are no bad patterns: what ends too early ends there.
func Match(pattern, s []byte, fold bool) bool {
	if len(s) == 0 { // which only these two match, and not two stars
		return len(pattern) == 0 || string(pattern) == "*"
	}
	g := glob{fold: fold}
	return g.match(pattern, s, 0)
}

// glob is the state of one match.
type glob struct {
	fold bool
	// failed is set when the rest after some star fits nowhere in the rest of s. Then a longer
	// match of an earlier star can't help, which keeps the time from growing exponentially.
	failed bool
}

func (g *glob) match(p, s []byte, depth int) bool {
	if depth > globDepthMax {
		return false
	}
	for len(p) > 0 && len(s) > 0 {
		switch p[0] {
		case '*':
			return g.star(p, s, depth)
		case '?':
			p = p[1:]
		case '[':
			var ok bool
			if p, ok = g.set(p[1:], s[0]); !ok {
				return false
			}
		default:
			if p[0] == '\\' && len(p) > 1 {
				p = p[1:]
			}
			if g.lower(p[0]) != g.lower(s[0]) {
				return false
			}
			p = p[1:]
		}
		s = s[1:]
	}
	if len(s) == 0 {
		for len(p) > 0 && p[0] == '*' {
			p = p[1:]
		}
	}
	return len(p) == 0 && len(s) == 0
}

// star tries the pattern after the star at every place of s.
func (g *glob) star(p, s []byte, depth int) bool {
	for len(p) > 1 && p[1] == '*' {
		p = p[1:]
	}
	if len(p) == 1 {
		return true
	}
	for ; len(s) > 0; s = s[1:] {
		if g.match(p[1:], s, depth+1) {
			return true
		}
		if g.failed {
			return false
		}
	}
	g.failed = true
	return false
}

// set matches one byte against the set that p is at, after its bracket. It returns the pattern
// after the set. A set that is not closed ends with the pattern.
func (g *glob) set(p []byte, c byte) (rest []byte, ok bool) {
	negate := len(p) > 0 && p[0] == '^'
	if negate {
		p = p[1:]
	}
	found := false
	for len(p) > 0 && p[0] != ']' {
		switch {
		case p[0] == '\\' && len(p) > 1:
			// Redis compares an escaped byte in its own case even when it ignores case.
			found = found || p[1] == c
			p = p[2:]
		case len(p) > 2 && p[1] == '-':
			found = found || g.inRange(c, p[0], p[2])
			p = p[3:]
		default:
			found = found || g.lower(p[0]) == g.lower(c)
			p = p[1:]
		}
	}
	if len(p) > 0 {
		p = p[1:]
	}
	return p, found != negate
}

// inRange compares bytes as signed numbers, as Redis does on x86: "[a-\xff]" runs from \xff,
// which is -1, up to a.
func (g *glob) inRange(c, from, to byte) bool {
	low, high := int8(from), int8(to)
	if low > high {
		low, high = high, low
	}
	at := int8(g.lower(c))
	return int8(g.lower(byte(low))) <= at && at <= int8(g.lower(byte(high)))
}

func (g *glob) lower(c byte) byte {
	if g.fold && 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
