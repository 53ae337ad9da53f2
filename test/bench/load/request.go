package load

import (
	"math/rand/v2"
	"strconv"
	"sync/atomic"
)

// Request appends the i-th request of a load to dst.
type Request func(dst []byte, i uint64) []byte

// Keys chooses the number of the i-th key.
type Keys func(i uint64) uint64

// streams makes every Random a sequence of its own.
var streams atomic.Uint64

// Random chooses uniformly among the numbers below n. Each call gives another sequence, and the
// sequences are the same in every run of the program.
func Random(n uint64) Keys {
	stream := mix(streams.Add(1))
	return func(i uint64) uint64 { return mix(stream+i) % n }
}

// scatter is a prime larger than any number of keys here.
const scatter = 2_654_435_761

// Every chooses each of the numbers below n once, neighbours far apart.
func Every(n uint64) Keys {
	return func(i uint64) uint64 { return i * scatter % n }
}

// Interleave sends the requests of the list in turns.
func Interleave(list ...Request) Request {
	return func(dst []byte, i uint64) []byte { return list[i%uint64(len(list))](dst, i) }
}

// Get reads one key.
func Get(keys Keys) Request {
	return func(dst []byte, i uint64) []byte {
		return appendKey(append(dst, "*2\r\n$3\r\nGET\r\n"...), keys(i))
	}
}

// Set writes one key with a value of size bytes.
func Set(keys Keys, size int) Request {
	value := values(size)
	return func(dst []byte, i uint64) []byte {
		dst = appendKey(append(dst, "*3\r\n$3\r\nSET\r\n"...), keys(i))
		return value(dst, i)
	}
}

// MSet writes n keys, of which the first has the position i*n, with values of size bytes.
func MSet(n int, keys Keys, size int) Request {
	value := values(size)
	head := "*" + strconv.Itoa(2*n+1) + "\r\n$4\r\nMSET\r\n"
	return func(dst []byte, i uint64) []byte {
		dst = append(dst, head...)
		for j := i * uint64(n); j < (i+1)*uint64(n); j++ {
			dst = value(appendKey(dst, keys(j)), j)
		}
		return dst
	}
}

// KeyBytes is the length of every key.
const KeyBytes = 16

// appendKey appends a key that looks like those of redis-benchmark.
func appendKey(dst []byte, n uint64) []byte {
	dst = append(dst, "$16\r\nkey:000000000000\r\n"...)
	for at := len(dst) - 3; n > 0; at-- {
		dst[at] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// poolBytes is more than any storage engine compresses at a time.
const poolBytes = 1 << 20

// values returns a function that appends the i-th value. They are parts of one block of noise, so that
// they cost nothing to make, differ, and cannot be compressed.
func values(size int) Request {
	noise := make([]byte, poolBytes+size)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(noise) // never fails
	head := "$" + strconv.Itoa(size) + "\r\n"
	return func(dst []byte, i uint64) []byte {
		at := mix(i) % poolBytes
		dst = append(append(dst, head...), noise[at:at+uint64(size)]...)
		return append(dst, "\r\n"...)
	}
}

// mix is the finalizer of splitmix64: it makes noise of consecutive numbers.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
