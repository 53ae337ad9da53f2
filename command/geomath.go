package command

import "math"

// Distances decide what a search finds and are stored as scores, so that they have to be the same on all nodes, whatever
// their processors, and the same as in Redis, digit by digit. The functions of package math promise neither. These
// are computed in about twice the precision of a double and rounded once, as good C libraries do nearly always.
// Products are converted, or fused in plain sight, so that no compiler fuses them.

// wide is the sum of two doubles, the second one far smaller than the first.
type wide struct{ hi, lo float64 }

// halfPi is a quarter turn in three doubles.
var halfPi = [3]float64{0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110}

// exactSum is a+b and what rounding it took away.
func exactSum(a, b float64) wide {
	s := a + b
	t := s - a
	return wide{s, (a - (s - t)) + (b - t)}
}

func exactProduct(a, b float64) wide {
	p := float64(a * b)
	return wide{p, math.FMA(a, b, -p)}
}

func (x wide) add(y wide) wide {
	s := exactSum(x.hi, y.hi)
	return exactSum(s.hi, s.lo+x.lo+y.lo)
}

func (x wide) mul(y wide) wide {
	p := exactProduct(x.hi, y.hi)
	return exactSum(p.hi, math.FMA(x.hi, y.lo, math.FMA(x.lo, y.hi, p.lo)))
}

// div divides by a small integer.
func (x wide) div(n float64) wide {
	q := x.hi / n
	return exactSum(q, (math.FMA(-q, n, x.hi)+x.lo)/n)
}

// series is the Taylor series whose first term is given: x^first/first! - x^(first+2)/(first+2)! + ...
func series(x wide, term wide, first int) wide {
	square := x.mul(x)
	square = wide{-square.hi, -square.lo}
	sum := term
	for n := first + 1; math.Abs(term.hi) > math.Abs(sum.hi)*0x1p-110; n += 2 {
		term = term.mul(square).div(float64(n * (n + 1)))
		sum = sum.add(term)
	}
	return sum
}

// sinWide is the sine of an angle, in radians, some quarter turns further.
func sinWide(angle float64, quarters int) wide {
	turns := math.RoundToEven(angle / halfPi[0])
	x := wide{angle, 0}
	for _, part := range halfPi {
		x = x.add(exactProduct(-turns, part))
	}
	quarters += int(int64(turns) & 3)
	var sin wide
	if quarters%2 == 0 {
		sin = series(x, x, 1)
	} else {
		sin = series(x, wide{1, 0}, 0)
	}
	if quarters&2 != 0 {
		return wide{-sin.hi, -sin.lo}
	}
	return sin
}

// turnsMax bounds the angles, in radians, that sinWide takes.
const turnsMax = 1 << 20

func sin(angle float64) float64 { return sinWide(angle, 0).hi }

// cos takes any angle: far out, where its value means nothing, it is that of package math.
func cos(angle float64) float64 {
	if !(math.Abs(angle) < turnsMax) {
		return math.Cos(angle)
	}
	return sinWide(angle, 1).hi
}

// asin is good for what is not negative. It is one step of Newton's method from an approximation.
func asin(y float64) float64 {
	if y >= 1 || math.IsNaN(y) {
		return math.Asin(y)
	}
	z := math.Asin(y)
	s := sinWide(z, 0)
	return z + ((y-s.hi)-s.lo)/sinWide(z, 1).hi
}
