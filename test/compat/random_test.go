package compat

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// randomSteps is the length of a random case.
const randomSteps = 250

// randomCase makes a case from a seed, the same one every time. All times are long ago or far
// away, so that no key expires while it runs.
func randomCase(seed uint64) testCase {
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	c := testCase{name: fmt.Sprintf("random: %d", seed), random: true}
	for range randomSteps {
		c.steps = append(c.steps, newStep(g.call()...))
	}
	for db := range 3 {
		c.steps = append(c.steps, newStep("SELECT", strconv.Itoa(db)), newStep("DBSIZE"),
			newStep("@scan", "COUNT", "3"))
		for _, key := range randomKeys {
			c.steps = append(c.steps, newStep("GET", key), newStep("@sorted", "HGETALL", key), newStep("PEXPIRETIME", key))
		}
	}
	return c
}

// patternCase makes keys and patterns of a few bytes that mean something in patterns.
func patternCase(seed uint64) testCase {
	const keys, patterns = 60, 120
	g := generator{rand.New(rand.NewPCG(seed, 2))}
	c := testCase{name: fmt.Sprintf("patterns: %d", seed)}
	for range keys {
		c.steps = append(c.steps, newStep("SET", g.text("abc]^-\\*\xf0\x00", 4), "v"))
	}
	for range patterns {
		c.steps = append(c.steps, newStep("KEYS", g.text("ab*?[]^-\\\xf0\x00*[]", 9)))
	}
	return c
}

// text makes up to so many bytes of an alphabet.
func (g generator) text(alphabet string, bytesMax int) string {
	text := make([]byte, g.IntN(bytesMax+1))
	for i := range text {
		text[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(text)
}

type generator struct{ *rand.Rand }

func (g generator) pick(from []string) string { return from[g.IntN(len(from))] }

// Words that the templates take; the odd ones among them are odd on purpose.
var (
	randomKeys   = []string{"a", "b", "c", "k1", "k2", "{t}1", "", "nul\x00key", "\xff\xfe\r\n", "*[?"}
	randomFields = []string{"f", "g", "h", "", "f\x00", "\xff", "12", "a longer name of a field"}
	randomInts   = []string{"0", "1", "-1", "7", "42", "-100", "10000", "2147483648",
		"9223372036854775807", "-9223372036854775808", "9223372036854775806",
		"9223372036854775808", "01", "+1", " 1", "1 ", "-0", "", "x", "1.0"}
	randomFloats = []string{"0.1", "-0.1", "1", "3.0e3", "1e-17", "5e-18", "-1.5e17", ".5", "5.", "+2",
		"0x1p3", "123456789.123456789", "1e4000", "1e5000", "1e-5000", "inf", "-Infinity", "nan",
		"1e", " 1", "1 ", "", "abc", "1_0"}
	randomValues = []string{"", "x", "hello", "hello world", "aXbXc", "a\x00b\r\n", "\xff\xfe",
		"3.14", "-2.5e3", strings.Repeat("ab", 30)}
	randomIndexes  = []string{"0", "1", "3", "10", "-1", "-3", "-100", "100", "x", "9223372036854775807"}
	randomTTLs     = []string{"0", "-1", "100000", "1000000", "9223372036854775807", "x", "9223372036854775"}
	randomTimes    = []string{"0", "1", "-5", "100000000", "7000000000", "8000000000", "x"}
	randomTimesMS  = []string{"0", "1", "-5", "100000000000", "7000000000000", "8000000000000", "x"}
	randomPatterns = []string{"*", "k*", "?", "[a-c]", "[^a]*", "*\\*", "*\r\n", "**", "[", "{t}*", "nul\x00*"}
	randomDBs      = []string{"0", "1", "2", "2", "1", "16", "-1", "x"}
)

// templates are the calls: a word in angle brackets is drawn, [words] are left out at times, and
// a|b is one of the two.
var templates = strings.Split(strings.TrimSpace(`
GET <key>
SET <key> <any>
SET <key> <any> <setopt>
SET <key> <any> <setopt> <setopt>
SET <key> <any> <setopt> <setopt> <setopt>
SETNX <key> <any>
SETEX <key> <ttl> <any>
PSETEX <key> <ttl> <any>
GETSET <key> <any>
GETDEL <key>
GETEX <key>
GETEX <key> <getexopt>
GETEX <key> <getexopt> <getexopt>
GETEX <key> PERSIST
MGET <key> <key> <key>
MSET <key> <any> <key> <any>
MSET <key> <any> <key>
MSETNX <key> <any> <key> <any>
APPEND <key> <any>
STRLEN <key>
SETRANGE <key> <index> <any>
GETRANGE <key> <index> <index>
SUBSTR <key> <index> <index>
INCR <key>
DECR <key>
INCRBY <key> <int>
DECRBY <key> <int>
INCRBYFLOAT <key> <float>
LCS <key> <key>
LCS <key> <key> <lcsopt>
LCS <key> <key> IDX <lcsopt>
DEL <key> <key>
UNLINK <key>
EXISTS <key> <key> <key>
TOUCH <key> <key>
TYPE <key>
EXPIRE <key> <ttl>
EXPIRE <key> <ttl> <relopt>
PEXPIRE <key> <ttl> <relopt> <relopt>
EXPIREAT <key> <time> <expopt>
PEXPIREAT <key> <timems>
PEXPIREAT <key> <timems> <expopt>
TTL <key>
PTTL <key>
EXPIRETIME <key>
PEXPIRETIME <key>
PERSIST <key>
RENAME <key> <key>
RENAMENX <key> <key>
COPY <key> <key>
COPY <key> <key> REPLACE
COPY <key> <key> DB <db>
COPY <key> <key> DB <db> REPLACE
MOVE <key> <db>
KEYS <pattern>
@scan COUNT 2
@scan MATCH <pattern>
@scan TYPE string MATCH <pattern> COUNT <int>
HSET <key> <field> <any>
HSET <key> <field> <any> <field> <any>
HMSET <key> <field> <any> <field> <any>
HSETNX <key> <field> <any>
HGET <key> <field>
HMGET <key> <field> <field>
HDEL <key> <field>
HDEL <key> <field> <field>
HLEN <key>
HSTRLEN <key> <field>
HEXISTS <key> <field>
@sorted HGETALL <key>
@sorted HKEYS <key>
@sorted HVALS <key>
HINCRBY <key> <field> <int>
HINCRBYFLOAT <key> <field> <float>
@sorted HRANDFIELD <key> 1000
@sorted HRANDFIELD <key> 1000 WITHVALUES
RANDOMKEY
DBSIZE
SELECT <db>
SWAPDB <db> <db>
FLUSHDB ASYNC
`), "\n")

func (g generator) call() []string {
	var words []string
	for _, word := range strings.Fields(g.pick(templates)) {
		words = append(words, g.words(word)...)
	}
	switch g.IntN(60) {
	case 0:
		words = append(words, "extra")
	case 1:
		words = words[:len(words)-1]
	}
	if len(words) == 0 || words[0] == "@scan" && len(words)%2 == 0 || words[0] == "@sorted" && len(words) == 1 {
		return []string{"DBSIZE"}
	}
	return words
}

func (g generator) words(template string) []string {
	drawn := map[string][]string{"<key>": randomKeys, "<field>": randomFields, "<int>": randomInts, "<float>": randomFloats,
		"<index>": randomIndexes, "<ttl>": randomTTLs, "<time>": randomTimes,
		"<timems>": randomTimesMS, "<pattern>": randomPatterns, "<db>": randomDBs}
	if from := drawn[template]; from != nil {
		return []string{g.pick(from)}
	}
	switch template {
	case "<any>":
		return []string{g.pick([][]string{randomInts, randomFloats, randomValues}[g.IntN(3)])}
	case "<setopt>":
		// Not a time in the past: until Redis happens to look at such a key, DBSIZE counts it.
		return g.option("NX", "xx", "GET", "KEEPTTL", "EX", "px", "EXAT 7000000000", "EXAT x",
			"PXAT 8000000000000", "PXAT -5", "nx\x00", "bad")
	case "<getexopt>":
		return g.option("PERSIST", "EX", "px", "EXAT", "PXAT", "EXAT", "PXAT", "NX", "bad")
	case "<relopt>": // without GT and LT, which depend on the very millisecond
		return g.option("NX", "XX", "bad")
	case "<expopt>":
		return g.option("NX", "XX", "gt", "LT", "bad")
	case "<lcsopt>":
		return g.option("LEN", "IDX", "WITHMATCHLEN", "MINMATCHLEN", "bad")
	}
	return []string{template}
}

// option draws one of the options and, if it takes a number, that.
func (g generator) option(names ...string) []string {
	name := g.pick(names)
	switch strings.ToUpper(name) {
	case "EX", "PX":
		return []string{name, g.pick(randomTTLs)}
	case "EXAT":
		return []string{name, g.pick(randomTimes)}
	case "PXAT":
		return []string{name, g.pick(randomTimesMS)}
	case "MINMATCHLEN":
		return []string{name, g.pick(randomIndexes)}
	}
	return strings.Split(name, " ")
}
