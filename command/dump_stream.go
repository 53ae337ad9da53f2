package command

import (
	"redoubt/fsm"
	"redoubt/rdb"
)

func dumpStream(tx *fsm.Txn, key []byte, row *fsm.Row) []byte {
	s := tx.Stream(key, row)
	info := &rdb.StreamInfo{LastID: rdb.StreamID(s.LastID), FirstID: rdb.StreamID(s.First()),
		MaxDeletedID: rdb.StreamID(s.MaxDeleted), EntriesAdded: s.Added}
	for g := range s.Groups() {
		info.Groups = append(info.Groups, dumpGroup(g))
	}
	return rdb.AppendStream(nil, info, func(yield func(id rdb.StreamID, fields [][]byte) bool) {
		for e := range s.From(0, false) {
			if !yield(rdb.StreamID(e.ID), e.Fields) {
				return
			}
		}
	})
}

func dumpGroup(g *fsm.StreamGroup) rdb.Group {
	group := rdb.Group{Name: g.Name, LastID: rdb.StreamID(g.LastID), EntriesRead: g.Read}
	index := make(map[string]int)
	for c := range g.Consumers() {
		index[string(c.Name)] = len(group.Consumers)
		group.Consumers = append(group.Consumers, rdb.Consumer{Name: c.Name, SeenTime: c.Seen, ActiveTime: c.Active})
	}
	for p := range g.Pending(fsm.StreamID{}) {
		group.Pending = append(group.Pending, rdb.Pending{ID: rdb.StreamID(p.ID), Consumer: index[string(g.Owner(p))],
			Delivered: p.Time, Count: p.Count})
	}
	return group
}

func restoreStream(tx *fsm.Txn, key []byte, v *rdb.Value) {
	s, info := tx.Stream(key, nil), v.Stream
	s.Fill(func(yield func(id fsm.StreamID, fields [][]byte) bool) {
		for id, fields := range v.Entries() {
			if !yield(fsm.StreamID(id), fields) {
				return
			}
		}
	})
	s.LastID, s.MaxDeleted, s.Added = fsm.StreamID(info.LastID), fsm.StreamID(info.MaxDeletedID), info.EntriesAdded
	s.FillGroups(func() {
		for _, group := range info.Groups {
			restoreGroup(s, group)
		}
	})
	s.Save()
}

func restoreGroup(s *fsm.StreamValue, group rdb.Group) {
	g := s.CreateGroup(group.Name, fsm.StreamID(group.LastID), group.EntriesRead)
	consumers := make([]*fsm.StreamConsumer, len(group.Consumers))
	for i, consumer := range group.Consumers {
		c := g.CreateConsumer(consumer.Name, consumer.SeenTime)
		c.Active = consumer.ActiveTime
		c.Save()
		consumers[i] = c
	}
	for _, p := range group.Pending {
		consumers[p.Consumer].Give(fsm.StreamPending{ID: fsm.StreamID(p.ID), Time: p.Delivered, Count: p.Count})
	}
}
