package command

import (
	"slices"

	"redoubt/fsm"
	"redoubt/rdb"
)

func dumpList(tx *fsm.Txn, key []byte, row *fsm.Row) []byte {
	return rdb.AppendList(nil, func(yield func(element []byte) bool) {
		tx.List(key, row).Each(0, false, func(_ int64, element []byte) bool { return yield(element) })
	})
}

func restoreList(tx *fsm.Txn, key []byte, v *rdb.Value) {
	l := tx.List(key, nil)
	l.Fill(slices.Collect(v.Elements()))
	if l.Reserve(0, 0); v.Nodes > 1 || v.Packed { // Redis keeps it in a quicklist
		l.SetLarge()
	}
	l.Save()
}
