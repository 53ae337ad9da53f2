package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"redoubt/rdb"
)

// send takes a command, whose arguments may change when it has returned.
type send func(args ...[]byte) error

// Bounds of one command that is a part of a collection, each but for one element that is larger.
const (
	batchArgs  = 1000
	batchBytes = 256 << 10
)

// batch collects arguments of a command until there are enough.
type batch struct {
	send  send
	head  [][]byte // the command and the key
	args  [][]byte
	bytes int
}

func newBatch(to send, command string, key []byte) *batch {
	return &batch{send: to, head: [][]byte{[]byte(command), key}}
}

// add adds arguments that belong together.
func (b *batch) add(args ...[]byte) error {
	size := 0
	for _, arg := range args {
		size += len(arg)
	}
	if b.bytes+size > batchBytes || len(b.args)+len(args) > batchArgs {
		if err := b.end(); err != nil {
			return err
		}
	}
	b.args, b.bytes = append(b.args, args...), b.bytes+size
	return nil
}

// end sends what is left.
func (b *batch) end() error {
	if len(b.args) == 0 {
		return nil
	}
	err := b.send(slices.Concat(b.head, b.args)...)
	b.args, b.bytes = nil, 0
	return err
}

// writeValue sends what makes a key of a value, in place of what is there, and with this expiry time unless it is 0.
func writeValue(to send, key []byte, v *rdb.Value, at int64) error {
	if v.Kind == rdb.String {
		if err := to([]byte("SET"), key, v.String()); err != nil {
			return err
		}
		return expireAt(to, key, at)
	}
	if err := to([]byte("DEL"), key); err != nil {
		return err
	}
	var err error
	if v.Kind == rdb.Stream {
		err = writeStream(to, key, v)
	} else {
		err = writeCollection(to, key, v)
	}
	if err != nil {
		return err
	}
	return expireAt(to, key, at)
}

func expireAt(to send, key []byte, at int64) error {
	if at == 0 {
		return nil
	}
	return to([]byte("PEXPIREAT"), key, decimal(at))
}

// writeCollection sends the elements of a list, set, sorted set or hash.
func writeCollection(to send, key []byte, v *rdb.Value) error {
	b := newBatch(to, map[rdb.Kind]string{rdb.List: "RPUSH", rdb.Set: "SADD", rdb.ZSet: "ZADD", rdb.Hash: "HSET"}[v.Kind], key)
	switch v.Kind {
	case rdb.ZSet:
		for member, score := range v.Members() {
			if err := b.add(scoreText(score), member); err != nil {
				return err
			}
		}
	case rdb.Hash:
		for field, value := range v.Fields() {
			if err := b.add(field, value); err != nil {
				return err
			}
		}
	default:
		for element := range v.Elements() {
			if err := b.add(element); err != nil {
				return err
			}
		}
	}
	return b.end()
}

func scoreText(score float64) []byte {
	switch {
	case math.IsInf(score, 1):
		return []byte("inf")
	case math.IsInf(score, -1):
		return []byte("-inf")
	}
	return strconv.AppendFloat(nil, score, 'g', -1, 64)
}

func decimal(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

func idText(id rdb.StreamID) []byte { return fmt.Appendf(nil, "%d-%d", id.MS, id.Seq) }

// writeStream sends a stream: its entries, what it has beside, and its groups.
func writeStream(to send, key []byte, v *rdb.Value) error {
	last := rdb.StreamID{}
	for id, fields := range v.Entries() {
		if err := to(slices.Concat([][]byte{[]byte("XADD"), key, idText(id)}, fields)...); err != nil {
			return err
		}
		last = id
	}
	s := streamState{StreamInfo: *v.Stream, length: v.Len, last: last}
	if err := s.write(to, key); err != nil {
		return err
	}
	for _, g := range v.Stream.Groups {
		if err := writeGroup(to, key, &g); err != nil {
			return err
		}
	}
	return nil
}

// streamState is what there is to know of a stream whose entries were sent.
type streamState struct {
	rdb.StreamInfo
	length int
	last   rdb.StreamID // of the entries that were sent
}

// write sends what the stream has beside its entries, as far as it differs from what comes of adding them.
func (s *streamState) write(to send, key []byte) error {
	if s.length == 0 { // an entry that is gone at once makes the key
		id := s.LastID
		if id == (rdb.StreamID{}) {
			id.Seq = 1
		}
		if err := to([]byte("XADD"), key, []byte("MAXLEN"), []byte("0"), idText(id), []byte("f"), []byte("v")); err != nil {
			return err
		}
	} else if s.last == s.LastID && s.EntriesAdded == uint64(s.length) && s.MaxDeletedID == (rdb.StreamID{}) {
		return nil
	}
	return to([]byte("XSETID"), key, idText(s.LastID), []byte("ENTRIESADDED"), strconv.AppendUint(nil, s.EntriesAdded, 10),
		[]byte("MAXDELETEDID"), idText(s.MaxDeletedID))
}

// writeGroup sends a group with its consumers and what is pending with them.
func writeGroup(to send, key []byte, g *rdb.Group) error {
	create := [][]byte{[]byte("XGROUP"), []byte("CREATE"), key, g.Name, idText(g.LastID)}
	if g.EntriesRead >= 0 {
		create = append(create, []byte("ENTRIESREAD"), decimal(g.EntriesRead))
	}
	if err := to(create...); err != nil {
		return err
	}
	for _, c := range g.Consumers {
		if err := to([]byte("XGROUP"), []byte("CREATECONSUMER"), key, g.Name, c.Name); err != nil {
			return err
		}
	}
	for i := 0; i < len(g.Pending); { // those that differ in nothing but their ids go together
		p := g.Pending[i]
		claim := [][]byte{[]byte("XCLAIM"), key, g.Name, g.Consumers[p.Consumer].Name, []byte("0")}
		for ; i < len(g.Pending) && len(claim) < batchArgs; i++ {
			next := g.Pending[i]
			if next.Consumer != p.Consumer || next.Delivered != p.Delivered || next.Count != p.Count {
				break
			}
			claim = append(claim, idText(next.ID))
		}
		claim = append(claim, []byte("TIME"), decimal(p.Delivered), []byte("RETRYCOUNT"), strconv.AppendUint(nil, p.Count, 10),
			[]byte("FORCE"), []byte("JUSTID"))
		if err := to(claim...); err != nil {
			return err
		}
	}
	return nil
}
