package rdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sealFile ends a file with its checksum.
func sealFile(b []byte) []byte {
	b = append(b, opEnd)
	return binary.LittleEndian.AppendUint64(b, checksum(b))
}

// readFile shows all keys of a file, one a line, and what is wrong with it.
func readFile(b []byte) (out string, f *File, err error) {
	if f, err = NewFile(bytes.NewReader(b)); err != nil {
		return "", nil, err
	}
	for {
		e, err := f.Next()
		if err == io.EOF {
			return out, f, nil
		}
		if err != nil {
			return out, f, err
		}
		kind := e.Unknown
		if kind == "" {
			v, err := Parse(e.Value)
			if err != nil {
				return out, f, fmt.Errorf("key %s: %w", e.Key, err)
			}
			kind = fmt.Sprint(v.Kind, v.Len)
		}
		out += fmt.Sprintf("%d %s %d %s\n", e.DB, e.Key, e.ExpireAt, kind)
	}
}

// someFile has a key of each form, and everything else that there may be in a file.
func someFile() (file []byte, want string) {
	var b bytes.Buffer
	b.WriteString("REDIS0011")
	add := func(parts ...string) { b.WriteString(strings.Join(parts, "")) }
	add("\xfa\x09redis-ver\x056.0.1", "\xfa\x04bits\xc0\x40", "\xf4\x01\x02\x03", "\xf5\x03lib")
	add("\xf7\x81\x00\x00\x00\x00\x00\x00\x00\x01\x02\x02", "\x01\x05\x02\x06\x03abcd\x04abcdefgh\x05\x03abc\x00")
	add("\xfe\x00\xfb\x05\x00", "\x00\x01a\x01b", "\x00\xc0\x07\xc1\x00\x10")
	add("\xfd\x01\x00\x00\x00\xf8\x80\x00\x00\x01\x00\x00\x01c\xc2\x00\x00\x01\x00")
	add("\xfc\x01\x02\x00\x00\x00\x00\x00\x00\xf9\x10\x00\x01d\xc3\x05\x0a\x00a\xe0\x00\x00", "\xfe\x0f\x00\x01e\x40\x02xy")
	want = "0 a 0 1 0\n0 7 0 1 0\n0 c 1000 1 0\n0 d 513 1 0\n15 e 0 1 0\n"
	add("\x01\x01f\x02\x01a\x01b", "\x02\x01g\x01\x01a", "\x03\x01h\x02\x01a\x031.5\x01b\xfe", "\x04\x01i\x01\x01a\x01b")
	add("\x05\x01j\x01\x01a\x00\x00\x00\x00\x00\x00\x00\x00")
	want += "15 f 0 2 2\n15 g 0 3 1\n15 h 0 4 2\n15 i 0 5 1\n15 j 0 4 1\n"
	add("\x07\x01k\x05\x02\x05\x05\x01a\x00", "\x18\x01l\x01\x02\x03\x04\x05\x06\x07\x08\x01\x05\x01a\x01b")
	add("\x19\x01m\x01\x02\x03\x04\x05\x06\x07\x08\x01x", "\x16\x01n\x01\x05\x01a\x01b", "\x17\x01o\x01x")
	want += "15 k 0 module\n"
	for _, key := range "lmno" {
		want += fmt.Sprintf("15 %c 0 hash with times to live of fields\n", key)
	}
	values := [][]byte{
		AppendHash(nil, true, 1, func(yield func(a, b []byte) bool) { yield([]byte("a"), []byte("b")) }),
		AppendSet(nil, true, 1, func(yield func(a []byte) bool) { yield([]byte("a")) }),
		AppendIntset(nil, func(yield func(a []byte) bool) { yield([]byte("1")) }),
		AppendZSet(nil, true, 1, func(yield func(a []byte, score float64) bool) { yield([]byte("a"), 1) }),
		AppendList(nil, func(yield func(a []byte) bool) { yield([]byte("a")) }),
		AppendStream(nil, &StreamInfo{LastID: StreamID{2, 3}, EntriesAdded: 4, Groups: []Group{{Name: []byte("g"), EntriesRead: -1,
			Consumers: []Consumer{{Name: []byte("c")}}, Pending: []Pending{{ID: StreamID{1, 1}}, {ID: StreamID{1, 2}}}}}},
			func(yield func(id StreamID, fields [][]byte) bool) { yield(StreamID{1, 1}, [][]byte{{1}, {2}}) }),
	}
	for i, kind := range []Kind{Hash, Set, Set, ZSet, List, Stream} {
		add(string(values[i][:1]), "\x02v", fmt.Sprint(i), string(values[i][1:]))
		want += fmt.Sprintf("15 v%d 0 %d 1\n", i, kind)
	}
	return sealFile(b.Bytes()), want
}

// TestFile reads a file with everything in it, and files of which an end is missing or a bit is wrong.
func TestFile(t *testing.T) {
	file, want := someFile()
	got, f, err := readFile(file)
	if err != nil || got != want || f.Functions != 1 || f.Modules != 1 {
		t.Fatalf("%v, %+v\n%s\nwant\n%s", err, f, got, want)
	}
	for n := range file {
		if _, _, err := readFile(file[:n]); err == nil {
			t.Errorf("nothing is wrong with the first %d bytes", n)
		}
		for bit := range 8 {
			flipped := bytes.Clone(file)
			flipped[n] ^= 1 << bit
			if _, _, err := readFile(flipped); err == nil {
				t.Errorf("nothing is wrong with bit %d of byte %d", bit, n)
			}
		}
	}
	if _, _, err := readFile(append(file, 0)); err == nil {
		t.Error("something may follow the end")
	}
	for _, of := range []string{"REDIS0011\xf3", "REDIS0011\x06", "REDIS0011\x1a", "REDIS0011\xf6"} {
		if _, _, err := readFile(sealFile([]byte(of))); err == nil || !strings.Contains(err.Error(), "not known") {
			t.Errorf("%q: %v", of, err)
		}
	}
	for _, whole := range []string{"REDIS0003\x00\x01a\x01b\xff", "REDIS0011\x00\x01a\x01b\xff\x00\x00\x00\x00\x00\x00\x00\x00"} {
		if got, _, err := readFile([]byte(whole)); err != nil || got != "0 a 0 1 0\n" {
			t.Errorf("%q: %q, %v", whole, got, err)
		}
	}
}

// TestFileGarbage reads what is no file behind its head.
func TestFileGarbage(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		_, _, _ = readFile(append([]byte("REDIS0011"), rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "bytes")...))
	})
}
