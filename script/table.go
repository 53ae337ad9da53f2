package script

import (
	"math"
	"math/bits"
)

// table is laid out as in Lua 5.1, down to the place of each key: the order of a traversal and the
// border that # finds are those of Redis, and the same on every node.
type table struct {
	array    []value
	nodes    []node // a power of two, or none
	lastFree int    // all nodes from here on are taken
	meta     *table
	id       uint64
	readonly bool
}

// node is an entry of the hash part; next is the next of its chain plus one.
type node struct {
	key, val value
	next     int32
}

// What tables cost of the budget of a run.
const (
	tableCost = 8
	nodeCost  = 2
)

// maxArray is the largest size of an array part.
const maxArray = 1 << 26

func (t *table) position(key value) int {
	size := uint64(len(t.nodes))
	odd := (size - 1) | 1
	switch x := key.o.(type) {
	case isNumber:
		if key.n == 0 {
			return 0
		}
		b := math.Float64bits(key.n)
		return int(uint64(uint32(b)+uint32(b>>32)) % odd)
	case *str:
		return int(uint64(x.sum()) & (size - 1))
	case isBool:
		return int(uint64(key.n) & (size - 1))
	}
	return int(identity(key) % odd)
}

// find is the place of a key's value, or nil.
func (t *table) find(key value) *value {
	if key.isNumber() {
		if i := key.n - 1; i >= 0 && i < float64(len(t.array)) && i == math.Trunc(i) {
			return &t.array[int(i)]
		}
	}
	if len(t.nodes) == 0 || key.o == nil {
		return nil
	}
	if s := key.str(); s != nil {
		return t.findStr(s)
	}
	for i := t.position(key) + 1; i != 0; {
		n := &t.nodes[i-1]
		if rawEqual(n.key, key) {
			return &n.val
		}
		i = int(n.next)
	}
	return nil
}

func (t *table) findStr(key *str) *value {
	if len(t.nodes) == 0 {
		return nil
	}
	for i := int(key.sum()&uint32(len(t.nodes)-1)) + 1; i != 0; {
		n := &t.nodes[i-1]
		if s, ok := n.key.o.(*str); ok && (s == key || s.hash == key.hash && s.s == key.s) {
			return &n.val
		}
		i = int(n.next)
	}
	return nil
}

func (t *table) get(key value) value {
	if p := t.find(key); p != nil {
		return *p
	}
	return nilValue
}

func (t *table) getStr(key *str) value {
	if p := t.findStr(key); p != nil {
		return *p
	}
	return nilValue
}

// field is getStr of a name.
func (t *table) field(name string) value { return t.getStr(&str{s: name}) }

func (t *table) getInt(i int) value {
	if i >= 1 && i <= len(t.array) {
		return t.array[i-1]
	}
	return t.get(number(float64(i)))
}

// set stores a value. The key is neither nil nor NaN.
func (t *table) set(r *run, key, v value) {
	p := t.find(key)
	if p == nil {
		p = t.insert(r, key)
	}
	*p = v
}

func (t *table) setInt(r *run, i int, v value) {
	if i >= 1 && i <= len(t.array) {
		t.array[i-1] = v
		return
	}
	t.set(r, number(float64(i)), v)
}

// setField is set by a name.
func (t *table) setField(r *run, name string, v value) { t.set(r, text(name), v) }

// insert makes room for a key that is not there. A node that is in the way stays if it is at its
// own position, and moves if it is not.
func (t *table) insert(r *run, key value) *value {
	if len(t.nodes) == 0 {
		t.rehash(r, key)
		return t.place(r, key)
	}
	main := t.position(key)
	at := &t.nodes[main]
	if !at.val.isNil() {
		free := t.freeNode()
		if free < 0 {
			t.rehash(r, key)
			return t.place(r, key)
		}
		if other := t.position(at.key); other != main {
			for int(t.nodes[other].next) != main+1 {
				other = int(t.nodes[other].next) - 1
			}
			t.nodes[other].next = int32(free + 1)
			t.nodes[free] = *at
			at.next, at.val = 0, nilValue
		} else {
			t.nodes[free].next, at.next = at.next, int32(free+1)
			at = &t.nodes[free]
		}
	}
	at.key = key
	return &at.val
}

func (t *table) place(r *run, key value) *value {
	if p := t.find(key); p != nil {
		return p
	}
	return t.insert(r, key)
}

func (t *table) freeNode() int {
	for t.lastFree > 0 {
		t.lastFree--
		if t.nodes[t.lastFree].key.isNil() {
			return t.lastFree
		}
	}
	return -1
}

// arrayIndex is the place of a key that could be in an array part, or -1.
func arrayIndex(key value) int {
	if key.isNumber() {
		if k := toInt32(key.n); float64(k) == key.n {
			return k
		}
	}
	return -1
}

func ceilLog2(x int) int { return bits.Len(uint(x - 1)) }

// powers counts integer keys by the power of two that they are below.
type powers [27]int

func (s *powers) count(key value) int {
	if k := arrayIndex(key); 0 < k && k <= maxArray {
		s[ceilLog2(k)]++
		return 1
	}
	return 0
}

// rehash chooses the sizes of both parts: the array part is the largest that is more than half full.
func (t *table) rehash(r *run, extra value) {
	r.chargeLook(len(t.array) + len(t.nodes))
	var nums powers
	integers, total := 0, 1
	for i := range t.array {
		if !t.array[i].isNil() {
			nums[ceilLog2(i+1)]++
			integers++
			total++
		}
	}
	for i := range t.nodes {
		if !t.nodes[i].val.isNil() {
			integers += nums.count(t.nodes[i].key)
			total++
		}
	}
	integers += nums.count(extra)
	size, inArray := 0, 0
	for i, power, below := 0, 1, 0; i < len(nums) && power/2 < integers; i, power = i+1, power*2 {
		if nums[i] > 0 {
			below += nums[i]
			if below > power/2 {
				size, inArray = power, below
			}
		}
		if below == integers {
			break
		}
	}
	t.resize(r, size, total-inArray)
}

func (t *table) resize(r *run, array, hash int) {
	if hash > 0 {
		hash = 1 << ceilLog2(hash)
	}
	r.charge(int64(max(0, array-len(t.array)) + (hash+len(t.nodes))*nodeCost))
	if array != len(t.array) {
		r.chargeLook(min(array, len(t.array)))
	}
	nodes, rest := t.nodes, []value(nil)
	if array > len(t.array) {
		grown := make([]value, array)
		copy(grown, t.array)
		t.array = grown
	} else if array < len(t.array) {
		rest = t.array[array:]
		t.array = append([]value(nil), t.array[:array]...)
	}
	t.nodes, t.lastFree = nil, hash
	if hash > 0 {
		t.nodes = make([]node, hash)
	}
	for i, v := range rest {
		if !v.isNil() {
			t.setInt(r, array+i+1, v)
		}
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		if n := &nodes[i]; !n.val.isNil() {
			t.set(r, n.key, n.val)
		}
	}
}

// next is the entry after that of a key; found is false when the key is not in the table. Places without an entry are paid for,
// as a table may have been large once.
func (t *table) next(r *run, key value) (k, v value, more, found bool) {
	i := 0
	if !key.isNil() {
		if k := arrayIndex(key); 0 < k && k <= len(t.array) {
			i = k
		} else if i = t.nodeIndex(key); i < 0 {
			return nilValue, nilValue, false, false
		} else {
			i += len(t.array) + 1
		}
	}
	start := i
	for ; i < len(t.array); i++ {
		if !t.array[i].isNil() {
			r.chargeLook(i - start)
			return number(float64(i + 1)), t.array[i], true, true
		}
	}
	for i -= len(t.array); i < len(t.nodes); i++ {
		if n := &t.nodes[i]; !n.val.isNil() {
			r.chargeLook(i + len(t.array) - start)
			return n.key, n.val, true, true
		}
	}
	r.chargeLook(i + len(t.array) - start)
	return nilValue, nilValue, false, true
}

func (t *table) nodeIndex(key value) int {
	if len(t.nodes) == 0 {
		return -1
	}
	for i := t.position(key) + 1; i != 0; i = int(t.nodes[i-1].next) {
		if rawEqual(t.nodes[i-1].key, key) {
			return i - 1
		}
	}
	return -1
}

// length is a border of the table, the one that Lua 5.1 finds.
func (t *table) length(r *run) int {
	high := len(t.array)
	low := 0
	switch {
	case high > 0 && t.array[high-1].isNil():
		for high-low > 1 {
			if m := (low + high) / 2; t.array[m-1].isNil() {
				high = m
			} else {
				low = m
			}
		}
		return low
	case len(t.nodes) == 0:
		return high
	}
	low = high
	high++
	for !t.getInt(high).isNil() {
		r.charge(1)
		low = high
		high *= 2
		if high > math.MaxInt32 {
			for low = 1; !t.getInt(low).isNil(); low++ {
				r.charge(1)
			}
			return low - 1
		}
	}
	for high-low > 1 {
		r.charge(1)
		if m := (low + high) / 2; t.getInt(m).isNil() {
			high = m
		} else {
			low = m
		}
	}
	return low
}
