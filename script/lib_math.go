package script

import "math"

var mathFunctions = map[string]func(*thread, []value) []value{
	"abs": oneArg(math.Abs), "ceil": oneArg(math.Ceil), "floor": oneArg(math.Floor), "sqrt": oneArg(math.Sqrt),
	"sin": oneArg(math.Sin), "cos": oneArg(math.Cos), "tan": oneArg(math.Tan), "asin": oneArg(math.Asin), "acos": oneArg(math.Acos),
	"atan": oneArg(math.Atan), "sinh": oneArg(math.Sinh), "cosh": oneArg(math.Cosh), "tanh": oneArg(math.Tanh),
	"exp": oneArg(math.Exp), "log": oneArg(math.Log), "log10": oneArg(math.Log10),
	"deg":   oneArg(func(x float64) float64 { return x / (math.Pi / 180) }),
	"rad":   oneArg(func(x float64) float64 { return x * (math.Pi / 180) }),
	"atan2": twoArgs(math.Atan2), "fmod": mathFmod, "pow": twoArgs(power),
	"frexp": mathFrexp, "ldexp": mathLdexp, "modf": mathModf, "max": mathMax, "min": mathMin,
	"random": mathRandom, "randomseed": mathRandomSeed,
}

func oneArg(f func(float64) float64) func(*thread, []value) []value {
	return func(th *thread, args []value) []value { return th.ret(number(f(th.checkNumber(args, 0)))) }
}

func twoArgs(f func(a, b float64) float64) func(*thread, []value) []value {
	return func(th *thread, args []value) []value {
		a := th.checkNumber(args, 0)
		return th.ret(number(f(a, th.checkNumber(args, 1))))
	}
}

// mathFmod takes a step for each bit by which its arguments differ.
func mathFmod(th *thread, args []value) []value {
	a, b := th.checkNumber(args, 0), th.checkNumber(args, 1)
	_, high := math.Frexp(a)
	_, low := math.Frexp(b)
	th.r.charge(int64(max(0, high-low)))
	return th.ret(number(math.Mod(a, b)))
}

func mathFrexp(th *thread, args []value) []value {
	f, e := math.Frexp(th.checkNumber(args, 0))
	return th.ret(number(f), number(float64(e)))
}

func mathLdexp(th *thread, args []value) []value {
	n := th.checkNumber(args, 0)
	return th.ret(number(math.Ldexp(n, th.checkInt(args, 1))))
}

func mathModf(th *thread, args []value) []value {
	n := th.checkNumber(args, 0)
	whole := math.Trunc(n)
	part := math.Copysign(n-whole, n)
	if math.IsInf(n, 0) {
		part = math.Copysign(0, n)
	}
	return th.ret(number(whole), number(part))
}

func mathMax(th *thread, args []value) []value {
	most := th.checkNumber(args, 0)
	for i := range args {
		if n := th.checkNumber(args, i); n > most {
			most = n
		}
	}
	return th.ret(number(most))
}

func mathMin(th *thread, args []value) []value {
	least := th.checkNumber(args, 0)
	for i := range args {
		if n := th.checkNumber(args, i); n < least {
			least = n
		}
	}
	return th.ret(number(least))
}

// The generator is drand48's, as in Redis: a linear congruence of 48 bits. Each run begins with the
// same seed.
const (
	randomFactor = 0x5DEECE66D
	randomAddend = 0xB
	randomMask   = 1<<48 - 1
	randomStart  = 0x330E
)

func seed(n int32) uint64 { return uint64(uint32(n))<<16 | randomStart }

// lrand48 is a number of 31 bits.
func (r *run) lrand48() int32 {
	r.random = (r.random*randomFactor + randomAddend) & randomMask
	return int32(r.random >> 17)
}

func mathRandom(th *thread, args []value) []value {
	x := float64(th.r.lrand48()%math.MaxInt32) / math.MaxInt32
	switch len(args) {
	case 0:
		return th.ret(number(x))
	case 1:
		high := th.checkInt(args, 0)
		if high < 1 {
			th.argError(0, "interval is empty")
		}
		return th.ret(number(math.Floor(x*float64(high)) + 1))
	case 2:
		low := th.checkInt(args, 0)
		high := th.checkInt(args, 1)
		if low > high {
			th.argError(1, "interval is empty")
		}
		return th.ret(number(math.Floor(x*float64(int32(high-low+1))) + float64(low)))
	}
	th.fail("wrong number of arguments")
	return nil
}

func mathRandomSeed(th *thread, args []value) []value {
	th.r.random = seed(int32(th.checkInt(args, 0)))
	return nil
}
