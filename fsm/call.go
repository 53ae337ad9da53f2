package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"redoubt/resp"
)

// Call is one command of a client.
type Call struct {
	DB   int      // 0 to Databases-1
	Args [][]byte // the command's name and its arguments
	Read bool     // changes nothing: not logged, runs on the proposing node only
}

// Request is what a client sent at once. Replies[i] answers Calls[i] and may alias stored rows.
type Request struct {
	Calls   []Call
	Replies []resp.Reply
	Local   bool   // reads alone may be answered from what this node has, if that is not too old
	NoTouch bool   // what the calls look at is not counted as used, here
	Client  uint64 // whose it is, for the Observer of this node; 0: nobody's

	// A transaction: none of the calls is run if there is no room for one of them, or if one of these keys has changed,
	// which is then told by Stale.
	Atomic  bool
	Watched []Watched
	Stale   bool
	// Reads is told the keys that the calls of scripts read, before they do: see Txn.Reads. It must not wait. nil: nobody asks.
	Reads func(key []byte, late bool)
}

// Exec runs one command on tx. The reply of a command that met an I/O error is thrown away.
type Exec func(tx *Txn, args [][]byte) resp.Reply

// Position is a place in the raft log.
type Position struct {
	Index, Term uint64
}

// Batch is the writes of one Request. Local is set only on the node that proposed it: there the
// whole Request runs, reads between the writes included, and its Replies are filled.
type Batch struct {
	Payload []byte // see AppendCalls and AppendRequest
	Local   *Request
}

// Entry is a committed log entry. One without batches only moves the position and the time.
type Entry struct {
	Position
	Time    int64 // the leader's clock, milliseconds since 1970
	Seed    uint64
	Batches []Batch
}

// What a payload starts with tells its format.
const (
	payloadVersion = 1 // calls only
	payloadWatched = 2 // calls after the keys that they depend on
)

// errPayload is wrapped by every error of the decoder.
var errPayload = errors.New("damaged or unknown log entry payload")

// AppendCalls writes the calls that are not reads at the end of dst: a version, then for each call
// its database, the number of its arguments and the arguments with their lengths. Numbers are
// varints. The payload ends with the last call.
func AppendCalls(dst []byte, calls []Call) []byte {
	return appendWrites(append(dst, payloadVersion), calls)
}

func appendWrites(dst []byte, calls []Call) []byte {
	for i := range calls {
		c := &calls[i]
		if c.Read {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(c.DB))
		dst = binary.AppendUvarint(dst, uint64(len(c.Args)))
		for _, arg := range c.Args {
			dst = binary.AppendUvarint(dst, uint64(len(arg)))
			dst = append(dst, arg...)
		}
	}
	return dst
}

// decoder takes a payload apart. The arguments it returns alias the payload.
type decoder struct {
	rest    []byte
	args    [][]byte // reused from call to call
	watched uint64   // keys that come before the calls
}

func (d *decoder) reset(payload []byte) error {
	if len(payload) == 0 || payload[0] != payloadVersion && payload[0] != payloadWatched {
		return fmt.Errorf("%w: no version %d or %d", errPayload, payloadVersion, payloadWatched)
	}
	d.rest, d.watched = payload[1:], 0
	if payload[0] == payloadVersion {
		return nil
	}
	var err error
	d.watched, err = d.number(uint64(len(d.rest))) // each takes a byte at least
	return err
}

// release lets go of the payload.
func (d *decoder) release() {
	d.rest = nil
	if cap(d.args) > argsKeepMax {
		d.args = nil
	}
	clear(d.args[:cap(d.args)])
}

// argsKeepMax is how many arguments a decoder keeps room for.
const argsKeepMax = 1 << 10

// next returns the next call, or ok = false at the end. Args is good until the next call of next.
func (d *decoder) next() (c Call, ok bool, err error) {
	if err := d.unwatched(); err != nil {
		return Call{}, false, err
	}
	if len(d.rest) == 0 {
		return Call{}, false, nil
	}
	db, err := d.number(Databases - 1)
	if err != nil {
		return Call{}, false, err
	}
	count, err := d.number(uint64(len(d.rest))) // an argument takes a byte at least
	if err != nil {
		return Call{}, false, err
	}
	if count == 0 {
		return Call{}, false, fmt.Errorf("%w: a call without a name", errPayload)
	}
	d.args = d.args[:0]
	for range count {
		size, err := d.number(uint64(len(d.rest)))
		if err != nil {
			return Call{}, false, err
		}
		if size > uint64(len(d.rest)) { // the number itself took bytes of the rest
			return Call{}, false, fmt.Errorf("%w: cut short", errPayload)
		}
		d.args = append(d.args, d.rest[:size:size])
		d.rest = d.rest[size:]
	}
	return Call{DB: int(db), Args: d.args}, true, nil
}

// number takes a varint of at most limit.
func (d *decoder) number(limit uint64) (uint64, error) {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 || n > limit {
		return 0, fmt.Errorf("%w: a number is cut short or out of range", errPayload)
	}
	d.rest = d.rest[size:]
	return n, nil
}

// EachCall runs f on each call of a payload, up to the first error. The arguments alias the payload,
// and Args is good until f returns.
func EachCall(payload []byte, f func(c Call) error) error {
	d := decoder{args: make([][]byte, 0, 8)} // for most calls
	if err := d.reset(payload); err != nil {
		return err
	}
	for {
		c, ok, err := d.next()
		if err != nil || !ok {
			return err
		}
		if err := f(c); err != nil {
			return err
		}
	}
}

// DecodeCalls returns the calls of a payload, which they alias. It is for showing a log to people.
func DecodeCalls(payload []byte) (calls []Call, err error) {
	err = EachCall(payload, func(c Call) error {
		c.Args = slices.Clone(c.Args)
		calls = append(calls, c)
		return nil
	})
	return calls, err
}
