package script

import (
	"math"
	"math/bits"
	"strings"
)

var bitFunctions = map[string]func(*thread, []value) []value{
	"tobit":  bitUnary(func(b uint32) uint32 { return b }),
	"bnot":   bitUnary(func(b uint32) uint32 { return ^b }),
	"bswap":  bitUnary(bits.ReverseBytes32),
	"band":   bitFold(func(a, b uint32) uint32 { return a & b }),
	"bor":    bitFold(func(a, b uint32) uint32 { return a | b }),
	"bxor":   bitFold(func(a, b uint32) uint32 { return a ^ b }),
	"lshift": bitShift(func(b, n uint32) uint32 { return b << n }),
	"rshift": bitShift(func(b, n uint32) uint32 { return b >> n }),
	"arshift": bitShift(func(b, n uint32) uint32 {
		return uint32(int32(b) >> n)
	}),
	"rol":   bitShift(func(b, n uint32) uint32 { return bits.RotateLeft32(b, int(n)) }),
	"ror":   bitShift(func(b, n uint32) uint32 { return bits.RotateLeft32(b, -int(n)) }),
	"tohex": bitToHex,
}

// checkBits is a number modulo 2^32, rounded to even as BitOp does by its addition of 2^52+2^51.
func (th *thread) checkBits(args []value, i int) uint32 {
	n := th.checkNumber(args, i) + 6755399441055744
	return uint32(math.Float64bits(n))
}

func (th *thread) retBits(b uint32) []value { return th.ret(number(float64(int32(b)))) }

func bitUnary(f func(uint32) uint32) func(*thread, []value) []value {
	return func(th *thread, args []value) []value { return th.retBits(f(th.checkBits(args, 0))) }
}

func bitFold(f func(a, b uint32) uint32) func(*thread, []value) []value {
	return func(th *thread, args []value) []value {
		b := th.checkBits(args, 0)
		for i := len(args) - 1; i > 0; i-- {
			b = f(b, th.checkBits(args, i))
		}
		return th.retBits(b)
	}
}

func bitShift(f func(b, n uint32) uint32) func(*thread, []value) []value {
	return func(th *thread, args []value) []value {
		b := th.checkBits(args, 0)
		return th.retBits(f(b, th.checkBits(args, 1)&31))
	}
}

func bitToHex(th *thread, args []value) []value {
	b := th.checkBits(args, 0)
	n := int32(8)
	if len(args) > 1 {
		n = int32(th.checkBits(args, 1))
	}
	digits := "0123456789abcdef"
	if n == math.MinInt32 {
		n++
	}
	if n < 0 {
		n = -n
		digits = strings.ToUpper(digits)
	}
	n = min(n, 8)
	out := make([]byte, n)
	for i := int(n) - 1; i >= 0; i-- {
		out[i] = digits[b&15]
		b >>= 4
	}
	return th.ret(text(string(out)))
}
