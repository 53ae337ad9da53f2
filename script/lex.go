package script

import (
	"fmt"
	"strings"
)

// token is a kind of token: a byte stands for itself.
type token int

const (
	tokAnd token = iota + 257
	tokBreak
	tokDo
	tokElse
	tokElseif
	tokEnd
	tokFalse
	tokFor
	tokFunction
	tokIf
	tokIn
	tokLocal
	tokNil
	tokNot
	tokOr
	tokRepeat
	tokReturn
	tokThen
	tokTrue
	tokUntil
	tokWhile
	tokConcat
	tokDots
	tokEq
	tokGe
	tokLe
	tokNe
	tokNumber
	tokName
	tokString
	tokEOF
)

var tokenNames = [...]string{
	"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
	"repeat", "return", "then", "true", "until", "while", "..", "...", "==", ">=", "<=", "~=", "<number>", "<name>",
	"<string>", "<eof>",
}

var keywords = func() map[string]token {
	m := map[string]token{}
	for t := tokAnd; t <= tokWhile; t++ {
		m[tokenNames[t-tokAnd]] = t
	}
	return m
}()

func (t token) String() string {
	if t >= tokAnd {
		return tokenNames[t-tokAnd]
	}
	if t < ' ' || t == 127 {
		return fmt.Sprintf("char(%d)", int(t))
	}
	return string([]byte{byte(t)})
}

// syntaxError ends a compilation.
type syntaxError struct{ text string }

// lexer reads tokens. All errors are panics with a syntaxError.
type lexer struct {
	chunk    string
	src      string
	pos      int
	line     int // of the token that was read last
	lastLine int // of the one before, which the parser has accepted
	tok      token
	num      float64
	text     string // of names and strings
	ahead    *lexeme
	begin    int // where the token begins, for errors
}

type lexeme struct {
	tok  token
	num  float64
	text string
}

const eof = -1

func (l *lexer) peekByte() int { return l.byteAt(0) }

func (l *lexer) byteAt(i int) int {
	if l.pos+i < len(l.src) {
		return int(l.src[l.pos+i])
	}
	return eof
}

// next reads the next token into tok, num and text.
func (l *lexer) next() {
	l.lastLine = l.line
	if l.ahead != nil {
		l.tok, l.num, l.text, l.ahead = l.ahead.tok, l.ahead.num, l.ahead.text, nil
		return
	}
	l.tok = l.scan()
}

// lookAhead is the token after this one.
func (l *lexer) lookAhead() token {
	tok, num, s := l.tok, l.num, l.text
	l.ahead = &lexeme{}
	next := l.scan()
	l.ahead.tok, l.ahead.num, l.ahead.text = next, l.num, l.text
	l.tok, l.num, l.text = tok, num, s
	return next
}

func (l *lexer) fail(message string) {
	panic(syntaxError{fmt.Sprintf("%s:%d: %s", l.chunk, l.line, message)})
}

func (l *lexer) failNear(message, near string) {
	l.fail(fmt.Sprintf("%s near '%s'", message, cString(near)))
}

// failHere complains about the current token.
func (l *lexer) failHere(message string) {
	near := l.tok.String()
	switch l.tok {
	case tokName, tokString, tokNumber:
		near = l.src[l.begin:min(l.pos, len(l.src))]
		if quote := near[:min(1, len(near))]; l.ahead != nil {
			near = l.text
		} else if quote == `"` || quote == "'" {
			near = quote + l.text + quote
		}
	}
	l.failNear(message, near)
}

// failScan complains about what was read of an unfinished token.
func (l *lexer) failScan(message string) { l.failNear(message, l.src[l.begin:l.pos]) }

// cString is what C sees of s.
func cString(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

func (l *lexer) newline() {
	c := l.src[l.pos]
	l.pos++
	if d := l.peekByte(); (d == '\n' || d == '\r') && d != int(c) {
		l.pos++
	}
	l.line++
}

func (l *lexer) scan() token {
	for {
		l.begin = l.pos
		c := l.peekByte()
		switch {
		case c == eof:
			return tokEOF
		case c == '\n' || c == '\r':
			l.newline()
			continue
		case c == '-':
			l.pos++
			if l.peekByte() != '-' {
				return '-'
			}
			l.comment()
			continue
		case c == '[':
			level := l.bracket()
			if level >= 0 {
				l.text = l.long(level, false)
				return tokString
			} else if level == -1 {
				l.pos++
				return '['
			}
			l.failNear("invalid long string delimiter", l.src[l.begin:l.pos])
		case c == '=':
			return l.pair('=', tokEq)
		case c == '<':
			return l.pair('<', tokLe)
		case c == '>':
			return l.pair('>', tokGe)
		case c == '~':
			return l.pair('~', tokNe)
		case c == '"' || c == '\'':
			l.text = l.quoted(byte(c))
			return tokString
		case c == '.':
			return l.dots()
		case '0' <= c && c <= '9':
			return l.numeral()
		case isLetter(c):
			return l.name()
		case strings.IndexByte(spaces, byte(c)) >= 0:
			l.pos++
			continue
		}
		l.pos++
		return token(c)
	}
}

func (l *lexer) pair(single, double token) token {
	l.pos++
	if l.peekByte() == '=' {
		l.pos++
		return double
	}
	return single
}

func (l *lexer) dots() token {
	switch {
	case l.byteAt(1) == '.' && l.byteAt(2) == '.':
		l.pos += 3
		return tokDots
	case l.byteAt(1) == '.':
		l.pos += 2
		return tokConcat
	case '0' <= l.byteAt(1) && l.byteAt(1) <= '9':
		return l.numeral()
	}
	l.pos++
	return '.'
}

func isLetter(c int) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' && c > 0 || c == '_' }

func isAlnum(c int) bool { return isLetter(c) || '0' <= c && c <= '9' }

func (l *lexer) name() token {
	for isAlnum(l.peekByte()) {
		l.pos++
	}
	l.text = l.src[l.begin:l.pos]
	if t, ok := keywords[l.text]; ok {
		return t
	}
	return tokName
}

func (l *lexer) numeral() token {
	for c := l.peekByte(); '0' <= c && c <= '9' || c == '.'; c = l.peekByte() {
		l.pos++
	}
	if c := l.peekByte(); c == 'e' || c == 'E' {
		l.pos++
		if c := l.peekByte(); c == '+' || c == '-' {
			l.pos++
		}
	}
	for isAlnum(l.peekByte()) {
		l.pos++
	}
	n, ok := parseNumber(l.src[l.begin:l.pos])
	if !ok {
		l.failScan("malformed number")
	}
	l.num = n
	return tokNumber
}

// comment skips what follows "--".
func (l *lexer) comment() {
	l.pos++
	if l.peekByte() == '[' {
		l.begin = l.pos
		if level := l.bracket(); level >= 0 {
			l.long(level, true)
			return
		}
	}
	for c := l.peekByte(); c != eof && c != '\n' && c != '\r'; c = l.peekByte() {
		l.pos++
	}
}

// bracket is the level of the long bracket that begins here; -1 and -2 are none, without and with '='.
func (l *lexer) bracket() int {
	level := 0
	for l.byteAt(1+level) == '=' {
		level++
	}
	if l.byteAt(1+level) == '[' {
		return level
	}
	if level == 0 {
		return -1
	}
	l.pos += 1 + level
	return -2
}

func (l *lexer) long(level int, comment bool) string {
	l.pos += level + 2
	if c := l.peekByte(); c == '\n' || c == '\r' {
		l.newline()
	}
	closing := "]" + strings.Repeat("=", level) + "]"
	var b strings.Builder
	for {
		switch c := l.peekByte(); {
		case c == eof && comment:
			l.failNear("unfinished long comment", "<eof>")
		case c == eof:
			l.failNear("unfinished long string", "<eof>")
		case c == ']' && strings.HasPrefix(l.src[l.pos:], closing):
			l.pos += len(closing)
			return b.String()
		case c == '[' && level == 0 && !comment && l.byteAt(1) == '[':
			l.pos += 2
			l.failNear("nesting of [[...]] is deprecated", "[")
		case c == '\n' || c == '\r':
			l.newline()
			b.WriteByte('\n')
		default:
			b.WriteByte(byte(c))
			l.pos++
		}
	}
}

func (l *lexer) quoted(delimiter byte) string {
	l.pos++
	var b strings.Builder
	for {
		switch c := l.peekByte(); {
		case c == eof:
			l.failNear("unfinished string", "<eof>")
		case c == '\n' || c == '\r':
			l.failNear("unfinished string", string([]byte{delimiter})+b.String())
		case c == int(delimiter):
			l.pos++
			return b.String()
		case c == '\\':
			l.pos++
			l.escape(&b)
		default:
			b.WriteByte(byte(c))
			l.pos++
		}
	}
}

func (l *lexer) escape(b *strings.Builder) {
	c := l.peekByte()
	switch {
	case c == eof:
		return // the string is unfinished
	case c == '\n' || c == '\r':
		l.newline()
		b.WriteByte('\n')
		return
	case '0' <= c && c <= '9':
		n := 0
		for i := 0; i < 3 && '0' <= l.peekByte() && l.peekByte() <= '9'; i++ {
			n = n*10 + l.peekByte() - '0'
			l.pos++
		}
		if n > 255 {
			l.failNear("escape sequence too large", l.src[l.begin:l.begin+1]+b.String())
		}
		b.WriteByte(byte(n))
		return
	}
	l.pos++
	if i := strings.IndexByte("abfnrtv", byte(c)); i >= 0 {
		c = int("\a\b\f\n\r\t\v"[i])
	}
	b.WriteByte(byte(c))
}
