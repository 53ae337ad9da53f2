package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/failpoint"
)

// ErrCorrupt says that a received stream is not what was sent, or does not follow the format.
var ErrCorrupt = errors.New("snapshot stream is corrupt")

// A stream is a sequence of chunks. Each is one kind byte, a body, and the CRC-32C of both.
const (
	formatVersion = 1

	kindHeader  = 'H' // version, caller's header
	kindFile    = 'F' // size (8 bytes), name: the data of this file follows
	kindData    = 'D' // bytes of the current file
	kindFileEnd = 'E' // CRC-32C of the whole file
	kindEnd     = 'Z' // number of files, CRC-32C over their CRCs in order

	// chunkBytes is the data in one chunk: large enough for few calls, small enough that the
	// receiver's heartbeats are not held up behind it.
	chunkBytes = 256 << 10

	// MaxHeaderBytes bounds the caller's header.
	MaxHeaderBytes = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Send writes the files of dir, preceded by header, as chunks to emit. The slice that emit gets is
// valid only during the call. It returns the number of file bytes sent.
func Send(fs vfs.FS, dir string, header []byte, emit func(chunk []byte) error) (int64, error) {
	names, err := fs.List(dir)
	if err != nil {
		return 0, fmt.Errorf("list snapshot: %w", err)
	}
	sort.Strings(names)
	s := sender{fs: fs, emit: emit, buf: make([]byte, 0, chunkBytes+16)}
	if err := s.chunk(kindHeader, append([]byte{formatVersion}, header...)); err != nil {
		return 0, err
	}
	for _, name := range names {
		if err := s.file(fs.PathJoin(dir, name), name); err != nil {
			return s.bytes, fmt.Errorf("send snapshot file %s: %w", name, err)
		}
	}
	end := binary.BigEndian.AppendUint32(nil, uint32(len(names)))
	return s.bytes, s.chunk(kindEnd, binary.BigEndian.AppendUint32(end, s.sum))
}

type sender struct {
	fs    vfs.FS
	emit  func([]byte) error
	buf   []byte
	sum   uint32 // over the CRCs of the files so far
	bytes int64
}

func (s *sender) chunk(kind byte, body []byte) error {
	if err := failpoint.SnapshotSend.Err(); err != nil {
		return err
	}
	s.buf = append(append(s.buf[:0], kind), body...)
	return s.emit(binary.BigEndian.AppendUint32(s.buf, crc32.Checksum(s.buf, castagnoli)))
}

func (s *sender) file(path, name string) error {
	f, err := s.fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint64(nil, uint64(info.Size()))
	if err := s.chunk(kindFile, append(head, name...)); err != nil {
		return err
	}
	var sum uint32
	data := make([]byte, chunkBytes)
	for left := info.Size(); left > 0; {
		n, err := f.Read(data[:min(left, chunkBytes)])
		if n == 0 && err != nil {
			return err
		}
		sum = crc32.Update(sum, castagnoli, data[:n])
		if err := s.chunk(kindData, data[:n]); err != nil {
			return err
		}
		left -= int64(n)
		s.bytes += int64(n)
	}
	crc := binary.BigEndian.AppendUint32(nil, sum)
	s.sum = crc32.Update(s.sum, castagnoli, crc)
	return s.chunk(kindFileEnd, crc)
}

// Receive reads one stream from next, which returns io.EOF after the last chunk, into the new
// directory dir. accept sees the header before any file is written and may refuse. When Receive
// returns nil, every byte was checked and is durable; otherwise dir is gone.
func Receive(fs vfs.FS, dir string, next func() ([]byte, error), accept func(header []byte) error) (err error) {
	if err := fs.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove old directory: %w", err)
	}
	if err := fs.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	r := receiver{accept: accept, create: func(name string) (file, error) {
		return fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
	}}
	if err = r.receive(next); err == nil {
		err = failpoint.SnapshotReceived.Err()
	}
	if err == nil {
		err = syncDir(fs, dir)
	}
	if err == nil {
		err = syncDir(fs, fs.PathDir(dir))
	}
	if err != nil {
		_ = fs.RemoveAll(dir) // the next Receive or start removes what is left
	}
	return err
}

// file is what a receiver writes to.
type file interface {
	io.WriteCloser
	Sync() error
}

type receiver struct {
	accept func([]byte) error
	create func(name string) (file, error)

	started, done bool
	file          file // the one being written, or nil
	name          string
	left          uint64 // bytes of file still to come
	fileSum       uint32
	sum           uint32
	files         uint32
}

// receive takes chunks until the stream is complete.
func (r *receiver) receive(next func() ([]byte, error)) error {
	defer func() { _ = r.closeFile() }()
	for !r.done {
		chunk, err := next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: it ends early", ErrCorrupt)
		}
		if err != nil {
			return fmt.Errorf("receive snapshot: %w", err)
		}
		if err := failpoint.SnapshotReceive.After(r.chunk(chunk)); err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) chunk(chunk []byte) error {
	if len(chunk) < 5 {
		return fmt.Errorf("%w: a chunk of %d bytes", ErrCorrupt, len(chunk))
	}
	kind, body := chunk[0], chunk[1:len(chunk)-4]
	want := binary.BigEndian.Uint32(chunk[len(chunk)-4:])
	if crc32.Checksum(chunk[:len(chunk)-4], castagnoli) != want {
		return fmt.Errorf("%w: checksum of a chunk of file %q", ErrCorrupt, r.name)
	}
	switch {
	case kind == kindHeader && !r.started:
		return r.header(body)
	case kind == kindFile && r.started && r.file == nil:
		return r.open(body)
	case kind == kindData && r.file != nil && uint64(len(body)) <= r.left:
		r.left -= uint64(len(body))
		r.fileSum = crc32.Update(r.fileSum, castagnoli, body)
		_, err := r.file.Write(body)
		return err
	case kind == kindFileEnd && r.file != nil && r.left == 0:
		return r.finish(body)
	case kind == kindEnd && r.started && r.file == nil:
		return r.end(body)
	}
	return fmt.Errorf("%w: unexpected chunk %q after file %q", ErrCorrupt, kind, r.name)
}

func (r *receiver) header(body []byte) error {
	if len(body) == 0 || len(body) > MaxHeaderBytes {
		return fmt.Errorf("%w: header of %d bytes", ErrCorrupt, len(body))
	}
	if body[0] != formatVersion {
		return fmt.Errorf("snapshot stream has version %d, this node reads %d", body[0], formatVersion)
	}
	r.started = true
	return r.accept(body[1:])
}

func (r *receiver) open(body []byte) error {
	if len(body) <= 8 {
		return fmt.Errorf("%w: file without a name", ErrCorrupt)
	}
	r.left, r.name, r.fileSum = binary.BigEndian.Uint64(body), string(body[8:]), 0
	// The name comes from the network: it must not lead out of the directory.
	if strings.ContainsAny(r.name, "/\\\x00") || r.name == "." || r.name == ".." {
		return fmt.Errorf("%w: file name %q", ErrCorrupt, r.name)
	}
	f, err := r.create(r.name)
	if err != nil {
		return fmt.Errorf("create snapshot file: %w", err)
	}
	r.file = f
	return nil
}

func (r *receiver) finish(body []byte) error {
	if len(body) != 4 || binary.BigEndian.Uint32(body) != r.fileSum {
		return fmt.Errorf("%w: checksum of file %q", ErrCorrupt, r.name)
	}
	if err := r.file.Sync(); err != nil {
		return fmt.Errorf("sync snapshot file %s: %w", r.name, err)
	}
	r.sum = crc32.Update(r.sum, castagnoli, body)
	r.files++
	return r.closeFile()
}

func (r *receiver) end(body []byte) error {
	if len(body) != 8 || binary.BigEndian.Uint32(body) != r.files ||
		binary.BigEndian.Uint32(body[4:]) != r.sum {
		return fmt.Errorf("%w: the list of files does not match", ErrCorrupt)
	}
	r.done = true
	return nil
}

func (r *receiver) closeFile() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	return f.Close()
}
