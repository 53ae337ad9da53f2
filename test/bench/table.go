package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// table is what a section found out.
type table struct {
	title, note string
	head        []string
	rows        [][]string
	missed      []string
	bars        []bar
}

// bar is a row of the chart: ratios to Redis, and what is wanted of them, 0 for nothing.
type bar struct {
	name               string
	one, three         float64
	oneMark, threeMark float64
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// String writes the table in Markdown.
func (t *table) String() string {
	if len(t.rows) == 0 {
		return ""
	}
	var s strings.Builder
	fmt.Fprintf(&s, "\n**%s**\n\n", t.title)
	if t.note != "" {
		fmt.Fprintf(&s, "%s\n\n", t.note)
	}
	writeRow := func(cells []string) { fmt.Fprintf(&s, "| %s |\n", strings.Join(cells, " | ")) }
	writeRow(t.head)
	writeRow(append([]string{"---"}, slices.Repeat([]string{"---:"}, len(t.head)-1)...))
	for _, cells := range t.rows {
		writeRow(cells)
	}
	return s.String()
}

// mark is what is wanted of a value. The zero mark wants nothing.
type mark struct {
	sign  string
	limit float64
}

func atLeast(limit float64) mark { return mark{"≥", limit} }
func atMost(limit float64) mark  { return mark{"≤", limit} }
func below(limit float64) mark   { return mark{"<", limit} }

func (m mark) holds(value float64) bool {
	switch m.sign {
	case "≥":
		return value >= m.limit
	case "≤":
		return value <= m.limit
	case "<":
		return value < m.limit
	}
	return true
}

// check is the cell that shows a mark, and whether the value missed it.
func (t *table) check(what string, value float64, m mark) string {
	if m.sign == "" {
		return ""
	}
	cell := m.sign + " " + strconv.FormatFloat(m.limit, 'f', -1, 64)
	if m.holds(value) {
		return cell
	}
	t.missed = append(t.missed, fmt.Sprintf("%s: %s, wanted %s", what, fixed(value, 3), cell))
	return cell + " **missed**"
}

// median of no values is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// ratio is written with two digits after the point.
func ratio(v float64) string { return fixed(v, 2) }

func fixed(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

// whole writes a number without a fraction, its digits in groups of three.
func whole[N int | int64 | uint64 | float64](v N) string {
	digits := strconv.FormatFloat(float64(v), 'f', 0, 64)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// megabytes writes a number of bytes in MB.
func megabytes[N int | int64 | uint64 | float64](bytes N) string {
	return fixed(float64(bytes)/1e6, 1)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
