package command

import (
	"redoubt/fsm"
	"redoubt/resp"
)

// lcsOptions are the options of LCS.
type lcsOptions struct {
	length, index, matchLength bool
	minLength                  int64
}

func cmdLCS(tx *fsm.Txn, args [][]byte) resp.Reply {
	a, bad := lookupString(tx, args[1])
	b, worse := lookupString(tx, args[2])
	if bad.IsError() || worse.IsError() {
		return errLCSType
	}
	o, bad := parseLCSOptions(args[3:])
	if bad.IsError() {
		return bad
	}
	table := lcsTable{}
	if a != nil {
		table.a = a.Value
	}
	if b != nil {
		table.b = b.Value
	}
	if 4*uint64(len(table.a)+1)*uint64(len(table.b)+1) > MaxStringBytes {
		return errLCSMemory
	}
	table.fill()
	length := resp.NewInt(int64(table.at(len(table.a), len(table.b))))
	switch {
	case o.index:
		_, ranges := table.walk()
		return resp.NewMap([]resp.Reply{resp.NewBulkString("matches"),
			resp.NewArray(o.matches(ranges)), resp.NewBulkString("len"), length})
	case o.length:
		return length
	}
	common, _ := table.walk()
	return resp.NewBulk(common)
}

func parseLCSOptions(args [][]byte) (lcsOptions, resp.Reply) {
	var o lcsOptions
	for i := 0; i < len(args); i++ {
		switch {
		case isOption(args[i], "IDX"):
			o.index = true
		case isOption(args[i], "LEN"):
			o.length = true
		case isOption(args[i], "WITHMATCHLEN"):
			o.matchLength = true
		case isOption(args[i], "MINMATCHLEN") && i+1 < len(args):
			i++
			n, ok := parseInt(args[i])
			if !ok {
				return o, errNotInteger
			}
			o.minLength = n
		default:
			return o, errSyntax
		}
	}
	if o.length && o.index {
		return o, errLCSBoth
	}
	return o, resp.Reply{}
}

// matches turns the ranges that are long enough into the reply of LCS IDX.
func (o lcsOptions) matches(ranges []lcsRange) []resp.Reply {
	replies := []resp.Reply{}
	for _, r := range ranges {
		if int64(r.size) < o.minLength {
			continue
		}
		match := []resp.Reply{indexes(r.a, r.size), indexes(r.b, r.size)}
		if o.matchLength {
			match = append(match, resp.NewInt(int64(r.size)))
		}
		replies = append(replies, resp.NewArray(match))
	}
	return replies
}

func indexes(start, size int) resp.Reply {
	return resp.ArrayOf(resp.NewInt(int64(start)), resp.NewInt(int64(start+size-1)))
}

// lcsTable holds, for every pair of prefixes of a and b, the length of their longest common
// subsequence.
type lcsTable struct {
	a, b  []byte
	cells []uint32 // row by row, len(b)+1 columns
}

func (t *lcsTable) at(i, j int) uint32 { return t.cells[i*(len(t.b)+1)+j] }

func (t *lcsTable) fill() {
	width := len(t.b) + 1
	t.cells = make([]uint32, (len(t.a)+1)*width)
	for i := 1; i <= len(t.a); i++ {
		above, row := t.cells[(i-1)*width:i*width], t.cells[i*width:(i+1)*width]
		for j := 1; j < width; j++ {
			if t.a[i-1] == t.b[j-1] {
				row[j] = above[j-1] + 1
			} else {
				row[j] = max(above[j], row[j-1])
			}
		}
	}
}

// lcsRange is a run of bytes that the common subsequence takes from both strings, with its
// start in each.
type lcsRange struct{ a, b, size int }

// walk goes back through the table and returns the common subsequence and its runs, the last
// one first. Where both directions are as good it goes back in b, which decides which of several
// subsequences is found.
func (t *lcsTable) walk() (common []byte, ranges []lcsRange) {
	i, j := len(t.a), len(t.b)
	next := int(t.at(i, j))
	common = make([]byte, next)
	var run lcsRange
	finish := func() {
		if run.size > 0 {
			ranges = append(ranges, run)
		}
		run = lcsRange{}
	}
	for i > 0 && j > 0 {
		switch {
		case t.a[i-1] == t.b[j-1]:
			next, i, j = next-1, i-1, j-1
			common[next] = t.a[i]
			run = lcsRange{a: i, b: j, size: run.size + 1}
		case t.at(i-1, j) > t.at(i, j-1):
			i--
			finish()
		default:
			j--
			finish()
		}
	}
	finish()
	return common, ranges
}
