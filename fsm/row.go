package fsm

// Kind is the type of the value of a key. The numbers are part of the stored format.
type Kind uint8

// String is a string of bytes, numbers included.
const String Kind = 1

// Row is the value of a key as commands see it. A Row that was handed out or stored never changes:
// Value may be shared with replies and with the cache, so nobody writes to it.
type Row struct {
	Kind     Kind
	ExpireAt int64  // milliseconds since 1970; 0 means never
	Version  uint64 // log index of the last write
	Value    []byte
}
