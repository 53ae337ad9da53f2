package fsm

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"
)

// The second tree of a stream has entries of these kinds, by the first byte of their keys:
//
//	'g' name           a group: number, last id, entries read
//	'c' group 8 name   a consumer of it: number, when it was seen and when it was given something
//	'n' consumer 8     its name
//	'o' consumer 8 id  an entry that is pending with it
//	'p' group 8 id     an entry that is pending in the group: consumer, time, count of deliveries
//
// Numbers are given once in a stream, so that no entry of a consumer that is gone can be taken for one of another.
// How many there are of something is the difference of two ranks.
const (
	groupKey    = 'g'
	consumerKey = 'c'
	nameKey     = 'n'
	ownKey      = 'o'
	pendingKey  = 'p'
)

// StreamGroup is a consumer group. Changes of its fields are stored by its Save, and with the stream.
type StreamGroup struct {
	Name   []byte
	LastID StreamID // what was delivered last
	Read   int64    // the entries of the stream up to LastID, as far as that is known, or -1

	s      *StreamValue
	number uint64
}

// StreamConsumer is a consumer of a group. Changes of its fields are stored by its Save, and with the stream.
type StreamConsumer struct {
	Name   []byte
	Seen   int64 // when it last called, in milliseconds
	Active int64 // when it was last given an entry, or -1

	g      *StreamGroup
	number uint64
}

// StreamPending is an entry that was given to a consumer and not acknowledged.
type StreamPending struct {
	ID    StreamID
	Time  int64  // of the last delivery, in milliseconds
	Count uint64 // of deliveries

	consumer uint64
}

func numberedKey(kind byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 1+8+streamIDBytes), kind), number)
}

// put stores an entry of the second tree.
func (s *StreamValue) put(key, value []byte) {
	var c cursor
	if s.groups().seek(&c, key) {
		c.set(value)
	} else {
		s.insert(&c, key, value)
	}
}

// insert puts an entry where a cursor is in the second tree, or notes it for FillGroups.
func (s *StreamValue) insert(c *cursor, key, value []byte) {
	if s.filling {
		s.filled = append(s.filled, [2][]byte{key, value})
		return
	}
	c.t = s.groups()
	c.insert(key, value)
}

// FillGroups has fill make all groups of a stream that had none, with what is pending in them, and stores them in one go.
// Until it returns nothing of them can be found.
func (s *StreamValue) FillGroups(fill func()) {
	s.filling = true
	fill()
	slices.SortStableFunc(s.filled, func(a, b [2][]byte) int { return bytes.Compare(a[0], b[0]) })
	b := s.groups().build()
	for i, kv := range s.filled {
		if i+1 == len(s.filled) || !bytes.Equal(kv[0], s.filled[i+1][0]) { // the last one counts
			b.add(kv[0], kv[1])
		}
	}
	b.end()
	s.filling, s.filled = false, nil
}

// drop removes an entry of the second tree.
func (s *StreamValue) drop(key []byte) {
	var c cursor
	if s.groups().seek(&c, key) {
		c.remove()
	}
}

func (s *StreamValue) groups() *tree { return &s.trees.tree[groupTree] }

// rank is the number of entries of the second tree before a key.
func (s *StreamValue) rank(key []byte) uint64 {
	var c cursor
	s.groups().seek(&c, key)
	return c.rank()
}

// count is the number of entries of a kind under a number.
func (s *StreamValue) count(kind byte, number uint64) int64 {
	return int64(s.rank(numberedKey(kind, number+1)) - s.rank(numberedKey(kind, number)))
}

// clear removes what count counts.
func (s *StreamValue) clear(kind byte, number uint64) {
	s.groups().removeRange(s.rank(numberedKey(kind, number)), s.rank(numberedKey(kind, number+1)), nil)
}

// under goes over the entries of the second tree whose keys begin with prefix, from a key on. The tree must not be
// changed meanwhile.
func (s *StreamValue) under(prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(rest, value []byte) bool) {
		var c cursor
		for s.groups().seek(&c, from); c.valid(); c.forward() {
			key := c.key()
			if len(key) < len(prefix) || string(key[:len(prefix)]) != string(prefix) ||
				!yield(key[len(prefix):], c.value()) {
				return
			}
		}
	}
}

// Groups goes over the groups in the order of their names. They must not be saved meanwhile.
func (s *StreamValue) Groups() iter.Seq[*StreamGroup] {
	return func(yield func(*StreamGroup) bool) {
		for name, value := range s.under([]byte{groupKey}, []byte{groupKey}) {
			if !yield(s.openGroup(name, value)) {
				return
			}
		}
	}
}

// GroupCount is the number of groups.
func (s *StreamValue) GroupCount() int64 {
	return int64(s.rank([]byte{groupKey + 1}) - s.rank([]byte{groupKey}))
}

// Group returns the group with a name, or nil.
func (s *StreamValue) Group(name []byte) *StreamGroup {
	var c cursor
	if !s.groups().seek(&c, groupName(name)) {
		return nil
	}
	return s.openGroup(name, c.value())
}

func groupName(name []byte) []byte {
	return append(append(make([]byte, 0, 1+len(name)), groupKey), name...)
}

func (s *StreamValue) openGroup(name, value []byte) *StreamGroup {
	g := &StreamGroup{Name: name, s: s}
	var read uint64
	s.uvarints(value, &g.number, &g.LastID.MS, &g.LastID.Seq, &read)
	g.Read = int64(read) - 1
	return g
}

// CreateGroup makes a group of a name that there is none of, and stores it.
func (s *StreamValue) CreateGroup(name []byte, last StreamID, read int64) *StreamGroup {
	s.named++
	g := &StreamGroup{Name: name, LastID: last, Read: read, s: s, number: s.named}
	g.Save()
	return g
}

// Save stores the group.
func (g *StreamGroup) Save() {
	g.s.put(groupName(g.Name), appendUvarints(g.number, g.LastID.MS, g.LastID.Seq, uint64(g.Read+1)))
}

// Destroy removes the group with all that is pending in it.
func (g *StreamGroup) Destroy() {
	for _, number := range g.consumerNumbers() {
		g.s.clear(ownKey, number)
		g.s.drop(numberedKey(nameKey, number))
	}
	g.s.clear(consumerKey, g.number)
	g.s.clear(pendingKey, g.number)
	g.s.drop(groupName(g.Name))
}

func (g *StreamGroup) consumerNumbers() (numbers []uint64) {
	for c := range g.Consumers() {
		numbers = append(numbers, c.number)
	}
	return numbers
}

// Consumers goes over the consumers of the group in the order of their names. They must not be saved meanwhile.
func (g *StreamGroup) Consumers() iter.Seq[*StreamConsumer] {
	return func(yield func(*StreamConsumer) bool) {
		prefix := numberedKey(consumerKey, g.number)
		for name, value := range g.s.under(prefix, prefix) {
			if !yield(g.openConsumer(name, value)) {
				return
			}
		}
	}
}

// ConsumerCount is the number of consumers of the group.
func (g *StreamGroup) ConsumerCount() int64 { return g.s.count(consumerKey, g.number) }

func (g *StreamGroup) consumerName(name []byte) []byte {
	return append(numberedKey(consumerKey, g.number), name...)
}

// Consumer returns the consumer with a name, or nil.
func (g *StreamGroup) Consumer(name []byte) *StreamConsumer {
	var c cursor
	if !g.s.groups().seek(&c, g.consumerName(name)) {
		return nil
	}
	return g.openConsumer(name, c.value())
}

func (g *StreamGroup) openConsumer(name, value []byte) *StreamConsumer {
	c := &StreamConsumer{Name: name, g: g}
	var seen, active uint64
	g.s.uvarints(value, &c.number, &seen, &active)
	c.Seen, c.Active = int64(seen), int64(active)-1
	return c
}

// CreateConsumer makes a consumer of a name that there is none of, and stores it.
func (g *StreamGroup) CreateConsumer(name []byte, seen int64) *StreamConsumer {
	g.s.named++
	c := &StreamConsumer{Name: name, Seen: seen, Active: -1, g: g, number: g.s.named}
	g.s.put(numberedKey(nameKey, c.number), name)
	c.Save()
	return c
}

// Save stores the consumer.
func (c *StreamConsumer) Save() {
	c.g.s.put(c.g.consumerName(c.Name), appendUvarints(c.number, uint64(c.Seen), uint64(c.Active+1)))
}

// Delete removes the consumer and what is pending with it.
func (c *StreamConsumer) Delete() {
	s := c.g.s
	prefix := numberedKey(ownKey, c.number)
	var keys [][]byte
	for id := range s.under(prefix, prefix) {
		keys = append(keys, append(numberedKey(pendingKey, c.g.number), id...))
	}
	for _, key := range keys {
		s.drop(key)
	}
	s.clear(ownKey, c.number)
	s.drop(numberedKey(nameKey, c.number))
	s.drop(c.g.consumerName(c.Name))
}

// PendingCount is the number of entries that are pending in the group.
func (g *StreamGroup) PendingCount() int64 { return g.s.count(pendingKey, g.number) }

// PendingCount is the number of entries that are pending with the consumer.
func (c *StreamConsumer) PendingCount() int64 { return c.g.s.count(ownKey, c.number) }

// Pending goes over what is pending in the group, from an id on. Nothing of the group may be changed meanwhile.
func (g *StreamGroup) Pending(from StreamID) iter.Seq[StreamPending] {
	return func(yield func(StreamPending) bool) {
		prefix := numberedKey(pendingKey, g.number)
		for id, value := range g.s.under(prefix, from.appendTo(numberedKey(pendingKey, g.number))) {
			if !yield(g.openPending(id, value)) {
				return
			}
		}
	}
}

// Pending goes over what is pending with the consumer, from an id on. Nothing of the group may be changed meanwhile.
func (c *StreamConsumer) Pending(from StreamID) iter.Seq[StreamPending] {
	return func(yield func(StreamPending) bool) {
		prefix := numberedKey(ownKey, c.number)
		for id := range c.g.s.under(prefix, from.appendTo(numberedKey(ownKey, c.number))) {
			p, found := c.g.FindPending(streamIDAt(id))
			if !found {
				c.g.s.tx.fail(errCollection)
				return
			}
			if !yield(p) {
				return
			}
		}
	}
}

// LastPending is the largest id that is pending in the group, 0-0 without one.
func (g *StreamGroup) LastPending() StreamID {
	var c cursor
	g.s.groups().seek(&c, numberedKey(pendingKey, g.number+1))
	if !c.back() || c.key()[0] != pendingKey {
		return StreamID{}
	}
	return streamIDAt(c.key())
}

// FindPending returns what the group knows of an entry, and whether it is pending.
func (g *StreamGroup) FindPending(id StreamID) (StreamPending, bool) {
	var c cursor
	if !g.s.groups().seek(&c, id.appendTo(numberedKey(pendingKey, g.number))) {
		return StreamPending{}, false
	}
	return g.openPending(c.key(), c.value()), true
}

func (g *StreamGroup) openPending(key, value []byte) StreamPending {
	p := StreamPending{ID: streamIDAt(key)}
	var time uint64
	g.s.uvarints(value, &p.consumer, &time, &p.Count)
	p.Time = int64(time)
	return p
}

// Owner is the name of the consumer that an entry is pending with.
func (g *StreamGroup) Owner(p StreamPending) []byte {
	var c cursor
	if !g.s.groups().seek(&c, numberedKey(nameKey, p.consumer)) {
		g.s.tx.fail(errCollection)
		return nil
	}
	return c.value()
}

// Give makes an entry pending with a consumer, whoever had it before.
func (c *StreamConsumer) Give(p StreamPending) {
	key := p.ID.appendTo(numberedKey(pendingKey, c.g.number))
	value := appendUvarints(c.number, uint64(p.Time), p.Count)
	old := uint64(0)
	var at cursor
	if c.g.s.groups().seek(&at, key) {
		old = c.g.openPending(key, at.value()).consumer
		at.set(value)
	} else {
		c.g.s.insert(&at, key, value)
	}
	if old == c.number {
		return
	}
	if old != 0 {
		c.g.s.drop(p.ID.appendTo(numberedKey(ownKey, old)))
	}
	c.g.s.put(p.ID.appendTo(numberedKey(ownKey, c.number)), nil)
}

// Forget makes an entry not pending any more, and says whether it was.
func (g *StreamGroup) Forget(id StreamID) bool {
	key := id.appendTo(numberedKey(pendingKey, g.number))
	var c cursor
	if !g.s.groups().seek(&c, key) {
		return false
	}
	p := g.openPending(key, c.value())
	c.remove()
	g.s.drop(id.appendTo(numberedKey(ownKey, p.consumer)))
	return true
}

// uvarints reads numbers, and returns what follows them.
func (s *StreamValue) uvarints(b []byte, numbers ...*uint64) []byte {
	for _, n := range numbers {
		size := 0
		if *n, size = binary.Uvarint(b); size <= 0 {
			s.tx.fail(errCollection)
			return nil
		}
		b = b[size:]
	}
	return b
}

func appendUvarints(numbers ...uint64) []byte {
	b := make([]byte, 0, 32)
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}
