package server

import "strconv"

// splitInline splits a line that a person has typed into words, as Redis's sdssplitargs does: words
// in double quotes know \n \r \t \b \a \xHH and \" , words in single quotes know \' only. It
// returns false when a quote is not closed or when something follows it at once. A zero byte
// belongs to its word. (Redis stops at it and waits for a line that never ends.)
func splitInline(line []byte) (words [][]byte, ok bool) {
	for {
		for len(line) > 0 && isSpace(line[0]) {
			line = line[1:]
		}
		if len(line) == 0 {
			return words, true
		}
		word, n := nextWord(line)
		if n < 0 {
			return nil, false
		}
		words = append(words, word)
		line = line[n:]
	}
}

// nextWord returns the word at the start of a line and how many bytes it takes, -1 if its quotes
// are unbalanced. Quotes may start in the middle of a word; they always end it.
func nextWord(line []byte) (word []byte, n int) {
	word = []byte{}
	for n < len(line) && !endsWord(line[n]) {
		quote := line[n]
		if quote != '"' && quote != '\'' {
			word = append(word, quote)
			n++
			continue
		}
		for n++; ; {
			if n >= len(line) {
				return nil, -1
			}
			if line[n] == quote {
				n++
				break
			}
			c, width := unescape(line[n:], quote)
			word = append(word, c)
			n += width
		}
		if n < len(line) && !isSpace(line[n]) {
			return nil, -1
		}
		break
	}
	return word, n
}

// unescape returns the first byte of a quoted text and how many bytes stand for it.
func unescape(text []byte, quote byte) (c byte, width int) {
	if text[0] != '\\' || len(text) < 2 {
		return text[0], 1
	}
	if quote == '\'' {
		if text[1] == '\'' {
			return '\'', 2
		}
		return '\\', 1
	}
	if text[1] == 'x' && len(text) >= 4 {
		if v, err := strconv.ParseUint(string(text[2:4]), 16, 8); err == nil {
			return byte(v), 4
		}
	}
	switch text[1] {
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'b':
		return '\b', 2
	case 'a':
		return '\a', 2
	}
	return text[1], 2
}

// isSpace is C's isspace.
func isSpace(c byte) bool {
	return c == ' ' || '\t' <= c && c <= '\r'
}

// endsWord reports whether a byte outside of quotes ends a word. Vertical tabs and form feeds
// separate words but do not end one, as in Redis.
func endsWord(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r'
}

// appendRequest writes a call as a RESP array.
func appendRequest(dst []byte, words [][]byte) []byte {
	dst = append(dst, '*')
	dst = strconv.AppendInt(dst, int64(len(words)), 10)
	dst = append(dst, '\r', '\n')
	for _, word := range words {
		dst = append(dst, '$')
		dst = strconv.AppendInt(dst, int64(len(word)), 10)
		dst = append(dst, '\r', '\n')
		dst = append(dst, word...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}
