package command

import (
	"strings"

	"redoubt/fsm"
	"redoubt/resp"
)

// remove deletes a key and tells so; it says whether there was one.
func remove(tx *fsm.Txn, key []byte) bool {
	if !tx.Delete(key) {
		return false
	}
	tx.Notify(fsm.EventGeneric, "del", key)
	return true
}

// shrunk tells of an event of a collection from which elements were taken: the key has gone with the last one.
func shrunk(tx *fsm.Txn, class fsm.EventClass, event string, key []byte, left int64) {
	tx.Notify(class, event, key)
	if left == 0 {
		tx.Notify(fsm.EventGeneric, "del", key)
	}
}

// elements is a collection that loses some of its elements.
type elements interface {
	Delete(element []byte) bool
	Save()
	Len() int64
}

// deleteElements takes elements out of a collection, and answers how many were there.
func deleteElements(tx *fsm.Txn, class fsm.EventClass, event string, key []byte, from elements, which [][]byte) resp.Reply {
	deleted := int64(0)
	for _, element := range which {
		if from.Delete(element) {
			deleted++
		}
	}
	from.Save()
	if deleted > 0 {
		shrunk(tx, class, event, key, from.Len())
	}
	return resp.NewInt(deleted)
}

// setString is putString that tells so.
func setString(tx *fsm.Txn, key, value []byte, expireAt int64) {
	putString(tx, key, value, expireAt)
	tx.Notify(fsm.EventString, "set", key)
}

// eventLetters are those of notify-keyspace-events, in the order in which Redis shows them; A comes before the classes.
var eventLetters = []struct {
	letter byte
	class  fsm.EventClass
}{{'g', fsm.EventGeneric}, {'$', fsm.EventString}, {'l', fsm.EventList}, {'s', fsm.EventSet}, {'h', fsm.EventHash},
	{'z', fsm.EventZSet}, {'x', fsm.EventExpired}, {'e', fsm.EventEvicted}, {'t', fsm.EventStream}, {'d', fsm.EventModule},
	{'n', fsm.EventNew}, {'K', fsm.EventKeyspace}, {'E', fsm.EventKeyevent}, {'m', fsm.EventKeyMiss}}

// eventsAll are the classes that A stands for.
const eventsAll = fsm.EventGeneric | fsm.EventString | fsm.EventList | fsm.EventSet | fsm.EventHash | fsm.EventZSet |
	fsm.EventExpired | fsm.EventEvicted | fsm.EventStream | fsm.EventModule

// ParseEvents reads the value of notify-keyspace-events.
func ParseEvents(value string) (events fsm.EventClass, ok bool) {
next:
	for i := range len(value) {
		if value[i] == 'A' {
			events |= eventsAll
			continue
		}
		for _, e := range eventLetters {
			if e.letter == value[i] {
				events |= e.class
				continue next
			}
		}
		return 0, false
	}
	return events, true
}

// FormatEvents is the inverse of ParseEvents, as Redis has it.
func FormatEvents(events fsm.EventClass) string {
	var out strings.Builder
	hidden := fsm.EventClass(0)
	if events&eventsAll == eventsAll {
		out.WriteByte('A')
		hidden = eventsAll | fsm.EventNew // as in Redis, which forgets to show it
	}
	for _, e := range eventLetters {
		if events&^hidden&e.class != 0 {
			out.WriteByte(e.letter)
		}
	}
	return out.String()
}
