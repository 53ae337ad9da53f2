package raftnode

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// What nodes say to each other is a sequence of records on a TCP connection: the length of the body and its
// CRC-32C, 4 bytes each in big-endian order, then the body. TCP's own checksum misses one damaged segment in
// some ten thousand, and what is in an entry is there for good.
const (
	recordHeader = 8
	// recordMax bounds a body: the largest request (see the server's limits) in an entry, with room to spare.
	recordMax = 512 << 20
	// recordTrust is how much memory the announced length of a body is given before any of it has come.
	recordTrust = 1 << 20
)

var errDamaged = errors.New("a record was damaged on its way")

// writeRecord leaves flushing to its caller. It does not hold on to body.
func writeRecord(w *bufio.Writer, body []byte) error {
	header := binary.BigEndian.AppendUint32(w.AvailableBuffer(), uint32(len(body)))
	header = binary.BigEndian.AppendUint32(header, crc32.Checksum(body, castagnoli))
	if _, err := w.Write(header); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

// readRecord returns the body of the next record, of most bytes at most; it belongs to the caller.
func readRecord(r *bufio.Reader, most int) ([]byte, error) {
	header, err := r.Peek(recordHeader)
	if err != nil {
		return nil, err
	}
	size, sum := int(binary.BigEndian.Uint32(header)), binary.BigEndian.Uint32(header[4:])
	if size > most {
		return nil, fmt.Errorf("a record of %d bytes, where %d are the limit", size, most)
	}
	_, _ = r.Discard(recordHeader) // it was just peeked at
	body, err := readBody(r, size)
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errDamaged
	}
	return body, nil
}

func readBody(r *bufio.Reader, size int) ([]byte, error) {
	if size <= recordTrust {
		body := make([]byte, size)
		_, err := io.ReadFull(r, body)
		return body, err
	}
	var body bytes.Buffer
	body.Grow(recordTrust)
	if _, err := io.CopyN(&body, r, int64(size)); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}
