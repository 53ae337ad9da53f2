package command

// partialSort sorts as many elements of a as are needed for those from first to last to be the ones that a sort of all
// would put there. Elements that are equal end up in the order in which Redis has them, whose quicksort is that of
// Bentley and McIlroy (Engineering a Sort Function, 1993).
func partialSort[T any](a []T, first, last int, compare func(x, y *T) int) {
	for len(a) >= 7 {
		less, greater := partition(a, compare)
		if less > 1 && first < less && last >= 0 {
			partialSort(a[:less], first, last, compare)
		}
		start := len(a) - greater
		if greater <= 1 || first >= len(a) || last < start {
			return
		}
		a, first, last = a[start:], first-start, last-start
	}
	for i := 1; i < len(a); i++ {
		for j := i; j > 0 && compare(&a[j-1], &a[j]) > 0; j-- {
			a[j-1], a[j] = a[j], a[j-1]
		}
	}
}

// partition puts what is less than a certain element at the beginning, what is greater at the end, and what is equal
// between, and returns the sizes of the two ends.
func partition[T any](a []T, compare func(x, y *T) int) (less, greater int) {
	swap := func(i, j int) { a[i], a[j] = a[j], a[i] }
	swapRuns := func(i, j, n int) {
		for k := range n {
			swap(i+k, j+k)
		}
	}
	swap(0, pivot(a, compare))
	// Equal elements are gathered at both ends: before low and after high.
	low, i, j, high := 1, 1, len(a)-1, len(a)-1
	for {
		for ; i <= j; i++ {
			c := compare(&a[i], &a[0])
			if c > 0 {
				break
			}
			if c == 0 {
				swap(low, i)
				low++
			}
		}
		for ; i <= j; j-- {
			c := compare(&a[j], &a[0])
			if c < 0 {
				break
			}
			if c == 0 {
				swap(j, high)
				high--
			}
		}
		if i > j {
			break
		}
		swap(i, j)
		i++
		j--
	}
	less, greater = i-low, high-j
	n := min(low, less)
	swapRuns(0, i-n, n)
	n = min(greater, len(a)-1-high)
	swapRuns(i, len(a)-n, n)
	return less, greater
}

// pivot is the place of the element to divide by: the middle one, a median of three or, for many, of nine.
func pivot[T any](a []T, compare func(x, y *T) int) int {
	middle := func(i, j, k int) int {
		x, y, z := &a[i], &a[j], &a[k]
		if compare(x, y) < 0 {
			switch {
			case compare(y, z) < 0:
				return j
			case compare(x, z) < 0:
				return k
			}
			return i
		}
		switch {
		case compare(y, z) > 0:
			return j
		case compare(x, z) < 0:
			return i
		}
		return k
	}
	low, mid, high := 0, len(a)/2, len(a)-1
	if len(a) > 40 {
		d := len(a) / 8
		low, mid, high = middle(low, low+d, low+2*d), middle(mid-d, mid, mid+d), middle(high-2*d, high-d, high)
	}
	if len(a) > 7 {
		mid = middle(low, mid, high)
	}
	return mid
}
