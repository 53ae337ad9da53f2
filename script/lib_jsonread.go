package script

import (
	"strings"
	"unicode/utf8"
)

// jsonReader decodes one value. Tokens have the names that cjson's errors use.
type jsonReader struct {
	th    *thread
	c     *jsonConfig
	src   string
	pos   int
	depth int
	token string // its name, or what is wrong with it
	at    int    // where it begins
	val   value
}

func jsonDecode(th *thread, c *jsonConfig, args []value) []value {
	if len(args) != 1 {
		th.argError(0, "expected 1 argument")
	}
	r := &jsonReader{th: th, c: c, src: th.checkString(args, 0)}
	th.r.chargeBytes(len(r.src))
	if len(r.src) >= 2 && (r.src[0] == 0 || r.src[1] == 0) {
		th.fail("JSON parser does not support UTF-16 or UTF-32")
	}
	r.next()
	v := r.value()
	r.next()
	if r.token != "T_END" {
		r.expected("the end")
	}
	return th.ret(v)
}

func (r *jsonReader) byte(i int) byte {
	if i < len(r.src) {
		return r.src[i]
	}
	return 0
}

func (r *jsonReader) expected(what string) {
	r.th.fail("Expected %s but found %s at character %d", what, r.token, r.at+1)
}

func (r *jsonReader) wrong(what string) { r.token, r.at = what, r.pos }

var jsonPunctuation = map[byte]string{
	'{': "T_OBJ_BEGIN", '}': "T_OBJ_END", '[': "T_ARR_BEGIN", ']': "T_ARR_END", ',': "T_COMMA", ':': "T_COLON",
}

func (r *jsonReader) next() {
	r.th.r.charge(1)
	for c := r.byte(r.pos); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = r.byte(r.pos) {
		r.pos++
	}
	r.at = r.pos
	c := r.byte(r.pos)
	rest := r.src[min(r.pos, len(r.src)):]
	if name, ok := jsonPunctuation[c]; ok {
		r.token = name
		r.pos++
		return
	}
	switch {
	case c == 0:
		r.token = "T_END"
	case c == '"':
		r.string()
	case c == '-' || '0' <= c && c <= '9':
		if r.c.decodeInvalid == 0 && r.strictlyInvalid() {
			r.wrong("invalid number")
			return
		}
		r.number()
	case strings.HasPrefix(rest, "true"):
		r.literal("T_BOOLEAN", trueValue, 4)
	case strings.HasPrefix(rest, "false"):
		r.literal("T_BOOLEAN", falseValue, 5)
	case strings.HasPrefix(rest, "null"):
		r.literal("T_NULL", nullValue, 4)
	case strings.IndexByte("iInN+", c) >= 0 && r.c.decodeInvalid == 1 && r.strictlyInvalid():
		r.number()
	default:
		r.wrong("invalid token")
	}
}

func (r *jsonReader) literal(name string, v value, length int) {
	r.token, r.val = name, v
	r.pos += length
}

func (r *jsonReader) number() {
	end := min(len(r.src), r.pos+maxNumeral)
	n, used := scanNumber(r.src[r.pos:end])
	if used == end-r.pos && end < len(r.src) {
		r.th.r.chargeBytes(len(r.src) - r.pos)
		n, used = scanNumber(r.src[r.pos:])
	}
	if used == 0 {
		r.wrong("invalid number")
		return
	}
	r.th.r.payDigits(used, n)
	r.literal("T_NUMBER", number(n), used)
}

// strictlyInvalid finds numbers that C reads but JSON does not have.
func (r *jsonReader) strictlyInvalid() bool {
	p := r.pos
	if r.byte(p) == '+' {
		return true
	}
	if r.byte(p) == '-' {
		p++
	}
	c, d := r.byte(p), r.byte(p+1)
	switch {
	case c == '0':
		return d|0x20 == 'x' || '0' <= d && d <= '9'
	case c <= '9':
		return false
	}
	lower := strings.ToLower(r.src[p:min(len(r.src), p+3)])
	return lower == "inf" || lower == "nan"
}

var jsonEscapes = map[byte]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r',
}

func (r *jsonReader) string() {
	var b strings.Builder
	r.pos++
	for {
		switch c := r.byte(r.pos); c {
		case '"':
			r.pos++
			r.token, r.val = "T_STRING", r.th.r.newString(b.String())
			return
		case 0:
			r.wrong("unexpected end of string")
			return
		case '\\':
			e := r.byte(r.pos + 1)
			if e == 'u' {
				if !r.unicode(&b) {
					r.wrong("invalid unicode escape code")
					return
				}
				continue
			}
			plain, ok := jsonEscapes[e]
			if !ok {
				r.wrong("invalid escape code")
				return
			}
			b.WriteByte(plain)
			r.pos += 2
		default:
			b.WriteByte(c)
			r.pos++
		}
	}
}

func (r *jsonReader) hex4(p int) int {
	n := 0
	for i := range 4 {
		c := r.byte(p + i)
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | int(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n = n<<4 | int(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return n
}

func (r *jsonReader) unicode(b *strings.Builder) bool {
	code, length := r.hex4(r.pos+2), 6
	if code < 0 {
		return false
	}
	if code&0xF800 == 0xD800 {
		if code&0x400 != 0 || r.byte(r.pos+6) != '\\' || r.byte(r.pos+7) != 'u' {
			return false
		}
		low := r.hex4(r.pos + 8)
		if low < 0 || low&0xFC00 != 0xDC00 {
			return false
		}
		code, length = (code&0x3FF<<10|low&0x3FF)+0x10000, 12
	}
	b.Write(utf8.AppendRune(nil, rune(code)))
	r.pos += length
	return true
}

func (r *jsonReader) descend() {
	r.depth++
	if r.depth > r.c.decodeDepth || r.depth > maxJSONDepth {
		r.th.fail("Found too many nested data structures (%d) at character %d", r.depth, r.pos)
	}
}

func (r *jsonReader) value() value {
	switch r.token {
	case "T_STRING", "T_NUMBER", "T_BOOLEAN", "T_NULL":
		return r.val
	case "T_OBJ_BEGIN":
		return r.object()
	case "T_ARR_BEGIN":
		return r.array()
	}
	r.expected("value")
	return nilValue
}

func (r *jsonReader) object() value {
	r.descend()
	t := r.th.r.newTable(0, 0)
	for r.next(); r.token != "T_OBJ_END"; {
		if r.token != "T_STRING" {
			r.expected("object key string")
		}
		key := r.val
		r.next()
		if r.token != "T_COLON" {
			r.expected("colon")
		}
		r.next()
		t.set(r.th.r, key, r.value())
		r.next()
		if r.token == "T_COMMA" {
			r.next()
			if r.token != "T_STRING" {
				r.expected("object key string")
			}
		} else if r.token != "T_OBJ_END" {
			r.expected("comma or object end")
		}
	}
	r.depth--
	return value{o: t}
}

func (r *jsonReader) array() value {
	r.descend()
	t := r.th.r.newTable(0, 0)
	r.next()
	for i := 1; r.token != "T_ARR_END" || i > 1; i++ {
		t.setInt(r.th.r, i, r.value())
		r.next()
		if r.token == "T_ARR_END" {
			break
		}
		if r.token != "T_COMMA" {
			r.expected("comma or array end")
		}
		r.next()
	}
	r.depth--
	return value{o: t}
}
