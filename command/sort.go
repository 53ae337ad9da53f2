package command

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"

	"redoubt/fsm"
	"redoubt/resp"
)

const (
	sortComplexity = "O(N log N), N elements"
	sortDiffers    = "Elements that compare equal keep their order. OBJECT ENCODING of a sorted set stays as it is. A number " +
		"out of range in an earlier command never makes it fail. BY and GET work in cluster mode, too."
)

var sortPatterns = KeySpec{Flags: KeyRO | KeyAccess, Unknown: true,
	Notes: "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort"}

var sortCommands = []Spec{
	{Name: "SORT", Arity: -2, Flags: Write | DenyOOM,
		Keys: Keys{{Flags: KeyRO | KeyAccess, First: 1, Step: 1}, sortPatterns, {Flags: KeyOW | KeyUpdate, Unknown: true,
			Notes: "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array"}},
		Group: GroupGeneric, Categories: CatSet | CatSortedSet | CatList | CatDangerous, Since: "1.0.0", Complexity: sortComplexity,
		Summary: "Sorts the elements of a list, a set or a sorted set, by themselves or by the values of other keys (BY), and " +
			"returns or stores them (STORE) or the values of other keys (GET).",
		Run: cmdSort, KeysOf: sortKeys, Differs: sortDiffers},
	{Name: "SORT_RO", Arity: -2, Flags: ReadOnly,
		Keys:  Keys{{Flags: KeyRO | KeyAccess, First: 1, Step: 1}, sortPatterns},
		Group: GroupGeneric, Categories: CatSet | CatSortedSet | CatList | CatDangerous, Since: "7.0.0", Complexity: sortComplexity,
		Summary: "Sorts the elements of a list, a set or a sorted set as SORT does, without STORE.", Run: cmdSort,
		KeysOf: func([][]byte) []Key { return []Key{{Index: 1, Flags: KeyRO | KeyAccess}} }, Differs: sortDiffers},
}

var errSortScore = resp.NewError("ERR One or more scores can't be converted into double")

// sortKeys finds the keys that a call of SORT names, the last STORE counts. Those of BY and GET are known only when it
// runs.
func sortKeys(args [][]byte) []Key {
	keys := []Key{{Index: 1, Flags: KeyRO | KeyAccess}}
	for i := 2; i < len(args); i++ {
		switch {
		case isOption(args[i], "LIMIT"):
			i += 2
		case isOption(args[i], "GET"), isOption(args[i], "BY"):
			i++
		case isOption(args[i], "STORE") && i+1 < len(args):
			keys = append(keys[:1], Key{Index: i + 1, Flags: KeyOW | KeyUpdate})
		}
	}
	return keys
}

type sortOptions struct {
	desc, alpha  bool
	asIs         bool // a BY without a star: not sorted at all
	start, count int64
	by, store    []byte
	get          [][]byte
}

func parseSortOptions(args [][]byte, mayStore bool) (o sortOptions, bad resp.Reply) {
	o.count = -1
	for len(args) > 0 {
		words := 2
		switch {
		case isOption(args[0], "ASC"):
			o.desc, words = false, 1
		case isOption(args[0], "DESC"):
			o.desc, words = true, 1
		case isOption(args[0], "ALPHA"):
			o.alpha, words = true, 1
		case isOption(args[0], "LIMIT") && len(args) > 2:
			var startOK, countOK bool
			o.start, startOK = parseInt(args[1])
			o.count, countOK = parseInt(args[2])
			if !startOK || !countOK {
				return o, errNotInteger
			}
			words = 3
		case len(args) == 1:
			return o, errSyntax
		case isOption(args[0], "STORE") && mayStore:
			o.store = args[1]
		case isOption(args[0], "BY"):
			o.by = args[1]
			o.asIs = o.asIs || bytes.IndexByte(cString(o.by), '*') < 0
		case isOption(args[0], "GET"):
			o.get = append(o.get, args[1])
		default:
			return o, errSyntax
		}
		args = args[words:]
	}
	return o, resp.Reply{}
}

// limit returns which of so many elements are wanted.
func (o *sortOptions) limit(elements int64) (from, to int64) {
	from = min(max(o.start, 0), elements)
	if o.count < 0 {
		return from, elements
	}
	return from, from + min(o.count, elements-from)
}

func cmdSort(tx *fsm.Txn, args [][]byte) resp.Reply {
	o, bad := parseSortOptions(args[2:], isOption(args[0], "SORT"))
	if bad.IsError() {
		return bad
	}
	from, bad := lookupSortable(tx, args[1])
	if bad.IsError() {
		return bad
	}
	if o.asIs && !from.ordered && (o.store != nil || tx.IsWhole()) { // something has to be the order that is stored
		o.asIs, o.alpha, o.by = false, true, nil
	}
	first, end := o.limit(from.count)
	var elements [][]byte
	if o.asIs {
		elements = from.slice(first, end, o.desc && from.ordered)
	} else {
		var ok bool
		if elements, ok = o.sort(tx, from.slice(0, from.count, false)); !ok {
			return errSortScore
		}
		elements = elements[first:end]
	}
	if o.store == nil {
		return resp.NewArray(o.show(tx, elements))
	}
	if len(o.get) > 0 {
		shown := o.show(tx, elements)
		elements = elements[:0]
		for _, value := range shown { // one that is missing is stored as an empty string
			elements = append(elements, value.Bytes)
		}
	}
	storeList(tx, o.store, elements)
	return resp.NewInt(int64(len(elements)))
}

// show answers for each element with what GET asks for or, without it, with the element.
func (o *sortOptions) show(tx *fsm.Txn, elements [][]byte) []resp.Reply {
	out := make([]resp.Reply, 0, len(elements)*max(1, len(o.get)))
	for _, element := range elements {
		if len(o.get) == 0 {
			out = append(out, resp.NewBulk(element))
		}
		for _, pattern := range o.get {
			out = append(out, bulkOr(referred(tx, pattern, element)))
		}
	}
	return out
}

// referred finds what a pattern of BY or GET stands for with an element in place of its first star: a string, the field
// of a hash that follows an arrow, or with # the element itself.
func referred(tx *fsm.Txn, pattern, element []byte) (value []byte, found bool) {
	text := cString(pattern)
	if string(text) == "#" {
		return element, true
	}
	star := bytes.IndexByte(text, '*')
	if star < 0 {
		return nil, false
	}
	name, field, isField := pattern, []byte(nil), false
	if arrow := bytes.Index(text[star+1:], []byte("->")); arrow >= 0 && star+1+arrow+2 < len(text) {
		arrow += star + 1
		name, field, isField = pattern[:arrow], pattern[arrow+2:], true
	}
	row := tx.Lookup(slices.Concat(name[:star], element, name[star+1:]))
	switch {
	case row == nil:
	case isField && row.Kind == fsm.Hash:
		return tx.Hash(nil, row).Get(field)
	case !isField && row.Kind == fsm.String:
		return row.Value, true
	}
	return nil, false
}

// sortEntry is an element with what it is sorted by.
type sortEntry struct {
	element, weight []byte
	found           bool // there is a weight
	score           float64
}

// sort puts elements in order. It is false if they are to be sorted as numbers and are none.
func (o *sortOptions) sort(tx *fsm.Txn, elements [][]byte) ([][]byte, bool) {
	entries := make([]sortEntry, len(elements))
	for i, element := range elements {
		e := &entries[i]
		e.element, e.weight, e.found = element, element, true
		if o.by != nil {
			e.weight, e.found = referred(tx, o.by, element)
		}
		if !o.alpha && e.found {
			var ok bool
			if e.score, ok = sortScore(e.weight); !ok {
				return nil, false
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b sortEntry) int {
		if o.desc {
			a, b = b, a
		}
		return o.compare(&a, &b)
	})
	for i := range entries {
		elements[i] = entries[i].element
	}
	return elements, true
}

func (o *sortOptions) compare(a, b *sortEntry) int {
	switch {
	case !o.alpha && a.score != b.score:
		return cmp.Compare(a.score, b.score)
	case !o.alpha:
		return bytes.Compare(a.element, b.element)
	case a.found != b.found && b.found:
		return -1
	case a.found != b.found:
		return 1
	case o.store == nil: // Redis compares C strings then
		return bytes.Compare(cString(a.weight), cString(b.weight))
	}
	return bytes.Compare(a.weight, b.weight)
}

// sortScore reads what C's strtod reads, all of it up to a zero byte; nothing at all is 0.
func sortScore(b []byte) (float64, bool) {
	b = cString(b)
	if len(b) == 0 {
		return 0, true
	}
	b = bytes.TrimLeft(b, " \t\n\v\f\r")
	const smallest = 0x1p-1022 // that has all its digits
	inRange := func(f float64) bool { return smallest <= math.Abs(f) && math.Abs(f) <= math.MaxFloat64 }
	if f, err := strconv.ParseFloat(string(b), 64); err == nil && inRange(f) && bytes.IndexByte(b, '_') < 0 {
		return f, true // as most are
	}
	long, ok := parseFloat(b)
	if !ok {
		return 0, false
	}
	f, accuracy := long.Float64()
	return f, long.IsInf() || inRange(f) || accuracy == 0
}
