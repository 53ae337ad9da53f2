package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// archived returns an archive of some files, one of them longer than a chunk and one empty.
func archived(t *testing.T, fs vfs.FS) []byte {
	t.Helper()
	long := make([]byte, 2*chunkBytes+77)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range long {
		long[i] = byte(rng.Uint32())
	}
	if err := fs.MkdirAll("from", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"a": []byte("short"), "empty": nil, "long": long} {
		f, err := fs.Create("from/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := WriteArchive(&out, fs, "from", []byte("header")); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func acceptHeader(header []byte) error {
	if string(header) != "header" {
		return fmt.Errorf("header %q", header)
	}
	return nil
}

func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestArchiveRoundTrip(t *testing.T) {
	fs := vfs.NewMem()
	archive := archived(t, fs)
	if size, err := ArchiveSize(fs, "from", []byte("header")); err != nil || size != int64(len(archive)) {
		t.Errorf("ArchiveSize says %d, %v; it has %d bytes", size, err, len(archive))
	}
	if err := CheckArchive(bytes.NewReader(archive), acceptHeader); err != nil {
		t.Fatal(err)
	}
	if err := ReadArchive(bytes.NewReader(archive), fs, "to", acceptHeader); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("to")
	if err != nil || len(names) != 3 {
		t.Fatalf("files %q, %v", names, err)
	}
	for _, name := range names {
		if !bytes.Equal(readFile(t, fs, "from/"+name), readFile(t, fs, "to/"+name)) {
			t.Errorf("file %s differs", name)
		}
	}
}

// TestArchiveDamage changes, cuts off and lengthens an archive: all of it is refused, with nothing left.
func TestArchiveDamage(t *testing.T) {
	fs := vfs.NewMem()
	archive := archived(t, fs)
	rng := rand.New(rand.NewPCG(3, 4))
	places := make([]int, 0, 400)
	for i := range 150 { // all of both ends, where each byte means something else
		places = append(places, i, len(archive)-1-i)
	}
	for range 100 {
		places = append(places, rng.IntN(len(archive)))
	}
	for _, at := range places {
		flipped := bytes.Clone(archive)
		flipped[at] ^= 1 << rng.IntN(8)
		refused(t, fs, fmt.Sprintf("a bit of byte %d changed", at), flipped)
		refused(t, fs, fmt.Sprintf("cut off at %d", at), archive[:at])
	}
	refused(t, fs, "a byte more", append(bytes.Clone(archive), 0))
	refused(t, fs, "twice", append(bytes.Clone(archive), archive...))
}

func refused(t *testing.T, fs vfs.FS, what string, archive []byte) {
	t.Helper()
	for _, err := range []error{
		CheckArchive(bytes.NewReader(archive), acceptHeader),
		ReadArchive(bytes.NewReader(archive), fs, "refused", acceptHeader),
	} {
		var located *ArchiveError
		if !errors.Is(err, ErrCorrupt) || !errors.As(err, &located) || located.Offset > int64(len(archive)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := fs.Stat("refused"); err == nil {
		t.Errorf("%s: the directory is still there", what)
	}
}

// TestArchiveWriteFails lets the reader go away.
func TestArchiveWriteFails(t *testing.T) {
	fs := vfs.NewMem()
	archived(t, fs)
	in, out := io.Pipe()
	gone := errors.New("the reader is gone")
	in.CloseWithError(gone)
	if err := WriteArchive(out, fs, "from", nil); !errors.Is(err, gone) {
		t.Errorf("WriteArchive returns %v", err)
	}
}
