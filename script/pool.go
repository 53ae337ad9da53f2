package script

import (
	"strings"
	"sync"
)

// Runs are many and short: what they are made of is used again. Nothing of a run outlives it but the strings of its reply, so
// that it is enough to forget the values.

var idle = sync.Pool{New: func() any { return new(run) }}

// What is kept of a run that needed much is no more than this.
const (
	keptValues = 256
	keptFrames = 8
	firstStack = 128
)

func newRun(h Host, o Options) *run {
	l := o.Limits
	if l.Instructions == 0 {
		l.Instructions = DefaultInstructions
	}
	if l.StringBytes == 0 {
		l.StringBytes = DefaultStringBytes
	}
	r := idle.Get().(*run)
	*r = run{host: h, limits: l, left: l.Instructions, stop: o.Stop, proto: 2, lastID: firstID, random: seed(0),
		spare: r.spare, texts: r.texts, slots: r.slots, list: r.list}
	return r
}

// release gives a run back. There is none of its coroutines left.
func (r *run) release() {
	r.texts, r.slots, r.list = emptied(r.texts), emptied(r.slots), emptied(r.list)
	if r.spare != nil {
		r.spare.forget()
	}
	*r = run{spare: r.spare, texts: r.texts, slots: r.slots, list: r.list}
	idle.Put(r)
}

// emptied is s without elements, and nil if it is too large to be kept.
func emptied[T any](s []T) []T {
	if cap(s) > keptValues {
		return nil
	}
	clear(s[:cap(s)])
	return s[:0]
}

// mainThread is the thread that a run begins with.
func (r *run) mainThread() *thread {
	th := r.spare
	if th == nil {
		th = &thread{r: r, stack: make([]value, firstStack)}
		r.spare = th
		th.root = frame{th: th, r: r}
	}
	th.id, th.frame = r.id(), &th.root
	return th
}

// forget leaves only the room that a thread has for values.
func (th *thread) forget() {
	inner := th.root.inner
	*th = thread{r: th.r, buf: emptied(th.buf), tail: emptied(th.tail), stack: emptied(th.stack)}
	th.stack = th.stack[:cap(th.stack)]
	th.root = frame{th: th, r: th.r, inner: inner}
	outer := &th.root
	for range keptFrames {
		f := outer.inner
		if f == nil {
			return
		}
		*f = frame{th: th, r: th.r, outer: outer, inner: f.inner}
		outer = f
	}
	outer.inner = nil
}

// arguments makes the tables of keys and arguments. The texts are copied, all at once: the caller may use its own again.
func (r *run) arguments(keys, args [][]byte) {
	size, n := 0, len(keys)+len(args)
	for _, list := range [2][][]byte{keys, args} {
		for _, item := range list {
			size += len(item)
		}
	}
	if cap(r.texts) < n {
		r.texts, r.slots = make([]str, 0, n), make([]value, 0, n)
	}
	var all strings.Builder
	all.Grow(size)
	for _, list := range [2][][]byte{keys, args} {
		for _, item := range list {
			all.Write(item)
		}
	}
	whole := all.String()
	r.keys, whole = r.argumentTable(&r.keysTable, keys, whole)
	r.argv, _ = r.argumentTable(&r.argvTable, args, whole)
}

// argumentTable makes a table of the first part of a text.
func (r *run) argumentTable(t *table, items [][]byte, whole string) (value, string) {
	r.charge(int64(tableCost + len(items)))
	*t = table{id: r.id()}
	from := len(r.slots)
	for _, item := range items {
		r.chargeBytes(len(item))
		r.texts = append(r.texts, str{s: whole[:len(item)]})
		r.slots = append(r.slots, value{o: &r.texts[len(r.texts)-1]})
		whole = whole[len(item):]
	}
	if len(items) > 0 {
		t.array = r.slots[from:len(r.slots):len(r.slots)]
	}
	return value{o: t}, whole
}
