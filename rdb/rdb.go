// Package rdb has the form in which Redis serialises the value of a key: what DUMP answers and RESTORE takes, and what is
// in RDB files. It reads what any Redis since 2.4 has written and writes what Redis 7.2 does.
//
// A payload may come from anywhere: reading one never panics, and takes memory in proportion to it.
package rdb

import (
	"encoding/binary"
	"errors"
	"hash/crc64"
)

// Kind is the type of a value.
type Kind uint8

// The kinds.
const (
	String Kind = iota + 1
	List
	Set
	ZSet
	Hash
	Stream
)

// What is wrong with a payload.
var (
	// ErrFooter means that it was made by a later version or was changed since.
	ErrFooter = errors.New("payload version or checksum are wrong")
	// ErrFormat means that the value in it is none.
	ErrFormat = errors.New("bad data format")
)

// The first byte says how a value is written. Redis has had many ways.
const (
	typeString         = 0
	typeList           = 1
	typeSet            = 2
	typeZSet           = 3 // scores as text
	typeHash           = 4
	typeZSet2          = 5 // scores as 8 bytes
	typeHashZipmap     = 9
	typeListZiplist    = 10
	typeSetIntset      = 11
	typeZSetZiplist    = 12
	typeHashZiplist    = 13
	typeListQuicklist  = 14 // nodes that are ziplists
	typeStream         = 15
	typeHashListpack   = 16
	typeZSetListpack   = 17
	typeListQuicklist2 = 18 // nodes that are listpacks or one element
	typeStream2        = 19 // with the first id, the last deleted one, and counters
	typeSetListpack    = 20
	typeStream3        = 21 // with the times at which consumers were active
)

// A payload ends with the version of the format, 2 bytes, and a CRC-64 of all before, 8 bytes, both little-endian.
const (
	version    = 11
	footerSize = 2 + 8
)

// The CRC is Jones's polynomial, reflected, from 0 on.
var crcTable = crc64.MakeTable(0x95ac9329ac4bc9b5)

// checksum undoes the inversions at both ends that Go's package has for everybody.
func checksum(b []byte) uint64 { return ^crc64.Update(^uint64(0), crcTable, b) }

// Seal makes a payload of a serialised value, behind which it may write.
func Seal(value []byte) []byte {
	value = binary.LittleEndian.AppendUint16(value, version)
	return binary.LittleEndian.AppendUint64(value, checksum(value))
}

// unseal returns the value in a payload.
func unseal(payload []byte) ([]byte, error) {
	end := len(payload) - footerSize
	if end < 0 || binary.LittleEndian.Uint16(payload[end:]) > version ||
		binary.LittleEndian.Uint64(payload[end+2:]) != checksum(payload[:end+2]) {
		return nil, ErrFooter
	}
	return payload[:end:end], nil
}
