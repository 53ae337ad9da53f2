package command

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestParseInt(t *testing.T) {
	for _, n := range []int64{0, 1, -1, 9, 10, -10, 99, math.MaxInt64, math.MinInt64,
		math.MaxInt64 - 1, math.MinInt64 + 1, math.MaxInt32} {
		text := strconv.FormatInt(n, 10)
		if got, ok := parseInt([]byte(text)); !ok || got != n {
			t.Errorf("%s: got %d, %v", text, got, ok)
		}
		if got := string(formatInt(n)); got != text {
			t.Errorf("format %d: got %s", n, got)
		}
	}
	for _, text := range []string{"", "-", "+1", " 1", "1 ", "01", "-0", "-01", "00", "1.0", "0x1",
		"1e3", "--1", "9223372036854775808", "-9223372036854775809", "18446744073709551616",
		"18446744073709551617", "99999999999999999999", "1\x00", "a", "1a"} {
		if n, ok := parseInt([]byte(text)); ok {
			t.Errorf("%q: got %d", text, n)
		}
	}
}

// The expected sums are Redis's on x86; test/compat has many more of them.
func TestFloats(t *testing.T) {
	for _, c := range []struct{ a, b, sum string }{
		{"0", "0.1", "0.1"},
		{"0.1", "0.2", "0.3"},
		{"3.0e3", "200", "3200"},
		{"10.5", "-0.5", "10"},
		{"0", "1e-17", "0.00000000000000001"},
		{"0", "4e-18", "0"},
		{"-1", "1", "0"},
		{"0", "-0.0", "0"},
		{"18446744073709551615", "1", "18446744073709551616"},
		{"18446744073709551616", "1", "18446744073709551616"},
		{"0x1.8p1", "0", "3"},
		{"1e10", ".5", "10000000000.5"},
	} {
		a, okA := parseFloat([]byte(c.a))
		b, okB := parseFloat([]byte(c.b))
		if !okA || !okB {
			t.Errorf("%s + %s: not parsed", c.a, c.b)
			continue
		}
		if sum, ok := addFloats(a, b); !ok || string(formatFloat(sum)) != c.sum {
			t.Errorf("%s + %s: got %v", c.a, c.b, sum)
		}
	}
	for _, text := range []string{"", " 1", "1 ", "1e", "0x", ".", "nan", "1_0", "1e5000", "1e-5000",
		"0x1p99999999999999999999", "1e-99999999999999999999", strings.Repeat("1", 5120)} {
		if f, ok := parseFloat([]byte(text)); ok {
			t.Errorf("%.20q: got %v", text, f)
		}
	}
	inf, ok := parseFloat([]byte("-Infinity"))
	if _, fits := addFloats(inf, inf); !ok || !inf.IsInf() || fits {
		t.Errorf("infinity: got %v, %v, %v", inf, ok, fits)
	}
}

func TestParseCursor(t *testing.T) {
	for text, want := range map[string]uint64{"": 0, "0": 0, "00": 0, "+7": 7, "-1": math.MaxUint64,
		"18446744073709551615": math.MaxUint64} {
		if got, ok := parseCursor([]byte(text)); !ok || got != want {
			t.Errorf("%q: got %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"x", "-", "+", " 1", "1 ", "1x", "18446744073709551616", "--1"} {
		if got, ok := parseCursor([]byte(text)); ok {
			t.Errorf("%q: got %d", text, got)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		fold, want bool
	}{
		{"*", "", false, true},
		{"**", "", false, false}, // as Redis has it
		{"", "", false, true},
		{"", "a", false, false},
		{"a*c", "abbc", false, true},
		{"h[a-c]llo", "hbllo", false, true},
		{"h[^a-c]llo", "hbllo", false, false},
		{"[c-a]", "b", false, true},
		{"\\*", "*", false, true},
		{"\\*", "a", false, false},
		{"GET*", "getex", true, true},
		{"GET*", "getex", false, false},
		{"[A-C]x", "bX", true, true},
		{"[\\A]", "a", true, false},
		{strings.Repeat("a*", 1002) + "b", strings.Repeat("a", 1002) + "b", false, false},
		{strings.Repeat("a*", 500) + "b", strings.Repeat("a", 500) + "b", false, true},
	} {
		if got := Match([]byte(c.pattern), []byte(c.s), c.fold); got != c.want {
			t.Errorf("%.20q matches %.20q: got %v", c.pattern, c.s, got)
		}
	}
}

// A pattern with many stars must not take exponential time: this would run for years.
func TestMatchIsNotExponential(t *testing.T) {
	pattern := strings.Repeat("a*", 100) + "b"
	if Match([]byte(pattern), []byte(strings.Repeat("a", 1000)), false) {
		t.Error("it matches")
	}
}
