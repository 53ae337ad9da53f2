package command

import (
	"redoubt/fsm"
	"redoubt/resp"
)

// sortable is what SORT needs of a collection.
type sortable struct {
	count   int64
	ordered bool // the elements have an order of their own
	// each goes over the elements in this order from a place on or, if it is said so, backwards, places being counted
	// from the end.
	each func(from int64, back bool, fn func(element []byte) bool)
}

// lookupSortable finds the collection at a key, which is empty without one. The reply is the error for a key of another
// type, and of kind None otherwise.
func lookupSortable(tx *fsm.Txn, key []byte) (sortable, resp.Reply) {
	row := tx.Lookup(key)
	if row == nil {
		return sortable{ordered: true}, resp.Reply{}
	}
	switch row.Kind {
	case fsm.List:
		l := tx.List(key, row)
		each := func(from int64, back bool, fn func([]byte) bool) {
			if back {
				from = l.Len() - 1 - from
			}
			l.Each(from, back, func(_ int64, element []byte) bool { return fn(element) })
		}
		return sortable{count: l.Len(), ordered: true, each: each}, resp.Reply{}
	case fsm.ZSet:
		z := tx.ZSet(key, row)
		each := func(from int64, back bool, fn func([]byte) bool) {
			if back {
				z.Descend(z.Len()-1-from, func(m fsm.ScoredMember) bool { return fn(m.Member) })
				return
			}
			z.Ascend(from, func(m fsm.ScoredMember) bool { return fn(m.Member) })
		}
		return sortable{count: z.Len(), ordered: true, each: each}, resp.Reply{}
	case fsm.Set:
		s := tx.Set(key, row)
		return sortable{count: s.Len(), each: func(from int64, _ bool, fn func([]byte) bool) { s.From(from, fn) }}, resp.Reply{}
	}
	return sortable{}, errWrongType
}

// slice collects the elements from a place to before another one.
func (s *sortable) slice(from, to int64, back bool) [][]byte {
	out := make([][]byte, 0, to-from)
	if from < to {
		s.each(from, back, func(element []byte) bool {
			out = append(out, element)
			return int64(len(out)) < to-from
		})
	}
	return out
}

// storeList stores a list, or deletes what is at its key when there are no elements.
func storeList(tx *fsm.Txn, key []byte, elements [][]byte) {
	if len(elements) == 0 {
		remove(tx, key)
		return
	}
	l := tx.List(key, nil)
	l.Append(elements...)
	l.Save()
	tx.Notify(fsm.EventList, "sortstore", key)
}
