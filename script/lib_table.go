package script

import "strings"

var tableFunctions = map[string]func(*thread, []value) []value{
	"concat": tableConcat, "foreach": tableForeach, "foreachi": tableForeachI, "getn": tableGetN, "insert": tableInsert,
	"maxn": tableMaxN, "remove": tableRemove, "setn": tableSetN, "sort": tableSort,
}

func (th *thread) setAt(t *table, i int, v value) { th.rawSet(t, number(float64(i)), v) }

// optSpan reads the optional first and last index of a call's table, from the argument i on: all of it.
func (th *thread) optSpan(t *table, args []value, i int) (from, to int) {
	from = 1
	if !at(args, i).isNil() {
		from = th.checkInt(args, i)
	}
	if at(args, i+1).isNil() {
		return from, t.length(th.r)
	}
	return from, th.checkInt(args, i+1)
}

func tableConcat(th *thread, args []value) []value {
	separator := th.optString(args, 1, "")
	t := th.checkTable(args, 0)
	from, to := th.optSpan(t, args, 2)
	var b strings.Builder
	for i := from; i <= to; i++ {
		v := t.getInt(i)
		s, ok := toText(v)
		if !ok {
			th.fail("invalid value (%s) at index %d in table for 'concat'", typeName(v), i)
		}
		if i < to {
			s += separator
		}
		th.r.charge(1)
		if v.isNumber() {
			th.r.charge(numeralCost)
		}
		th.r.checkLength(b.Len() + len(s))
		th.r.chargeBytes(len(s))
		b.WriteString(s)
	}
	return th.ret(text(b.String()))
}

func tableForeach(th *thread, args []value) []value {
	t := th.checkTable(args, 0)
	fn := th.checkFunction(args, 1)
	key := nilValue
	for {
		k, v, more, found := t.next(th.r, key)
		if !found {
			th.failBare("invalid key to 'next'")
		}
		if !more {
			return nil
		}
		if r := first(th.callback(fn, k, v)); !r.isNil() {
			return th.ret(r)
		}
		key = k
	}
}

func tableForeachI(th *thread, args []value) []value {
	t := th.checkTable(args, 0)
	n := t.length(th.r)
	fn := th.checkFunction(args, 1)
	for i := 1; i <= n; i++ {
		if r := first(th.callback(fn, number(float64(i)), t.getInt(i))); !r.isNil() {
			return th.ret(r)
		}
	}
	return nil
}

func tableGetN(th *thread, args []value) []value {
	return th.ret(number(float64(th.checkTable(args, 0).length(th.r))))
}

func tableSetN(th *thread, args []value) []value {
	th.checkTable(args, 0)
	th.fail("'setn' is obsolete")
	return nil
}

func tableMaxN(th *thread, args []value) []value {
	most := 0.0
	t := th.checkTable(args, 0)
	for k, _, more, _ := t.next(th.r, nilValue); more; k, _, more, _ = t.next(th.r, k) {
		th.r.charge(1)
		if k.isNumber() && k.n > most {
			most = k.n
		}
	}
	return th.ret(number(most))
}

func tableInsert(th *thread, args []value) []value {
	t := th.checkTable(args, 0)
	e := t.length(th.r) + 1
	switch len(args) {
	case 2:
		th.setAt(t, e, args[1])
	case 3:
		pos := th.checkInt(args, 1)
		if pos > e {
			e = pos
		}
		for i := e; i > pos; i-- {
			th.r.charge(1)
			th.setAt(t, i, t.getInt(i-1))
		}
		th.setAt(t, pos, args[2])
	default:
		th.fail("wrong number of arguments to 'insert'")
	}
	return nil
}

func tableRemove(th *thread, args []value) []value {
	t := th.checkTable(args, 0)
	e := t.length(th.r)
	pos := e
	if !at(args, 1).isNil() {
		pos = th.checkInt(args, 1)
	}
	if pos < 1 || pos > e {
		return nil
	}
	removed := t.getInt(pos)
	for ; pos < e; pos++ {
		th.r.charge(1)
		th.setAt(t, pos, t.getInt(pos+1))
	}
	th.setAt(t, e, nilValue)
	return th.ret(removed)
}

func tableSort(th *thread, args []value) []value {
	t := th.checkTable(args, 0)
	n := t.length(th.r)
	s := sorter{th: th, t: t}
	if !at(args, 1).isNil() {
		s.less = th.checkFunction(args, 1)
	}
	s.sort(1, n)
	return nil
}

// sorter is the quicksort of Lua 5.1: the order of equal elements, and of those that the comparison
// is not sure of, is that of Redis.
type sorter struct {
	th   *thread
	t    *table
	less value
}

func (s *sorter) before(a, b value) bool {
	s.th.r.charge(1)
	if s.less.isNil() {
		if a.isNumber() && b.isNumber() || a.str() != nil && b.str() != nil {
			return s.th.less(a, b)
		}
		less, ok := s.th.compareBy("__lt", a, b)
		if !ok {
			s.th.failBare(incomparable(a, b))
		}
		return less
	}
	return first(s.th.callback(s.less, a, b)).truth()
}

func (s *sorter) swap(i, j int, a, b value) {
	s.th.setAt(s.t, i, b)
	s.th.setAt(s.t, j, a)
}

// order puts the elements at i and j in order.
func (s *sorter) order(i, j int) bool {
	a, b := s.t.getInt(i), s.t.getInt(j)
	if s.before(b, a) {
		s.swap(i, j, a, b)
		return true
	}
	return false
}

func (s *sorter) sort(low, high int) {
	for low < high {
		s.order(low, high)
		if high-low == 1 {
			return
		}
		middle := (low + high) / 2
		if !s.order(low, middle) {
			s.order(middle, high)
		}
		if high-low == 2 {
			return
		}
		pivot := s.t.getInt(middle)
		s.swap(middle, high-1, pivot, s.t.getInt(high-1))
		i := s.partition(low, high, pivot)
		if i-low < high-i {
			s.sort(low, i-1)
			low = i + 1
		} else {
			s.sort(i+1, high)
			high = i - 1
		}
	}
}

func (s *sorter) partition(low, high int, pivot value) int {
	i, j := low, high-1
	for {
		i++
		for s.before(s.t.getInt(i), pivot) {
			if i > high {
				s.th.fail("invalid order function for sorting")
			}
			i++
		}
		j--
		for s.before(pivot, s.t.getInt(j)) {
			if j < low {
				s.th.fail("invalid order function for sorting")
			}
			j--
		}
		if j < i {
			break
		}
		s.swap(i, j, s.t.getInt(i), s.t.getInt(j))
	}
	s.swap(high-1, i, s.t.getInt(high-1), s.t.getInt(i))
	return i
}
