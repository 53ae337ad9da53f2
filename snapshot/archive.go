package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// An archive is a stream in one file: archiveMagic; each chunk with its length (4 bytes) before it; a
// length of 0; and the SHA-256 of everything before. The first chunk is the caller's header. Nothing
// follows.
const (
	archiveMagic  = "redoubt backup 1\n"
	frameBytes    = 4                  // the length before a chunk
	chunkOverhead = 1 + 4              // its kind and its CRC
	frameMax      = MaxHeaderBytes + 8 // the longest chunk is a header
)

// ArchiveSize is how many bytes WriteArchive writes.
func ArchiveSize(fs vfs.FS, dir string, header []byte) (int64, error) {
	names, err := fs.List(dir)
	if err != nil {
		return 0, fmt.Errorf("list snapshot: %w", err)
	}
	const perChunk = frameBytes + chunkOverhead
	total := int64(len(archiveMagic) + perChunk + 1 + len(header)) // the format's version is in the header
	for _, name := range names {
		info, err := fs.Stat(fs.PathJoin(dir, name))
		if err != nil {
			return 0, fmt.Errorf("snapshot file %s: %w", name, err)
		}
		chunks := (info.Size() + chunkBytes - 1) / chunkBytes
		total += perChunk + 8 + int64(len(name)) + info.Size() + chunks*perChunk + perChunk + 4
	}
	return total + perChunk + 8 + frameBytes + sha256.Size, nil
}

// WriteArchive writes the files of dir, preceded by header, to w.
func WriteArchive(w io.Writer, fs vfs.FS, dir string, header []byte) error {
	sum := sha256.New()
	to := io.MultiWriter(w, sum)
	if _, err := io.WriteString(to, archiveMagic); err != nil {
		return err
	}
	frame := make([]byte, 0, frameBytes+chunkBytes+16)
	_, err := Send(fs, dir, header, func(chunk []byte) error {
		frame = append(binary.BigEndian.AppendUint32(frame[:0], uint32(len(chunk))), chunk...)
		_, err := to.Write(frame)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := to.Write(make([]byte, frameBytes)); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

// ReadArchive reads an archive into the new directory dir. accept sees the header before any file is
// written and may refuse. When ReadArchive returns nil, every byte was checked and the files are
// durable; otherwise dir is gone, and the error is an *ArchiveError.
func ReadArchive(r io.Reader, fs vfs.FS, dir string, accept func(header []byte) error) error {
	a := newArchiveReader(r)
	err := Receive(fs, dir, a.next, accept)
	if err == nil {
		if err = a.finish(); err != nil {
			err = errors.Join(err, fs.RemoveAll(dir))
		}
	}
	return a.located(err)
}

// CheckArchive reads an archive as ReadArchive does, and writes nothing.
func CheckArchive(r io.Reader, accept func(header []byte) error) error {
	a := newArchiveReader(r)
	nowhere := receiver{accept: accept, create: func(string) (file, error) { return discard{}, nil }}
	err := nowhere.receive(a.next)
	if err == nil {
		err = a.finish()
	}
	return a.located(err)
}

// ArchiveError says where the part of an archive begins that could not be used.
type ArchiveError struct {
	Offset int64
	Err    error
}

func (e *ArchiveError) Error() string { return fmt.Sprintf("at offset %d: %v", e.Offset, e.Err) }

func (e *ArchiveError) Unwrap() error { return e.Err }

// discard is a file that is not kept.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Sync() error                 { return nil }
func (discard) Close() error                { return nil }

type archiveReader struct {
	r     *bufio.Reader
	sum   hash.Hash
	at    int64 // where the part begins that is being read
	ahead int64 // how long it is
	buf   []byte
}

func newArchiveReader(r io.Reader) *archiveReader {
	return &archiveReader{r: bufio.NewReaderSize(r, chunkBytes), sum: sha256.New()}
}

func (a *archiveReader) located(err error) error {
	if err == nil {
		return nil
	}
	return &ArchiveError{Offset: a.at, Err: err}
}

// take reads the next n bytes, which are valid until the next call.
func (a *archiveReader) take(n int) ([]byte, error) {
	a.at, a.ahead = a.at+a.ahead, int64(n)
	if cap(a.buf) < n {
		a.buf = make([]byte, n)
	}
	b := a.buf[:n]
	_, err := io.ReadFull(a.r, b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF // for a file that was cut off it does not matter where
	}
	return b, err
}

// next returns the next chunk.
func (a *archiveReader) next() ([]byte, error) {
	if a.at+a.ahead == 0 {
		magic, err := a.take(len(archiveMagic))
		if err == nil && !bytes.Equal(magic, []byte(archiveMagic)) {
			return nil, fmt.Errorf("%w: it is not a backup, or one of a newer version", ErrCorrupt)
		}
		if err != nil {
			return nil, err
		}
		a.sum.Write(magic)
	}
	size, err := a.take(frameBytes)
	if err != nil {
		return nil, err
	}
	a.sum.Write(size)
	n := binary.BigEndian.Uint32(size)
	if n > frameMax {
		return nil, fmt.Errorf("%w: a chunk of %d bytes", ErrCorrupt, n)
	}
	chunk, err := a.take(int(n))
	if err == nil {
		a.sum.Write(chunk)
	}
	return chunk, err
}

// finish checks what comes after the last chunk.
func (a *archiveReader) finish() error {
	end, err := a.take(frameBytes + sha256.Size)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends early", ErrCorrupt)
	}
	if err != nil {
		return err
	}
	a.sum.Write(end[:frameBytes])
	if binary.BigEndian.Uint32(end) != 0 || !bytes.Equal(end[frameBytes:], a.sum.Sum(nil)) {
		return fmt.Errorf("%w: checksum of the whole", ErrCorrupt)
	}
	if _, err := a.take(1); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("%w: something follows its end", ErrCorrupt), err)
	}
	return nil
}
