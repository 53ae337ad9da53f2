package server

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/fsm"
)

const (
	trackedKeysDefault = 1000000
	// maxLagDefault is twice the election timeout that nodes have by default.
	maxLagDefault = 1200 * time.Millisecond
	// lagEvery is how often the age of this node's state is looked at.
	lagEvery = 20 * time.Millisecond
)

// tracking is client-side caching: it knows what clients may have in their caches, and tells them what of that has
// changed. As in Redis, names of keys are looked at without their database.
//
// What a client gets to keep is right as long as three rules hold. A key is registered before it is read, so that a change
// that the read does not see comes after the registration. Applied tells of every change on this node, in the order of the log,
// before anyone gets an answer to it. And what invalidates a reply comes after that reply: while a session has replies that
// are not on their way yet, invalidations of what it read are held, and follow them.
//
// A node that is cut off applies nothing and thus tells of nothing. So when its state may be older than maxLag, all caches
// are emptied, and what is read while that lasts is invalidated right after its reply.
type tracking struct {
	server  *Server
	on      atomic.Int64 // clients
	keysMax atomic.Int64 // 0: no bound
	maxLag  atomic.Int64 // ns, 0: no bound

	mu       sync.Mutex
	clients  map[int64]*tracker
	keys     map[string]*holders
	items    int // holders of all keys
	prefixes map[string]map[*tracker]bool
	order    []string // the prefixes, sorted
	late     bool     // the state of this node may be older than maxLag
}

// tracker is one session that tracks. The session's goroutine changes it, under the lock of tracking, and reads what nobody else
// changes without.
type tracker struct {
	session *session
	on      bool
	trackingMode
	caching   bool            // CLIENT CACHING came before the call at hand; the session's goroutine alone uses it
	answering bool            // a request is with the engine, or its replies are being written; likewise
	prefixes  map[string]bool // nil: none were ever given
	broken    bool            // the client that messages go to has gone
	looped    bool            // noLoop is not to be relied on: a write may come later than its answer

	busy bool // there are, or will be, replies that are not on their way
	// reads are the keys that those replies are about. True: the client may have had the key in its cache before.
	reads map[string]bool
	held  []*notice
}

// trackingMode is what CLIENT TRACKING has set.
type trackingMode struct {
	bcast, optIn, optOut, noLoop bool
	redirect                     int64 // the client that gets the messages; 0: the same
}

func newTracking(s *Server, maxLag time.Duration) *tracking {
	t := &tracking{server: s, clients: map[int64]*tracker{}, keys: map[string]*holders{}, prefixes: map[string]map[*tracker]bool{}}
	t.keysMax.Store(trackedKeysDefault)
	t.maxLag.Store(int64(maxLag))
	return t
}

// enable is CLIENT TRACKING ON, whose options are checked.
func (t *tracking) enable(s *session, mode trackingMode, prefixes []string) {
	late := t.tooOld()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.tracker == nil {
		s.tracker = &tracker{session: s, reads: map[string]bool{}}
	}
	tr := s.tracker
	if len(t.clients) == 0 {
		t.late = late // nobody has looked
	}
	tr.on, tr.trackingMode, tr.broken, tr.looped = true, mode, false, false
	t.clients[s.id] = tr
	t.on.Store(int64(len(t.clients)))
	if mode.bcast && len(prefixes) == 0 {
		prefixes = []string{""}
	}
	for _, p := range prefixes {
		if tr.prefixes == nil {
			tr.prefixes = map[string]bool{}
		}
		tr.prefixes[p] = true
		if t.prefixes[p] == nil {
			t.prefixes[p] = map[*tracker]bool{}
			at, _ := slices.BinarySearch(t.order, p)
			t.order = slices.Insert(t.order, at, p)
		}
		t.prefixes[p][tr] = true
	}
}

// disable is CLIENT TRACKING OFF, and the end of a session. Its keys stay in the table until they change: a session
// may turn tracking on again, and to look for them would take long.
func (t *tracking) disable(s *session) {
	if s.tracker == nil || !s.tracker.on {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := s.tracker
	for p := range tr.prefixes {
		if delete(t.prefixes[p], tr); len(t.prefixes[p]) == 0 {
			delete(t.prefixes, p)
			at, _ := slices.BinarySearch(t.order, p)
			t.order = slices.Delete(t.order, at, at+1)
		}
	}
	tr.on, tr.caching, tr.trackingMode, tr.prefixes, tr.broken = false, false, trackingMode{}, nil, false
	tr.busy, tr.held = false, nil
	clear(tr.reads)
	delete(t.clients, s.id)
	t.on.Store(int64(len(t.clients)))
	if len(t.clients) == 0 { // from now on nothing is told
		t.clear()
	}
}

func (t *tracking) clear() {
	t.keys = map[string]*holders{}
	t.items = 0
}

// counts are those of INFO.
func (t *tracking) counts() (keys, items, prefixes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.keys), t.items, len(t.prefixes)
}

// read registers a key that a session is about to read.
func (t *tracking) read(tr *tracker, key []byte) {
	if tr.bcast {
		if tr.matches(key) {
			tr.reads[string(key)] = true // nobody knows what it has
		}
		return
	}
	h := t.keys[string(key)]
	if h == nil {
		h = &holders{}
		t.keys[string(key)] = h
	}
	before := h.len()
	added := h.add(tr.session.id, t.clients)
	t.items += h.len() - before
	if _, again := tr.reads[string(key)]; !again {
		tr.reads[string(key)] = !added
	}
}

// readByScript is read while a request is being executed. If it is late, a change of the key may have been told already.
func (t *tracking) readByScript(tr *tracker, key []byte, late bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !tr.on || !tr.busy { // a request that the client was told is uncertain comes late
		return
	}
	t.read(tr, key)
	if late {
		tr.held = append(tr.held, &notice{keys: []string{string(key)}})
	}
}

func (tr *tracker) matches(key []byte) bool {
	for p := range tr.prefixes {
		if strings.HasPrefix(string(key), p) {
			return true
		}
	}
	return false
}

// limit forgets some keys if there are too many. Who may have them must not keep them then.
func (t *tracking) limit() {
	most := int(t.keysMax.Load())
	if most <= 0 || len(t.keys) <= most {
		return
	}
	for key := range t.keys {
		if len(t.keys) <= most {
			return
		}
		t.invalidate([]byte(key), 0)
	}
}

func (t *tracking) setKeysMax(n int64) {
	t.keysMax.Store(n)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit()
}

// applied tells what entries of the log have changed.
func (t *tracking) applied(e *fsm.Effects) {
	if t.on.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Replaced != [fsm.Databases]bool{} {
		t.invalidateAll(e.Replacer)
	}
	for i := range e.Changed {
		t.invalidate(e.Changed[i].Key, e.Changed[i].Client)
	}
	if len(t.prefixes) > 0 && len(e.Changed) > 0 {
		t.broadcast(e.Changed)
	}
}

// skipped tells that any key may have changed.
func (t *tracking) skipped() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.invalidateAll(0)
}

// invalidate tells everyone who may have a key, and forgets them. Those who do not want to be told of their own changes stay: Redis
// forgets them, too, and then never tells them of the next change by somebody else.
func (t *tracking) invalidate(key []byte, by uint64) {
	h := t.keys[string(key)]
	if h == nil {
		return
	}
	n := &notice{keys: []string{string(key)}}
	var kept []int64
	h.each(func(id int64) {
		tr := t.clients[id]
		if tr == nil || tr.bcast {
			return
		}
		own := by == uint64(id)
		had, reading := tr.reads[string(key)]
		switch {
		case own && tr.noLoop && !tr.looped:
			kept = append(kept, id)
		case own && tr.busy:
			tr.held = append(tr.held, n)
		case reading:
			tr.held = append(tr.held, n)
			if had {
				t.deliver(tr, n)
			}
		default:
			t.deliver(tr, n)
		}
	})
	t.items += len(kept) - h.len()
	if len(kept) == 0 {
		delete(t.keys, string(key))
		return
	}
	t.keys[string(key)] = &holders{few: kept}
}

// invalidateAll tells all clients to drop everything.
func (t *tracking) invalidateAll(by uint64) {
	n := &notice{all: true}
	for id, tr := range t.clients {
		own := by == uint64(id) && tr.busy
		if own || len(tr.reads) > 0 {
			tr.held = append(tr.held, n)
		}
		if !own {
			t.deliver(tr, n)
		}
	}
	t.clear()
}

// touched is a changed key, for those who track prefixes.
type touched struct {
	key string
	by  uint64
}

// broadcast tells those who track prefixes, in one message for each of them.
func (t *tracking) broadcast(changed []fsm.Changed) {
	all := make([]touched, 0, len(changed))
	for i := range changed {
		all = append(all, touched{string(changed[i].Key), changed[i].Client})
	}
	slices.SortFunc(all, func(a, b touched) int { return strings.Compare(a.key, b.key) })
	unique := all[:1]
	for _, k := range all[1:] {
		if last := &unique[len(unique)-1]; last.key != k.key {
			unique = append(unique, k)
		} else if last.by != k.by { // the same name in two databases
			last.by = 0
		}
	}
	for _, prefix := range t.order {
		from, _ := slices.BinarySearchFunc(unique, prefix, func(k touched, p string) int { return strings.Compare(k.key, p) })
		to := from
		for to < len(unique) && strings.HasPrefix(unique[to].key, prefix) {
			to++
		}
		if to == from {
			continue
		}
		everything := noticeOf(unique[from:to], func(touched) bool { return true })
		for tr := range t.prefixes[prefix] {
			t.tellPrefix(tr, unique[from:to], everything)
		}
	}
}

// tellPrefix tells one client of changed keys. What it changed itself it learns after the replies.
func (t *tracking) tellPrefix(tr *tracker, keys []touched, everything *notice) {
	id := uint64(tr.session.id)
	if !tr.busy && !tr.noLoop {
		t.deliver(tr, everything)
		return
	}
	silent := tr.noLoop && !tr.looped
	t.deliver(tr, noticeOf(keys, func(k touched) bool { return k.by != id || !silent && !tr.busy }))
	if later := noticeOf(keys, func(k touched) bool {
		return k.by == id && !silent && tr.busy || k.by != id && tr.reads[k.key]
	}); len(later.keys) > 0 {
		tr.held = append(tr.held, later)
	}
}

// begin notes that a session hands calls to the engine, and which keys they read.
func (t *tracking) begin(tr *tracker, keys [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr.busy = true
	for _, key := range keys {
		t.read(tr, key)
	}
	t.limit()
}

// settle is called when the replies are on their way: what was held follows them.
func (t *tracking) settle(tr *tracker) {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := tr.held
	if t.late && len(tr.reads) > 0 {
		late := &notice{}
		for key := range tr.reads {
			late.keys = append(late.keys, key)
		}
		slices.Sort(late.keys)
		held = append(held, late)
	}
	tr.busy, tr.held = false, nil
	clear(tr.reads)
	for _, n := range held {
		t.deliver(tr, n)
	}
}

// tooOld says whether the state of this node may be older than maxLag.
func (t *tracking) tooOld() bool {
	limit := time.Duration(t.maxLag.Load())
	age := t.server.engine.Staleness()
	return limit > 0 && (age < 0 || age > limit)
}

// watch looks at the age of the state until ctx ends.
func (t *tracking) watch(ctx context.Context) {
	ticker := time.NewTicker(lagEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			t.look()
		}
	}
}

// look empties all caches when the state becomes too old, and again when it is new enough: a client whose messages go to another
// connection may have taken a message for older than the reply that it followed.
func (t *tracking) look() {
	if t.on.Load() == 0 {
		return
	}
	late := t.tooOld()
	t.mu.Lock()
	defer t.mu.Unlock()
	if late != t.late {
		t.late = late
		t.invalidateAll(0)
	}
}
