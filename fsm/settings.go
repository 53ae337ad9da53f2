package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// Settings are what CONFIG SET changes for the whole cluster. They are a part of the state.
type Settings struct {
	Limit   Limit // all zero: none was ever set
	Packing Packing
	Events  EventClass // that subscribers are told of: see Txn.Notify
	// Instructions is how many a script may run that is in the log.
	Instructions int64
}

// Packing says up to what size Redis keeps a value in its small form, which OBJECT ENCODING and the order of the elements
// show. A value keeps its form when another packing is set, until it is changed.
type Packing struct {
	HashEntries, HashValue int64 // fields of a hash; bytes of a field or value
	IntsetEntries          int64 // members of a set of integers
	SetEntries, SetValue   int64 // members of a set; bytes of a member
	ZSetEntries, ZSetValue int64
	ListSize               int64 // elements of a list or, if negative, a class of bytes
	StreamBytes            int64 // of a block of a stream; 0: any number
	StreamEntries          int64 // of a block; 0: any number
	SparseBytes            int64 // of a HyperLogLog
}

// DefaultPacking is Redis's.
var DefaultPacking = Packing{HashEntries: 512, HashValue: 64, IntsetEntries: 512, SetEntries: 128, SetValue: 64,
	ZSetEntries: 128, ZSetValue: 64, ListSize: -2, StreamBytes: 4096, StreamEntries: 100, SparseBytes: 3000}

// numbers are all of them, in the order of the stored row.
func (s *Settings) numbers() [17]*int64 {
	l, p := &s.Limit, &s.Packing
	return [...]*int64{&l.MaxMemory, &l.Samples, &l.LogFactor, &l.DecayTime, &p.HashEntries, &p.HashValue, &p.IntsetEntries,
		&p.SetEntries, &p.SetValue, &p.ZSetEntries, &p.ZSetValue, &p.ListSize, &p.StreamBytes, &p.StreamEntries, &p.SparseBytes, (*int64)(&s.Events),
		&s.Instructions}
}

// Valid says whether the values are in their bounds.
func (s Settings) Valid() bool {
	if s.Limit != (Limit{}) && !s.Limit.Valid() || s.Packing.ListSize < math.MinInt32 || s.Packing.ListSize > math.MaxInt32 {
		return false
	}
	for _, n := range s.numbers() {
		if *n < 0 && n != &s.Packing.ListSize {
			return false
		}
	}
	return true
}

func (s Settings) encode() []byte {
	numbers := s.numbers()
	b := append(make([]byte, 0, 1+8*len(numbers)), byte(s.Limit.Policy))
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, uint64(*n))
	}
	return b
}

func decodeSettings(b []byte) (s Settings, err error) {
	numbers := s.numbers()
	if len(b) != 1+8*len(numbers) {
		return s, fmt.Errorf("settings row of %d bytes, want %d", len(b), 1+8*len(numbers))
	}
	s.Limit.Policy = Policy(b[0])
	for i, n := range numbers {
		*n = int64(binary.BigEndian.Uint64(b[1+8*i:]))
	}
	if !s.Valid() {
		return s, errors.New("settings row is out of bounds")
	}
	return s, nil
}

// readSettings returns the stored settings, or those at the start if none were ever set.
func readSettings(r pebble.Reader) (Settings, error) {
	b, err := readMeta(r, metaSettings)
	if err != nil || b == nil {
		return Settings{Packing: DefaultPacking}, err
	}
	return decodeSettings(b)
}

// Settings returns those of the cluster.
func (m *Machine) Settings() Settings { return *m.memory.settings.Load() }

// Settings returns those of the cluster.
func (tx *Txn) Settings() Settings { return tx.ks.settings }

// Packing is that of the settings. It is not to be changed.
func (tx *Txn) Packing() *Packing { return &tx.ks.settings.Packing }

// SetSettings stores settings of the cluster.
func (tx *Txn) SetSettings(s Settings) {
	switch {
	case !tx.write:
		tx.fail(errWriteInRead)
	case !s.Valid():
		tx.fail(fmt.Errorf("settings %+v are out of bounds", s))
	}
	if tx.err == nil {
		tx.ks.settings = s
	}
}
