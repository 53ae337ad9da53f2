package rdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// text is a string of one of the kinds that are written in different ways.
func text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.Int64().Draw(t, "int")) }),
		rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "bytes")) }),
		rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(rapid.StringN(1, 5, 10).Draw(t, "word"), rapid.IntRange(1, 5000).Draw(t, "times"))
		}),
		rapid.SampledFrom([]string{"", "-0", "007", "+1", "1e3", "127", "128", "-4096", "4095", "-4097", "9223372036854775808"}),
	)
}

func reopen(t *rapid.T, b []byte) *Value {
	v, err := Open(Seal(b))
	if err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return v
}

// TestRoundTrip writes values of all types and reads them.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		items := rapid.SliceOfNDistinct(text(), 1, 200, func(s string) string { return s }).Draw(rt, "items")
		packed := rapid.Bool().Draw(rt, "packed")
		each := func(yield func([]byte) bool) {
			for _, item := range items {
				if !yield([]byte(item)) {
					return
				}
			}
		}
		pairs := func(yield func(a, b []byte) bool) {
			for i, item := range items {
				if !yield([]byte(item), []byte(items[len(items)-1-i])) {
					return
				}
			}
		}
		if got := reopen(rt, AppendString(nil, []byte(items[0]))).String(); string(got) != items[0] {
			rt.Fatalf("string %q", got)
		}
		for _, v := range []*Value{reopen(rt, AppendList(nil, each)), reopen(rt, AppendSet(nil, packed, len(items), each))} {
			i := 0
			for got := range v.Elements() {
				if string(got) != items[i] {
					rt.Fatalf("element %d is %q, not %q", i, got, items[i])
				}
				i++
			}
			if i != len(items) || v.Len != i {
				rt.Fatalf("%d of %d elements, Len %d", i, len(items), v.Len)
			}
		}
		i := 0
		for field, value := range reopen(rt, AppendHash(nil, packed, len(items), pairs)).Fields() {
			if string(field) != items[i] || string(value) != items[len(items)-1-i] {
				rt.Fatalf("field %d is %q %q", i, field, value)
			}
			i++
		}
		scores := rapid.SliceOfN(rapid.Float64(), len(items), len(items)).Draw(rt, "scores")
		i = 0
		for member, score := range reopen(rt, AppendZSet(nil, packed, len(items), func(yield func([]byte, float64) bool) {
			for i, item := range items {
				if !yield([]byte(item), scores[i]) {
					return
				}
			}
		})).Members() {
			if string(member) != items[i] || score != scores[i] {
				rt.Fatalf("member %d is %q %v, not %v", i, member, score, scores[i])
			}
			i++
		}
	})
}

// TestStreamRoundTrip does the same with a stream, whose entries have one or the other fields.
func TestStreamRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		info := &StreamInfo{EntriesAdded: 1 << 40}
		var ids []StreamID
		var all [][][]byte
		for range rapid.IntRange(0, 250).Draw(rt, "entries") {
			id := info.LastID
			if rapid.Bool().Draw(rt, "same ms") {
				id.Seq += rapid.Uint64Range(1, 1000).Draw(rt, "seq")
			} else {
				id = StreamID{id.MS + rapid.Uint64Range(1, 1<<40).Draw(rt, "ms"), rapid.Uint64Range(0, 5).Draw(rt, "seq")}
			}
			fields := [][]byte{[]byte("a"), []byte(text().Draw(rt, "value"))}
			if rapid.Bool().Draw(rt, "other") {
				fields = append(fields, []byte(text().Draw(rt, "field")), nil)
			}
			ids, all, info.LastID = append(ids, id), append(all, fields), id
		}
		g := Group{Name: []byte("g"), EntriesRead: -1, Consumers: []Consumer{{Name: []byte("c"), SeenTime: 5, ActiveTime: -1}, {Name: []byte("d")}}}
		for i, id := range ids {
			if i%3 == 0 {
				g.Pending = append(g.Pending, Pending{ID: id, Consumer: i % 2, Delivered: int64(i), Count: uint64(i)})
			}
		}
		info.Groups = []Group{g, {Name: []byte("empty"), EntriesRead: 7}}
		v := reopen(rt, AppendStream(nil, info, func(yield func(StreamID, [][]byte) bool) {
			for i := range ids {
				if !yield(ids[i], all[i]) {
					return
				}
			}
		}))
		if fmt.Sprint(*v.Stream) != fmt.Sprint(*info) {
			rt.Fatalf("%v, was %v", *v.Stream, *info)
		}
		i := 0
		for id, fields := range v.Entries() {
			if id != ids[i] || !bytes.Equal(bytes.Join(fields, []byte{0}), bytes.Join(all[i], []byte{0})) {
				rt.Fatalf("entry %d: %v %q", i, id, fields)
			}
			i++
		}
		if i != len(ids) || v.Len != i {
			rt.Fatalf("%d of %d entries", i, len(ids))
		}
	})
}

// TestLZF compresses what has long and short repetitions, near and far.
func TestLZF(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var b []byte
		for range rapid.IntRange(1, 20).Draw(rt, "parts") {
			from := rapid.IntRange(0, len(b)).Draw(rt, "from")
			b = append(b, b[from:min(len(b), from+rapid.IntRange(0, 3000).Draw(rt, "length"))]...)
			b = append(b, rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(rt, "bytes")...)
		}
		if packed := compress(b); packed != nil && !bytes.Equal(decompress(packed, len(b)), b) {
			rt.Fatalf("%d bytes are not the same again", len(b))
		}
	})
	if packed := compress(make([]byte, 1<<20)); len(packed) > 1<<20/80 {
		t.Errorf("a megabyte of zeros is %d bytes", len(packed))
	}
}

// zmap and ints are values as Redis before 2.6 and 7.0 wrote them.
var (
	zmap = []byte("\x02\x01f\x01\x02v  \x01g\x03\x00xyz\xff")
	ints = append([]byte{2, 0, 0, 0, 2, 0, 0, 0}, 0xfe, 0xff, 7, 0)
)

func withString(form byte, s []byte) []byte { return append(append([]byte{form}, byte(len(s))), s...) }

// TestOldForms reads what Redis does not write any more.
func TestOldForms(t *testing.T) {
	zip := []byte("\x16\x00\x00\x00\x12\x00\x00\x00\x03\x00\x00\x01a\x03\xf2\x02\xc0\x00\x10")
	zip = append(zip, []byte{4, 0xfe, 0x80, 0xff}...)
	binary.LittleEndian.PutUint32(zip, uint32(len(zip)))
	binary.LittleEndian.PutUint16(zip[8:], 4)
	for want, b := range map[string][]byte{
		"f=v g=xyz ":     withString(typeHashZipmap, zmap),
		"a=1 4096=-128 ": withString(typeHashZiplist, zip),
	} {
		v, err := Open(Seal(b))
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		got := ""
		for field, value := range v.Fields() {
			got += fmt.Sprintf("%s=%s ", field, value)
		}
		if got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	v, err := Open(Seal(withString(typeSetIntset, ints)))
	if err != nil || v.Len != 2 {
		t.Fatalf("intset: %v", err)
	}
}

// TestRefused: none of these is a value, though some are to a Redis that does not look.
func TestRefused(t *testing.T) {
	nan := binary.LittleEndian.AppendUint64([]byte("\x05\x01\x01a"), math.Float64bits(math.NaN()))
	for name, b := range map[string][]byte{
		"nothing": nil, "no type": {8}, "a module": {7, 0}, "ends early": []byte("\x00\x05hell"),
		"long length": append([]byte{0, 0x81}, bytes.Repeat([]byte{0xff}, 8)...), "no length": {0, 0x82},
		"no encoding": {0, 0xc4}, "long when decompressed": []byte("\x00\xc3\x03\x80\x7f\xff\xff\xff\x00aa"),
		"short when decompressed": []byte("\x00\xc3\x03\x05\x01aa"), "reference before": []byte("\x00\xc3\x02\x03\x20\x00"),
		"a field twice": []byte("\x04\x02\x01f\x01v\x01f\x01w"), "a member twice": []byte("\x02\x02\x01f\x01f"),
		"half a field": []byte("\x10\x0b\x0b\x00\x00\x00\x01\x00\x82ab\x03\xff"), "not a number": nan,
		"empty list": {1, 0}, "empty hash": {4, 0}, "empty set": {2, 0}, "empty sorted set": {5, 0},
		"many elements": {1, 0x80, 0xff, 0xff, 0xff, 0xff, 0}, "unsorted intset": withString(typeSetIntset, append([]byte{2, 0, 0, 0, 2, 0, 0, 0}, 7, 0, 6, 0)),
		"listpack with another number": []byte("\x14\x0b\x0b\x00\x00\x00\x02\x00\x82ab\x03\xff"),
		"listpack with another size":   []byte("\x14\x0b\x0c\x00\x00\x00\x01\x00\x82ab\x03\xff"),
		"listpack with another back":   []byte("\x14\x0b\x0b\x00\x00\x00\x01\x00\x82ab\x04\xff"),
		"node of no kind":              []byte("\x12\x01\x03\x01a"), "score": []byte("\x03\x01\x01a\x02zz"),
	} {
		if _, err := Open(Seal(b)); err != ErrFormat {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := Seal([]byte("\x00\x05hello"))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if _, err := Open(bad); err != ErrFooter {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	if _, err := Open(good[:9]); err != ErrFooter {
		t.Errorf("short: %v", err)
	}
}

// FuzzOpen: whatever is in a payload, reading it ends, and what was found to be in order can be gone through again.
func FuzzOpen(f *testing.F) {
	for _, b := range [][]byte{
		[]byte("\x00\x05hello"), []byte("\x00\xc3\x0a<\x02aba\xe0.\x01\x01ab"), withString(typeHashZipmap, zmap),
		withString(typeSetIntset, ints), []byte("\x10\x13\x13\x00\x00\x00\x04\x00\x81f\x02\x81v\x02\x0c\x01\xf1x\xec\x03\xff"),
		[]byte("\x12\x02\x01\x05plain\x02\x0b\x0b\x00\x00\x00\x01\x00\x82ab\x03\xff"), []byte("\x03\x02\x01a\x031.5\x01b\xfe"),
		[]byte("\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf0?"),
		AppendStream(nil, &StreamInfo{LastID: StreamID{5, 6}, Groups: []Group{{Name: []byte("g"),
			Pending: []Pending{{ID: StreamID{5, 6}}}, Consumers: []Consumer{{Name: []byte("c")}}}}},
			func(yield func(StreamID, [][]byte) bool) { yield(StreamID{5, 6}, [][]byte{[]byte("a"), []byte("b")}) }),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Open(Seal(bytes.Clone(b)))
		if err != nil {
			return
		}
		count := 0
		switch v.Kind {
		case String:
			v.String()
			return
		case Hash:
			for range v.Fields() {
				count++
			}
		case ZSet:
			for range v.Members() {
				count++
			}
		case Stream:
			for range v.Entries() {
				count++
			}
			for _, g := range v.Stream.Groups {
				for _, p := range g.Pending {
					_ = g.Consumers[p.Consumer]
				}
			}
		default:
			for range v.Elements() {
				count++
			}
		}
		if count != v.Len {
			t.Fatalf("%d of %d parts", count, v.Len)
		}
	})
}
