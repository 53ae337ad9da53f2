package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// members returns the elements of a reply in order.
func (m *machine) members(line string) []string {
	m.t.Helper()
	reply, err := m.try(words(line))
	if err != nil || reply.IsError() {
		m.t.Fatalf("%s: %v %s", line, err, reply.Text)
	}
	got := []string{}
	for _, e := range reply.Elems {
		got = append(got, string(e.Bytes))
	}
	slices.Sort(got)
	return got
}

// numbered is a line of words: prefix and a number from one to before another.
func numbered(prefix string, from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, " %s%d", prefix, i)
	}
	return b.String()
}

func TestSPop(t *testing.T) {
	for _, c := range []struct {
		members       string
		count, left   int
		before, after string
	}{
		{numbered("", 0, 100), 60, 40, "intset", "intset"},
		{numbered("", 0, 100), 99, 1, "intset", "intset"},
		{numbered("m", 0, 100), 60, 40, "listpack", "listpack"},
		{numbered("m", 0, 100), 99, 1, "listpack", "listpack"},
		{numbered("m", 0, 900), 400, 500, "hashtable", "hashtable"}, // members are taken out
		{numbered("m", 0, 900), 600, 300, "hashtable", "hashtable"},
		{numbered("m", 0, 900), 750, 150, "hashtable", "hashtable"}, // what stays is put into a new set
		{numbered("m", 0, 900), 780, 120, "hashtable", "listpack"},
		{numbered("", 0, 900), 895, 5, "hashtable", "listpack"},
	} {
		m := newMachine(t)
		m.do("SADD s" + c.members)
		m.expect("EXPIRE s 1000", ":1", "OBJECT ENCODING s", fmt.Sprintf("$%d\r\n%s", len(c.before), c.before))
		popped := m.members("SPOP s " + strconv.Itoa(c.count))
		left := m.members("SMEMBERS s")
		all := strings.Fields(c.members)
		slices.Sort(all)
		if got := slices.Sorted(slices.Values(slices.Concat(popped, left))); !slices.Equal(got, all) || len(left) != c.left {
			t.Errorf("%d are popped of %d, %d are left", len(popped), len(all), len(left))
		}
		m.expect("TTL s", ":1000", "OBJECT ENCODING s", fmt.Sprintf("$%d\r\n%s", len(c.after), c.after))
	}
}

func TestSRandMember(t *testing.T) {
	m := newMachine(t)
	for _, members := range []string{numbered("", 0, 50), numbered("m", 0, 50), numbered("m", 0, 1000)} {
		m.do("DEL s")
		m.do("SADD s" + members)
		seen := map[string]bool{}
		for range 40 {
			some := m.members("SRANDMEMBER s 20")
			if some = slices.Compact(some); len(some) != 20 {
				t.Fatalf("%d different members of 20", len(some))
			}
			for _, member := range slices.Concat(some, m.members("SRANDMEMBER s -20")) {
				seen[member] = true
			}
		}
		if all := strings.Fields(members); len(seen) < min(50, len(all)) || !slices.Contains(all, m.members("SRANDMEMBER s -1")[0]) {
			t.Errorf("%d different members were drawn of %d", len(seen), len(all))
		}
	}
}

// Sets in pages, whose members are not in the order of the model.
func TestLargeSetOperations(t *testing.T) {
	m := newMachine(t)
	m.do("SADD a" + numbered("m", 0, 3000))
	m.do("SADD b" + numbered("m", 2000, 5000))
	m.do("SADD c" + numbered("m", 0, 2010))
	m.do("SADD few" + numbered("m", 1, 9))
	for _, c := range []struct {
		call, want string
	}{
		{"INTER a b", numbered("m", 2000, 3000)}, {"INTER a b c", numbered("m", 2000, 2010)}, {"INTER a few", numbered("m", 1, 9)},
		{"UNION a b c", numbered("m", 0, 5000)}, {"UNION few few", numbered("m", 1, 9)},
		{"DIFF a b", numbered("m", 0, 2000)}, {"DIFF a few few few", " m0" + numbered("m", 9, 3000)}, {"DIFF a c b", ""},
		{"DIFF few a", ""}, {"DIFF a a", ""},
	} {
		op, keys, _ := strings.Cut(c.call, " ")
		want := strings.Fields(c.want)
		slices.Sort(want)
		if got := m.members("S" + op + " " + keys); !slices.Equal(got, want) {
			t.Errorf("S%s: %d members, want %d", c.call, len(got), len(want))
		}
		m.expect("S"+op+"STORE to "+keys, fmt.Sprintf(":%d", len(want)))
		if got := m.members("SMEMBERS to"); !slices.Equal(got, want) {
			t.Errorf("S%s: %d members are stored, want %d", c.call, len(got), len(want))
		}
	}
	m.expect("SINTERCARD 2 a b", ":1000", "SINTERCARD 2 a b LIMIT 7", ":7", "SUNIONSTORE a a few", ":3000",
		"SDIFFSTORE a a b", ":2000", "SINTERSTORE a a few", ":8", "DEL a b c few to", ":4", "DBSIZE", ":0")
}

func TestSortScore(t *testing.T) {
	for text, want := range map[string]string{
		"": "0", "1": "1", "-1.5": "-1.5", "+2": "2", ".5": "0.5", "5.": "5", "1e3": "1000", "0x10": "16", "0x1p-1": "0.5",
		" \t7": "7", "7 ": "", " ": "", "x": "", "1x": "", "1_0": "", "0x_1p1": "", "nan": "", "inf": "+Inf", "-Infinity": "-Inf",
		"1e400": "", "-1e400": "", "1e-400": "", "1e-310": "", "0": "0", "-0": "-0", "0e9": "0", "1\x00x": "1", "\x00": "0",
		"9223372036854775807": "9.223372036854775807e+18", "0.1": "0.1", "1e": "", ".": "",
	} {
		f, ok := sortScore([]byte(text))
		expected, _ := strconv.ParseFloat(want, 64)
		if ok != (want != "") || ok && f != expected {
			t.Errorf("%q: %v %v", text, f, ok)
		}
	}
}
