package fsm

import (
	"encoding/binary"
	"fmt"
)

// Watched is a key as somebody saw it who makes a Request depend on it. A row that was written since, even with the same
// value, has another Version; one that came with another database by SWAPDB is in another space.
//
// A version tells the state after one entry of the log from that after another, but not two places within an entry:
// what is watched has to be read by a request that has only reads.
type Watched struct {
	DB      int
	Key     []byte
	Space   uint32 // of the database, when there was a row
	Version uint64 // of the row; 0: there was none, or its time had passed
}

// Watch tells how a key of the current database is now.
func (tx *Txn) Watch(key []byte) Watched {
	w := Watched{DB: tx.db, Key: key}
	if row := tx.Lookup(key); row != nil {
		w.Space, w.Version = tx.space(), row.Version
	}
	return w
}

// unchanged says whether the keys are as they were watched. It changes nothing, not even a key whose time has passed.
func (tx *Txn) unchanged(watched []Watched) bool {
	for i := range watched {
		if !tx.same(&watched[i]) {
			return false
		}
	}
	return true
}

func (tx *Txn) same(w *Watched) bool {
	tx.write, tx.db = false, w.DB
	now := tx.Watch(w.Key)
	return now.Version == w.Version && now.Space == w.Space
}

// AppendRequest writes the writes of a request at the end of dst, and what they depend on: AppendCalls, or a
// payload of the second version. That has, between its version and the calls, the number of watched keys, and for each
// of them its database, space and version and the key with its length.
func AppendRequest(dst []byte, req *Request) []byte {
	if len(req.Watched) == 0 {
		return AppendCalls(dst, req.Calls)
	}
	dst = append(dst, payloadWatched)
	dst = binary.AppendUvarint(dst, uint64(len(req.Watched)))
	for i := range req.Watched {
		w := &req.Watched[i]
		dst = binary.AppendUvarint(dst, uint64(w.DB))
		dst = binary.AppendUvarint(dst, uint64(w.Space))
		dst = binary.AppendUvarint(dst, w.Version)
		dst = binary.AppendUvarint(dst, uint64(len(w.Key)))
		dst = append(dst, w.Key...)
	}
	return appendWrites(dst, req.Calls)
}

// unwatched skips the rest of the watched keys.
func (d *decoder) unwatched() error {
	for d.watched > 0 {
		if _, err := d.nextWatched(); err != nil {
			return err
		}
	}
	return nil
}

// nextWatched takes the next of the watched keys, of which there must be one. Its key aliases the payload.
func (d *decoder) nextWatched() (w Watched, err error) {
	var db, space, size uint64
	for _, field := range []struct {
		to    *uint64
		limit uint64
	}{{&db, Databases - 1}, {&space, pageBit - 1}, {&w.Version, 1<<64 - 1}, {&size, uint64(len(d.rest))}} {
		if *field.to, err = d.number(field.limit); err != nil {
			return Watched{}, err
		}
	}
	if size > uint64(len(d.rest)) {
		return Watched{}, fmt.Errorf("%w: cut short", errPayload)
	}
	w.DB, w.Space, w.Key = int(db), uint32(space), d.rest[:size:size]
	d.rest = d.rest[size:]
	d.watched--
	return w, nil
}

// proceeds says whether the calls of the payload are to be run: whether what they depend on is unchanged.
func (tx *Txn) proceeds() (bool, error) {
	for tx.decoder.watched > 0 {
		w, err := tx.decoder.nextWatched()
		if err != nil {
			return false, err
		}
		if !tx.same(&w) || tx.err != nil {
			return false, tx.err
		}
	}
	return true, nil
}
