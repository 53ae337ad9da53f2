package command

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// A HyperLogLog is a string in Redis's own format: a header, then 16384 registers of which each has the longest run of
// zeros that an element left there.
//
//	"HYLL" | encoding 1 | zeros 3 | cached count 8, little-endian, with its highest bit set when it does not hold
//
// Dense registers are 6 bits each. Sparse ones are runs:
//
//	00nnnnnn            n+1 registers that are zero
//	01nnnnnn nnnnnnnn   n+1 registers that are zero
//	1vvvvvnn            n+1 registers that are v+1
const (
	hllMagic     = "HYLL"
	hllHeader    = 16
	hllEncoding  = 4  // place of the encoding
	hllStale     = 15 // place of the byte that says that the cached count does not hold
	hllStaleBit  = 0x80
	hllDense     = 0
	hllSparse    = 1
	hllBits      = 14 // of a hash that choose a register
	hllRegisters = 1 << hllBits
	hllRunMax    = 64 - hllBits + 1
	hllDenseSize = hllHeader + hllRegisters*6/8

	hllSparseValueMax = 32
	hllSparseRunMax   = 4  // registers of one value
	hllSparseZerosMax = 64 // registers in the short form for zeros
)

var errHLLCorrupt = errors.New("runs that are not 16384 registers")

// newHLL is one without elements.
func newHLL() []byte {
	b := append(make([]byte, 0, hllHeader+2), hllMagic...)
	b = append(b, hllSparse)
	b = append(b, make([]byte, hllHeader-len(b))...)
	return appendZeros(b, hllRegisters)
}

// isHLL checks what Redis checks before it looks at the registers.
func isHLL(b []byte) bool {
	return len(b) >= hllHeader && string(b[:len(hllMagic)]) == hllMagic && b[hllEncoding] <= hllSparse &&
		(b[hllEncoding] == hllSparse || len(b) == hllDenseSize)
}

// hllPlace tells the register of an element and the run that it leaves there.
func hllPlace(element []byte) (register int, run uint8) {
	hash := murmur64(element, 0xadc83b19)
	return int(hash % hllRegisters), uint8(bits.TrailingZeros64(hash>>hllBits|1<<(hllRunMax-1)) + 1)
}

// murmur64 is MurmurHash64A.
func murmur64(b []byte, seed uint64) uint64 {
	const m, r = 0xc6a4a7935bd1e995, 47
	h := seed ^ uint64(len(b))*m
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * m
		h = (h ^ (k^k>>r)*m) * m
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		h = (h ^ binary.LittleEndian.Uint64(tail[:])) * m
	}
	h = (h ^ h>>r) * m
	return h ^ h>>r
}

// hllRegister reads a dense register.
func hllRegister(dense []byte, i int) uint8 {
	at, shift := hllHeader+i*6/8, i*6%8
	v := uint16(dense[at])
	if at+1 < len(dense) {
		v |= uint16(dense[at+1]) << 8
	}
	return uint8(v>>shift) & 63
}

func setHLLRegister(dense []byte, i int, run uint8) {
	at, shift := hllHeader+i*6/8, i*6%8
	v, mask := uint16(run)<<shift, uint16(63)<<shift
	dense[at] = dense[at]&^byte(mask) | byte(v)
	if shift > 2 {
		dense[at+1] = dense[at+1]&^byte(mask>>8) | byte(v>>8)
	}
}

// hllRun is one run of sparse registers.
type hllRun struct {
	value  uint8 // 0: zeros
	length int   // registers
	size   int   // bytes
}

// hllRunAt reads a run. A damaged one that ends early has its second byte from nowhere: it is 0.
func hllRunAt(b []byte) hllRun {
	switch c := b[0]; {
	case c&0x80 != 0:
		return hllRun{value: c>>2&0x1f + 1, length: int(c&3) + 1, size: 1}
	case c&0x40 == 0:
		return hllRun{length: int(c) + 1, size: 1}
	case len(b) == 1:
		return hllRun{length: int(c&0x3f)<<8 + 1, size: 1}
	default:
		return hllRun{length: int(c&0x3f)<<8 + int(b[1]) + 1, size: 2}
	}
}

func appendZeros(dst []byte, length int) []byte {
	switch {
	case length == 0:
		return dst
	case length > hllSparseZerosMax:
		return append(dst, 0x40|byte((length-1)>>8), byte(length-1))
	}
	return append(dst, byte(length-1))
}

func appendValues(dst []byte, value uint8, length int) []byte {
	if length == 0 {
		return dst
	}
	return append(dst, 0x80|(value-1)<<2|byte(length-1))
}

// hllAdd sets a register to a run if it has a shorter one. It changes b, and returns what is there now and whether
// the register was changed. Sparse runs do not grow above sparseMax bytes.
func hllAdd(b []byte, register int, run uint8, sparseMax int64) (out []byte, changed bool, err error) {
	if b[hllEncoding] == hllSparse {
		if run <= hllSparseValueMax {
			var done bool
			if out, changed, done, err = hllAddSparse(b, register, run, sparseMax); done || err != nil {
				return out, changed, err
			}
		}
		if b, err = hllToDense(b); err != nil {
			return nil, false, err
		}
	}
	if hllRegister(b, register) >= run {
		return b, false, nil
	}
	setHLLRegister(b, register, run)
	return b, true, nil
}

// hllAddSparse is hllAdd as long as the registers stay sparse, which they don't if it is not done.
func hllAddSparse(b []byte, register int, run uint8, sparseMax int64) (out []byte, changed, done bool, err error) {
	at, before, first := hllHeader, -1, 0
	var old hllRun
	for {
		if at >= len(b) {
			return nil, false, false, errHLLCorrupt
		}
		if old = hllRunAt(b[at:]); register < first+old.length {
			break
		}
		before, first = at, first+old.length
		at += old.size
	}
	if old.value >= run {
		return b, false, true, nil
	}
	var space [5]byte
	left, right := register-first, first+old.length-1-register
	part := space[:0]
	if old.value == 0 {
		part = appendZeros(appendValues(appendZeros(part, left), run, 1), right)
	} else {
		part = appendValues(part, old.value, left)
		part = appendValues(appendValues(part, run, 1), old.value, right)
	}
	if grows := len(part) - old.size; grows > 0 && int64(len(b)+grows) > sparseMax {
		return b, false, false, nil
	}
	if len(part) == old.size {
		copy(b[at:], part)
	} else {
		b = append(b[:at], append(part, b[at+old.size:]...)...)
	}
	if before < 0 {
		before = hllHeader
	}
	return mergeHLLRuns(b, before), true, true, nil
}

// mergeHLLRuns joins runs of equal values, as far as Redis looks for them after a change.
func mergeHLLRuns(b []byte, at int) []byte {
	const looks = 5
	for range looks {
		if at >= len(b) {
			break
		}
		run := hllRunAt(b[at:])
		if next := at + 1; run.value > 0 && next < len(b) {
			other := hllRunAt(b[next:])
			if other.value == run.value && run.length+other.length <= hllSparseRunMax {
				appendValues(b[:at], run.value, run.length+other.length)
				b = append(b[:next], b[next+1:]...)
				continue
			}
		}
		at += run.size
	}
	return b
}

// hllToDense returns the same registers in the dense form, with the same cached count. It keeps what is dense.
func hllToDense(b []byte) ([]byte, error) {
	if b[hllEncoding] == hllDense {
		return b, nil
	}
	dense := make([]byte, hllDenseSize)
	copy(dense, b[:hllHeader])
	dense[hllEncoding] = hllDense
	return dense, hllEach(b, func(register int, run uint8) { setHLLRegister(dense, register, run) })
}

// hllEach goes over the registers that are not zero. Like Redis it ignores values after the last register.
func hllEach(b []byte, fn func(register int, run uint8)) error {
	if b[hllEncoding] == hllDense {
		for i := range hllRegisters {
			if run := hllRegister(b, i); run > 0 {
				fn(i, run)
			}
		}
		return nil
	}
	at := 0
	for runs := b[hllHeader:]; len(runs) > 0; {
		run := hllRunAt(runs)
		if run.value > 0 && at+run.length > hllRegisters {
			break
		}
		for i := 0; run.value > 0 && i < run.length; i++ {
			fn(at+i, run.value)
		}
		at += run.length
		runs = runs[run.size:]
	}
	if at != hllRegisters {
		return errHLLCorrupt
	}
	return nil
}

// hllLength is how many registers sparse runs are.
func hllLength(b []byte) (registers int) {
	for runs := b[hllHeader:]; len(runs) > 0; {
		run := hllRunAt(runs)
		registers += run.length
		runs = runs[run.size:]
	}
	return registers
}

// hllCount estimates how many elements there are, from how many registers have each run (O. Ertl, New cardinality
// estimation algorithms for HyperLogLog sketches, 2017). Float operations are those of Redis, in its order: a
// conversion keeps the compiler from fusing two of them.
func hllCount(histogram *[64]int) uint64 {
	const m = float64(hllRegisters)
	z := m * hllTau((m-float64(histogram[hllRunMax]))/m)
	for run := hllRunMax - 1; run >= 1; run-- {
		z = (z + float64(histogram[run])) * 0.5
	}
	z += float64(m * hllSigma(float64(histogram[0])/m))
	const alpha = 0.721347520444481703680 // 0.5/ln(2)
	return uint64(math.Round(alpha * m * m / z))
}

func hllSigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	for y, z := 1.0, x; ; y += y {
		x *= x
		before := z
		if z += float64(x * y); z == before {
			return z
		}
	}
}

func hllTau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	for y, z := 1.0, 1-x; ; {
		x = math.Sqrt(x)
		before := z
		y *= 0.5
		if z -= float64(float64((1-x)*(1-x)) * y); z == before {
			return z / 3
		}
	}
}

// hllCountOf is the cached count, or the estimate without one.
func hllCountOf(b []byte) (uint64, error) {
	if b[hllStale]&hllStaleBit == 0 {
		return binary.LittleEndian.Uint64(b[8:]), nil
	}
	if b[hllEncoding] == hllSparse && hllLength(b) != hllRegisters {
		return 0, errHLLCorrupt
	}
	histogram := [64]int{hllRegisters}
	err := hllEach(b, func(_ int, run uint8) {
		histogram[0]--
		histogram[run]++
	})
	return hllCount(&histogram), err
}

// hllText shows sparse runs as PFDEBUG DECODE does.
func hllText(b []byte) string {
	var out []string
	for runs := b[hllHeader:]; len(runs) > 0; {
		run := hllRunAt(runs)
		switch {
		case run.value > 0:
			out = append(out, fmt.Sprintf("v:%d,%d", run.value, run.length))
		case runs[0]&0x40 == 0:
			out = append(out, fmt.Sprintf("z:%d", run.length))
		default:
			out = append(out, fmt.Sprintf("Z:%d", run.length))
		}
		runs = runs[run.size:]
	}
	return strings.Join(out, " ")
}
