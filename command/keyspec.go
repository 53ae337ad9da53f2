package command

import (
	"math"

	"redoubt/fsm"
)

// Keys are the places of the keys among the arguments of a command.
type Keys []KeySpec

// KeySpec is one run of keys.
type KeySpec struct {
	Flags KeyFlags
	// First is the index of the first key; the command's name has index 0.
	First int
	// Last is the index of the last key, counted from First when it is not negative and back
	// from the end of the call otherwise: -1 is the last argument.
	Last int
	Step int // distance from one key to the next
	// Limit says with Last -1 that only a part of what is left are keys, with 2 the first half. 0: all.
	Limit int
	// KeyNum is the index of the argument that says how many keys there are, in place of Last. 0: there is none.
	KeyNum int
	// Keyword stands before the first key, if it is there: anywhere from First on or, if that is negative, from so
	// far before the end of the call back. It is in upper case.
	Keyword string
	// Unknown says that clients can't be told where the keys are. Spec.KeysOf finds those that there are.
	Unknown bool
	Notes   string
}

// KeyFlags say what a command does with a key.
type KeyFlags uint16

// Redis's names: what is done to the whole value (first four), and what to the user's data in it.
const (
	KeyRO     KeyFlags = 1 << iota // only read
	KeyRW                          // read and written
	KeyOW                          // overwritten, whatever it was
	KeyRM                          // removed
	KeyAccess                      // data is returned or copied
	KeyUpdate
	KeyInsert
	KeyDelete
	NotKey        // a channel: no key, but belongs to a slot as one does
	KeyIncomplete // there may be keys that the spec does not tell
	KeyVariable   // the flags depend on the arguments
)

var keyFlagNames = []string{"RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key",
	"incomplete", "variable_flags"}

// Names returns Redis's names of the flags.
func (f KeyFlags) Names() []string { return names(uint32(f), keyFlagNames) }

// oneKey is the usual place: the first argument.
func oneKey(flags KeyFlags) Keys { return Keys{{Flags: flags, First: 1, Last: 0, Step: 1}} }

// allKeys says that every argument is a key, or with step 2 every other one.
func allKeys(flags KeyFlags, step int) Keys {
	return Keys{{Flags: flags, First: 1, Last: -1, Step: step}}
}

// twoKeys is a source and a destination.
func twoKeys(from, to KeyFlags) Keys {
	return Keys{{Flags: from, First: 1, Step: 1}, {Flags: to, First: 2, Step: 1}}
}

// legacyRange puts the keys into one range, as clients older than key specs expect: first and last index, where a
// negative one counts from the end, and step. What does not fit into it is movable.
func (k Keys) legacyRange() (legacy [3]int64, movable bool) {
	single := len(k) == 1
	for _, spec := range k {
		first, last := int64(spec.First), int64(spec.Last)
		if last >= 0 {
			last += first
		}
		gap := legacy[0] != 0 && legacy[1] != first-1
		if spec.Unknown || spec.Keyword != "" || spec.KeyNum > 0 || !single && (spec.Step != 1 || gap) {
			movable = true
			continue
		}
		movable = movable || spec.Flags&KeyIncomplete != 0
		if legacy[0] == 0 {
			legacy[0] = first
		}
		legacy[1], legacy[2] = last, int64(spec.Step)
	}
	return legacy, movable
}

// validate finds contradictions inside a key spec.
func (k *KeySpec) validate() bool {
	if k.Unknown {
		return k.First == 0 && k.Step == 0
	}
	return k.Step > 0 && (k.First > 0 || k.Keyword != "" && k.First < 0) && k.KeyNum < max(k.First, 1)
}

// hidden says that KeysOf has to be asked where the keys are.
func (k *KeySpec) hidden() bool { return k.Unknown || k.Flags&KeyIncomplete != 0 }

// Key is the place of one key in a call.
type Key struct {
	Index int
	Flags KeyFlags
}

// bounds returns the indexes of the first and the last key of the run in a call, the first above the last when there are
// none. It is false when the words can't be those of the command.
func (k *KeySpec) bounds(args [][]byte) (first, last int, ok bool) {
	first = k.First
	if k.Keyword != "" {
		if first = k.afterKeyword(args); first == 0 {
			return 1, 0, true
		}
	}
	switch {
	case k.KeyNum > 0:
		n, ok := parseInt(args[k.KeyNum])
		if !ok || n < 1 || n > math.MaxInt32 {
			return 0, 0, false
		}
		last = first + (int(n)-1)*k.Step
	case k.Limit > 0:
		last = first + (len(args)-first)/k.Limit - 1
	case k.Last < 0:
		last = len(args) + k.Last
	default:
		last = first + k.Last
	}
	return first, last, last < len(args) && last >= first
}

// afterKeyword is the place after the keyword, or 0. The last word of a call is none.
func (k *KeySpec) afterKeyword(args [][]byte) int {
	from, to, step := k.First, len(args)-1, 1
	if from < 0 {
		from, to, step = len(args)+from, 1, -1
	}
	for i := from; i*step < to*step && i > 0; i += step {
		if isOption(args[i], k.Keyword) {
			return i + 1
		}
	}
	return 0
}

// CallKeys returns the places of the keys of a call, whose arity must be right. There are none when the arguments can't be
// those of this command.
func (s *Spec) CallKeys(args [][]byte) []Key {
	if s.KeysOf != nil {
		return s.KeysOf(args)
	}
	var keys []Key
	for i := range s.Keys {
		first, last, ok := s.Keys[i].bounds(args)
		if !ok {
			return nil
		}
		for at := first; at <= last; at += s.Keys[i].Step {
			keys = append(keys, Key{Index: at, Flags: s.Keys[i].Flags})
		}
	}
	return keys
}

// CallSlot returns the hash slot of the keys of a call. keyed is false when it has none, or can't be a
// call of this command; same is false when the keys are in several slots. It does not allocate, for most commands.
func (s *Spec) CallSlot(args [][]byte) (slot uint16, keyed, same bool) {
	same = true
	add := func(key []byte) {
		own := fsm.Slot(key)
		if !keyed {
			slot, keyed = own, true
		}
		same = same && own == slot
	}
	for i := range s.Keys {
		k := &s.Keys[i]
		if k.hidden() {
			for _, key := range s.KeysOf(args) {
				add(args[key.Index])
			}
			break
		}
		first, last, ok := k.bounds(args)
		if !ok {
			return 0, false, true
		}
		for at := first; at <= last; at += k.Step {
			add(args[at])
		}
	}
	return slot, keyed, same
}
