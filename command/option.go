package command

import (
	"math"

	"redoubt/fsm"
	"redoubt/resp"
)

// expiryMode says what the number after an expiry option counts from.
type expiryMode uint8

const (
	expireNone   expiryMode = iota
	expireIn                // from now
	expireAtTime            // from the epoch
)

// expiry is a not yet parsed expiry option: Redis checks all options before it reads numbers.
type expiry struct {
	mode   expiryMode
	unit   int64 // in milliseconds
	amount []byte
}

// expireAt returns the time in milliseconds since the epoch, 0 when there is no expiry, or the
// error reply of the command with this name.
func (e expiry) expireAt(tx *fsm.Txn, name string) (int64, resp.Reply) {
	if e.mode == expireNone {
		return 0, resp.Reply{}
	}
	at, ok := parseInt(e.amount)
	if !ok {
		return 0, errNotInteger
	}
	if at <= 0 || at > math.MaxInt64/e.unit {
		return 0, invalidExpire(name)
	}
	at *= e.unit
	if e.mode == expireIn {
		at += tx.Now()
		if at <= 0 {
			return 0, invalidExpire(name)
		}
	}
	return at, resp.Reply{}
}

// options are those of SET and GETEX.
type options struct {
	expiry
	nx, xx, get, keepTTL, persist bool

	match condition
}

// optionSet says which command's options are allowed beside the four expiries.
type optionSet uint8

const (
	setOptions optionSet = iota
	getEXOptions
)

// parseSetOptions reads the options of SET or GETEX, which start at args[first]. An option may be
// repeated, with the last one counting; it may not meet one that contradicts it.
func parseSetOptions(args [][]byte, first int, allowed optionSet) (options, resp.Reply) {
	var o options
	for i := first; i < len(args); i++ {
		if taken, ok := o.addExpiry(args[i:]); ok {
			i += taken
			continue
		}
		if c, ok := takeCondition(args[i:]); ok && allowed == setOptions && !o.nx && !o.xx && !o.match.given {
			o.match = c
			i++
			continue
		}
		if allowed == setOptions && o.addSet(args[i]) || allowed == getEXOptions && o.addGetEX(args[i]) {
			continue
		}
		return o, errSyntax
	}
	return o, resp.Reply{}
}

// addExpiry takes an expiry option and its number; taken counts the words beside the option.
func (o *options) addExpiry(args [][]byte) (taken int, ok bool) {
	var e expiry
	switch {
	case isOption(args[0], "EX"):
		e = expiry{mode: expireIn, unit: 1000}
	case isOption(args[0], "PX"):
		e = expiry{mode: expireIn, unit: 1}
	case isOption(args[0], "EXAT"):
		e = expiry{mode: expireAtTime, unit: 1000}
	case isOption(args[0], "PXAT"):
		e = expiry{mode: expireAtTime, unit: 1}
	default:
		return 0, false
	}
	other := o.mode != expireNone && (o.mode != e.mode || o.unit != e.unit)
	if other || o.keepTTL || o.persist || len(args) < 2 {
		return 0, false
	}
	o.expiry, o.amount = e, args[1]
	return 1, true
}

func (o *options) addSet(arg []byte) bool {
	switch {
	case isOption(arg, "NX") && !o.xx && !o.match.given:
		o.nx = true
	case isOption(arg, "XX") && !o.nx && !o.match.given:
		o.xx = true
	case isOption(arg, "GET"):
		o.get = true
	case isOption(arg, "KEEPTTL") && o.mode == expireNone:
		o.keepTTL = true
	default:
		return false
	}
	return true
}

func (o *options) addGetEX(arg []byte) bool {
	if !isOption(arg, "PERSIST") || o.mode != expireNone {
		return false
	}
	o.persist = true
	return true
}
