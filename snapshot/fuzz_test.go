package snapshot

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FuzzStream: chunks whose own checksums are right, in any order and with any content, give a whole
// directory or none, and nothing outside of it. The input is a sequence of kind, length and body.
func FuzzStream(f *testing.F) {
	sum := func(b []byte) []byte { return binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, castagnoli)) }
	part := func(kind byte, body []byte) []byte { return append([]byte{kind, byte(len(body))}, body...) }
	file := sum([]byte("abc"))
	var whole []byte
	for _, p := range [][]byte{part(kindHeader, []byte{formatVersion, 'h'}), part(kindFile, append([]byte{0, 0, 0, 0, 0, 0, 0, 3}, "f"...)),
		part(kindData, []byte("abc")), part(kindFileEnd, file), part(kindEnd, append([]byte{0, 0, 0, 1}, sum(file)...))} {
		whole = append(whole, p...)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-10])
	f.Add(append(part(kindHeader, []byte{formatVersion}), part(kindFile, append([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, ".."...))...))
	f.Add(append(part(kindHeader, []byte{formatVersion}), part(kindEnd, make([]byte, 8))...))
	f.Fuzz(func(t *testing.T, input []byte) {
		fs := vfs.NewMem()
		err := Receive(fs, "/in/dst", func() ([]byte, error) {
			if len(input) < 2 {
				return nil, io.EOF
			}
			n := min(int(input[1]), len(input)-2)
			chunk := append([]byte{input[0]}, input[2:2+n]...)
			input = input[2+n:]
			return append(chunk, sum(chunk)...), nil
		}, func([]byte) error { return nil })
		if _, statErr := fs.Stat("/in/dst"); (err == nil) != (statErr == nil) {
			t.Fatalf("Receive said %v, the directory says %v", err, statErr)
		}
		for dir, most := range map[string]int{"/": 1, "/in": 1} {
			if names, err := fs.List(dir); err != nil || len(names) > most {
				t.Fatal(dir, "holds", names, err)
			}
		}
	})
}
