package fsm

import "strconv"

// An Observer learns on its node what entries of the log have changed and told, in the order of the log. Its methods are
// called while entries are applied, after their changes have become visible and before anyone gets an answer: they must not wait, and
// what they get is good until they return.
type Observer interface {
	// Wants says what is worth collecting. Who wants changes of keys before a read gets those that come after what it reads.
	Wants() Wants
	Applied(e *Effects)
	// Skipped says that the state has jumped ahead, to a snapshot of the leader's: any key may have changed, and
	// what was told meanwhile is lost to this node.
	Skipped()
}

// Wants are the parts of Effects that an Observer needs.
type Wants struct {
	Keys     bool // Changed and Replaced
	Messages bool
}

// Effects are what one or several entries did.
type Effects struct {
	Changed  []Changed
	Replaced [Databases]bool // emptied or exchanged as a whole; their keys are not in Changed
	Replacer uint64          // whose request on this node did that; 0: another one's, or several did
	Messages []Message
}

// Changed is a key that was written, deleted, evicted, or found to be expired.
type Changed struct {
	DB     int
	Key    []byte
	Kind   Kind   // that it has now; 0: the key is gone
	Client uint64 // whose request on this node did it: see Request. 0: another one's, or several did
}

// Message is what subscribers of a channel get.
type Message struct {
	Channel, Text []byte
	Shard         bool // it is a shard channel
}

// ToldReads says whether somebody wants to know by Reads what is read.
func (tx *Txn) ToldReads() bool { return tx.reads != nil }

// Reads says that a call inside a call is about to read a key. The one who asked for the request may keep what it gets, if
// the Observer's next word about the key comes after this. When the state that is read was left behind by the log (see
// detach), that word may have come: late.
func (tx *Txn) Reads(key []byte) {
	if tx.reads != nil {
		tx.reads(key, tx.snapshot != nil)
	}
}

// Publish sends a message to the subscribers on all nodes.
func (tx *Txn) Publish(channel, text []byte) {
	if tx.write && tx.told {
		tx.effects.Messages = append(tx.effects.Messages, Message{Channel: channel, Text: text})
	}
}

// PublishShard is Publish for a shard channel.
func (tx *Txn) PublishShard(channel, text []byte) {
	if tx.write && tx.told {
		tx.effects.Messages = append(tx.effects.Messages, Message{Channel: channel, Text: text, Shard: true})
	}
}

// Notify tells of an event of a key, as far as the settings of the cluster say that its class is told.
func (tx *Txn) Notify(class EventClass, event string, key []byte) {
	if tx.ks.settings.Events&class != 0 {
		tx.notify(event, key)
	}
}

func (tx *Txn) notify(event string, key []byte) {
	if !tx.write || !tx.told || tx.db >= Databases {
		return
	}
	wanted, db := tx.ks.settings.Events, strconv.Itoa(tx.db)
	if wanted&EventKeyspace != 0 {
		tx.Publish(append([]byte("__keyspace@"+db+"__:"), key...), []byte(event))
	}
	if wanted&EventKeyevent != 0 {
		tx.Publish([]byte("__keyevent@"+db+"__:"+event), append([]byte(nil), key...))
	}
}

// noteExpired counts and tells that a key was found to be past its time, and was deleted.
func (tx *Txn) noteExpired(key []byte) {
	tx.m.expired.Add(1)
	tx.Notify(EventExpired, "expired", key)
}

// noteNew tells of a key that has come to be. What was there before may have been past its time.
func (tx *Txn) noteNew(key []byte, before header) {
	if before.exists && before.expireAt != 0 && tx.isPast(before.expireAt) {
		tx.noteExpired(key)
		before.exists = false
	}
	if !before.exists {
		tx.Notify(EventNew, "new", key)
	}
}

// EventClass is a set of classes of events, and of the two ways in which they are told.
type EventClass int64

// Redis's classes, by its letters. The numbers are part of the stored format.
const (
	EventKeyspace EventClass = 1 << iota // K
	EventKeyevent                        // E
	EventGeneric                         // g
	EventString                          // $
	EventList                            // l
	EventSet                             // s
	EventHash                            // h
	EventZSet                            // z
	EventExpired                         // x
	EventEvicted                         // e
	EventStream                          // t
	EventKeyMiss                         // m, which is not in A
	EventModule                          // d
	EventNew                             // n, which is not in A
)

// replaced notes that a database as a whole has other keys.
func (tx *Txn) replaced(db int) {
	e := &tx.effects
	if e.Replaced == [Databases]bool{} {
		e.Replacer = tx.pending.client
	} else if e.Replacer != tx.pending.client {
		e.Replacer = 0
	}
	e.Replaced[db] = true
}

// collect gathers the pending changes for the observer, if it wants them: it is asked while no one reads, so that whoever
// wanted them before a read gets those that come after it.
func (tx *Txn) collect() {
	if tx.m.observer == nil || !tx.m.observer.Wants().Keys {
		return
	}
	db := map[uint32]int{}
	for i := range Databases {
		db[tx.ks.dbs[i].space] = i
	}
	for i := range tx.pending.changes {
		c := &tx.pending.changes[i]
		if at, current := db[c.entry.space]; current && c.dirty {
			tx.effects.Changed = append(tx.effects.Changed, Changed{at, c.entry.key, c.row.Kind, c.client})
		}
	}
}

// tell hands the effects of what was published to the observer.
func (m *Machine) tell(tx *Txn) {
	e := &tx.effects
	if m.observer != nil && (len(e.Changed) > 0 || len(e.Messages) > 0 || e.Replaced != [Databases]bool{}) {
		m.observer.Applied(e)
	}
	clear(e.Changed)
	clear(e.Messages)
	*e = Effects{Changed: e.Changed[:0], Messages: e.Messages[:0]}
}
