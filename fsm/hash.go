package fsm

// HashValue is the hash at a key: names are fields. Changes are stored by Save.
type HashValue struct{ keyed }

// Hash returns the hash that row, of the Kind Hash or nil, is at a key.
func (tx *Txn) Hash(key []byte, row *Row) *HashValue {
	p := tx.Packing()
	return &HashValue{tx.openKeyed(key, row, Hash, p.HashEntries, p.HashValue)}
}

// Expect says how many fields are about to be set, some of which may be there. Redis does not pack a hash of which it
// expects that it becomes large.
func (h *HashValue) Expect(fields int) { h.large = h.large || int64(fields) > h.most }
