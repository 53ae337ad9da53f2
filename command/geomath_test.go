package command

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactSin is the sine of an angle of a few turns, or the cosine, as the sum of the series in many digits.
func exactSin(angle float64, first int64) *big.Float {
	number := func(f float64) *big.Float { return new(big.Float).SetPrec(300).SetFloat64(f) }
	x := number(angle)
	square := number(0).Mul(x, x)
	term := number(1)
	if first == 1 {
		term.Set(x)
	}
	sum := number(0).Set(term)
	for n := first + 1; n < 200; n += 2 {
		term.Mul(term, square)
		term.Quo(term, number(-float64(n*(n+1))))
		sum.Add(sum, term)
	}
	return sum
}

// TestTrigonometry: sines and cosines are rounded correctly, and arc sines are the numbers whose sines are nearest.
func TestTrigonometry(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 600 {
		angle := (rng.Float64() - 0.5) * 8
		switch i % 3 {
		case 1:
			angle *= math.Pow(10, -9*rng.Float64())
		case 2:
			angle = math.Pi/2*float64(i%9-4) + angle*1e-9
		}
		if want, _ := exactSin(angle, 1).Float64(); sin(angle) != want {
			t.Errorf("sin(%v) is %v, want %v", angle, sin(angle), want)
		}
		if want, _ := exactSin(angle, 0).Float64(); cos(angle) != want {
			t.Errorf("cos(%v) is %v, want %v", angle, cos(angle), want)
		}
		y := math.Abs(math.Mod(angle, 1))
		z := asin(y)
		distance := func(z float64) *big.Float {
			d := exactSin(z, 1)
			return d.Abs(d.Sub(d, big.NewFloat(y)))
		}
		if d := distance(z); d.Cmp(distance(math.Nextafter(z, 2))) > 0 || d.Cmp(distance(math.Nextafter(z, -1))) > 0 {
			t.Errorf("asin(%v) is %v, which is not the nearest", y, z)
		}
	}
	if asin(1) != math.Pi/2 || asin(0) != 0 || !math.IsNaN(asin(1.5)) || sin(0) != 0 || cos(0) != 1 {
		t.Error("wrong at the ends")
	}
	if math.IsNaN(cos(1e9)) || !math.IsNaN(cos(math.Inf(1))) {
		t.Error("wrong far out")
	}
}

// TestPartialSort compares with a sort of everything; equal elements may be in another order.
func TestPartialSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	compare := func(x, y *int) int { return *x - *y }
	for range 3000 {
		n := 1 + rng.IntN(200)
		a, count := make([]int, n), make([]int, 50)
		for i := range a {
			a[i] = rng.IntN(1 + rng.IntN(50))
			count[a[i]]++
		}
		last := rng.IntN(n)
		first := rng.IntN(last + 1)
		partialSort(a, first, last, compare)
		below := 0
		for value, times := range count {
			for i := max(below, first); i <= min(below+times-1, last); i++ {
				if a[i] != value {
					t.Fatalf("element %d of %d, of which %d to %d are sorted, is %d, want %d", i, n, first, last, a[i], value)
				}
			}
			below += times
		}
	}
}

// TestParseDouble has texts of numbers; NaN stands for those that are refused.
func TestParseDouble(t *testing.T) {
	for text, want := range map[string]float64{"1": 1, "-1.5e3": -1500, "+.5": .5, "5.": 5, "0x1p-3": .125, "0X.8": .5,
		"inf": math.Inf(1), "-INFINITY": math.Inf(-1), "1e-400": math.NaN(), "1e400": math.NaN(), "0x1p-1075": math.NaN(),
		"5e-324": 5e-324, "0e999999999999": 0, "nan": math.NaN(), "": math.NaN(), " 1": math.NaN(), "1 ": math.NaN(),
		"1\x00": math.NaN(), "1_0": math.NaN(), "0x": math.NaN(), "--1": math.NaN(), "1e": math.NaN()} {
		got, ok := parseDouble([]byte(text))
		if ok == math.IsNaN(want) || ok && got != want {
			t.Errorf("%q is %v %v, want %v", text, got, ok, want)
		}
	}
	if f, ok := parseDouble([]byte("-0")); !ok || !math.Signbit(f) {
		t.Errorf("-0 is %v", f)
	}
}
