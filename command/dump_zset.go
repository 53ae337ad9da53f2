package command

import (
	"redoubt/fsm"
	"redoubt/rdb"
)

func dumpZSet(tx *fsm.Txn, key []byte, row *fsm.Row) []byte {
	z := tx.ZSet(key, row)
	return rdb.AppendZSet(nil, !z.Large(), int(z.Len()), func(yield func(member []byte, score float64) bool) {
		z.Ascend(0, func(m fsm.ScoredMember) bool { return yield(m.Member, m.Score) })
	})
}

func restoreZSet(tx *fsm.Txn, key []byte, v *rdb.Value) {
	if !v.Packed {
		members := make([]fsm.ScoredMember, 0, v.Len)
		for member, score := range v.Members() {
			members = append(members, fsm.ScoredMember{Member: member, Score: score})
		}
		tx.StoreZSet(key, members)
		return
	}
	z := tx.ZSet(key, nil)
	z.Restored()
	for member, score := range v.Members() {
		z.Set(member, score)
	}
	z.Save()
}
