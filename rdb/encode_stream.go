package rdb

import (
	"encoding/binary"
	"iter"
	"slices"
	"strconv"
)

// Bounds of a listpack of a stream.
const (
	streamNodeEntries = 100
	streamNodeBytes   = 4096
)

// AppendStream adds a stream. The pending entries and consumers of its groups are in order.
func AppendStream(dst []byte, s *StreamInfo, entries iter.Seq2[StreamID, [][]byte]) []byte {
	var nodes []byte
	count, total := uint64(0), uint64(0)
	var node streamNode
	for id, fields := range entries {
		if node.entries > 0 && (node.entries == streamNodeEntries || len(node.b) >= streamNodeBytes) {
			nodes = node.append(nodes)
			node = streamNode{}
			count++
		}
		node.add(id, fields)
		total++
	}
	if node.entries > 0 {
		nodes = node.append(nodes)
		count++
	}
	dst = append(appendLength(append(dst, typeStream3), count), nodes...)
	dst = appendLength(dst, total)
	for _, id := range []StreamID{s.LastID, s.FirstID, s.MaxDeletedID} {
		dst = appendID(dst, id)
	}
	dst = appendLength(dst, s.EntriesAdded)
	dst = appendLength(dst, uint64(len(s.Groups)))
	for i := range s.Groups {
		dst = s.Groups[i].append(dst)
	}
	return dst
}

func appendID(dst []byte, id StreamID) []byte { return appendLength(appendLength(dst, id.MS), id.Seq) }

func appendRawID(dst []byte, id StreamID) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, id.MS), id.Seq)
}

// streamNode is a listpack of a stream that is being made. Its first entry gives it its name and common fields.
type streamNode struct {
	name    StreamID
	common  [][]byte
	b       []byte // entries
	entries int
	words   int // in all entries
}

func (n *streamNode) add(id StreamID, fields [][]byte) {
	if n.entries == 0 {
		n.name = id
		for i := 0; i < len(fields); i += 2 {
			n.common = append(n.common, slices.Clone(fields[i]))
		}
	}
	same := len(fields) == 2*len(n.common)
	for i := 0; same && i < len(fields); i += 2 {
		same = string(fields[i]) == string(n.common[i/2])
	}
	flags, words := int64(0), 4+len(fields)
	if same {
		flags, words = entrySameFields, 3+len(fields)/2
	}
	n.integer(flags)
	n.integer(int64(id.MS - n.name.MS))
	n.integer(int64(id.Seq - n.name.Seq))
	if !same {
		n.integer(int64(len(fields) / 2))
	}
	for i, item := range fields {
		if !same || i%2 == 1 {
			n.b = appendListpack(n.b, item)
		}
	}
	n.integer(int64(words))
	n.words += words + 1
	n.entries++
}

func (n *streamNode) integer(v int64) {
	n.b = appendListpack(n.b, strconv.AppendInt(nil, v, 10))
}

// append adds the name and the listpack.
func (n *streamNode) append(dst []byte) []byte {
	head := streamNode{b: beginListpack()}
	head.integer(int64(n.entries))
	head.integer(0) // deleted
	head.integer(int64(len(n.common)))
	for _, field := range n.common {
		head.b = appendListpack(head.b, field)
	}
	head.integer(0)
	pack := endListpack(append(head.b, n.b...), 4+len(n.common)+n.words)
	return appendString(appendString(dst, appendRawID(nil, n.name)), pack)
}

// append adds a group.
func (g *Group) append(dst []byte) []byte {
	dst = appendID(appendString(dst, g.Name), g.LastID)
	dst = appendLength(dst, uint64(g.EntriesRead))
	dst = appendLength(dst, uint64(len(g.Pending)))
	owned := make([][]StreamID, len(g.Consumers))
	for _, p := range g.Pending {
		dst = binary.LittleEndian.AppendUint64(appendRawID(dst, p.ID), uint64(p.Delivered))
		dst = appendLength(dst, p.Count)
		owned[p.Consumer] = append(owned[p.Consumer], p.ID)
	}
	dst = appendLength(dst, uint64(len(g.Consumers)))
	for i, c := range g.Consumers {
		dst = binary.LittleEndian.AppendUint64(appendString(dst, c.Name), uint64(c.SeenTime))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.ActiveTime))
		dst = appendLength(dst, uint64(len(owned[i])))
		for _, id := range owned[i] {
			dst = appendRawID(dst, id)
		}
	}
	return dst
}
