package command

import (
	"redoubt/fsm"
	"redoubt/rdb"
)

func dumpSet(tx *fsm.Txn, key []byte, row *fsm.Row) []byte {
	s := tx.Set(key, row)
	members := func(yield func(member []byte) bool) { s.All(yield) }
	if s.Intset() {
		return rdb.AppendIntset(nil, members)
	}
	return rdb.AppendSet(nil, !s.Large(), int(s.Len()), members)
}

func restoreSet(tx *fsm.Txn, key []byte, v *rdb.Value) {
	s := tx.Set(key, nil)
	if v.Packed {
		s.Unsorted()
		s.AnyLength()
	} else {
		s.Restored(v.Len)
	}
	s.Fill(v.Elements())
	s.Save()
}
