package fsm

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// Scripts and libraries of functions are a part of the state: the log holds calls of them by name, and every node has to
// know the same ones. They lie in two databases that no client can select, so that everything that is done
// for keys (cache, buffer, sums, checks, snapshots) is done for them.
const (
	scriptsDB   = SessionDB + 1
	librariesDB = SessionDB + 2
)

// The rows of scripts:
//
//	sha1, 20 bytes          -> 1 if it was loaded, 0 if it was only run | the text
//	'e' | place, 2 bytes    -> the sha1 of a script that was run
//	'n'                     -> how many scripts were run first | how many there are
//
// Those of libraries, whose names have letters, digits and _ only:
//
//	'f' | function, in lower case -> the name of its library
//	'l' | library           -> its functions, each with a line feed | 0 | the text
//	'n'                     -> the names of the libraries, in order, each with a line feed
const (
	ranScript    = 0
	loadedScript = 1

	scriptSHABytes = 20
)

// RanScriptsMax is how many scripts are remembered that were run with their text, and not loaded. Another one takes the
// place of the one that was the first of them to be run.
const RanScriptsMax = 500

var countKey = []byte{'n'}

// Programs counts the scripts and libraries of a state.
type Programs struct {
	Scripts, Libraries, Functions int64
	ScriptBytes, LibraryBytes     int64 // of the data set
}

// programRow returns a value of one of the two databases, nil when there is none.
func (tx *Txn) programRow(db int, key []byte) []byte {
	defer tx.Use(tx.Use(db))
	if row := tx.Lookup(key); row != nil {
		return row.Value
	}
	return nil
}

func (tx *Txn) keepProgram(db int, key, value []byte) {
	defer tx.Use(tx.Use(db))
	tx.Keep(key, Row{Kind: String, Value: value})
}

func (tx *Txn) dropProgram(db int, key []byte) {
	defer tx.Use(tx.Use(db))
	tx.Delete(key)
}

// Script returns the text of the script with a SHA-1. It must not be changed.
func (tx *Txn) Script(sha []byte) (text []byte, ok bool) {
	if len(sha) != scriptSHABytes {
		return nil, false
	}
	value := tx.programRow(scriptsDB, sha)
	if len(value) == 0 {
		return nil, false
	}
	return value[1:], true
}

// AddScript stores a script. loaded: it stays until ClearScripts, and is not the next to be forgotten one day.
func (tx *Txn) AddScript(sha, text []byte, loaded bool) {
	before := tx.programRow(scriptsDB, sha)
	if len(before) > 0 && (!loaded || before[0] == loadedScript) {
		return
	}
	ran, count := tx.scriptCounts()
	kind := byte(loadedScript)
	if !loaded {
		kind = ranScript
		place := binary.BigEndian.AppendUint16([]byte{'e'}, uint16(ran%RanScriptsMax))
		if old := tx.programRow(scriptsDB, place); old != nil {
			if value := tx.programRow(scriptsDB, old); len(value) > 0 && value[0] == ranScript {
				tx.dropProgram(scriptsDB, old)
				count--
			}
		}
		tx.keepProgram(scriptsDB, place, append([]byte(nil), sha...))
		ran++
	}
	if before == nil {
		count++
	}
	tx.keepProgram(scriptsDB, sha, append([]byte{kind}, text...))
	tx.keepProgram(scriptsDB, countKey, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, ran), count))
}

// scriptCounts says how many scripts were run first, ever, and how many there are.
func (tx *Txn) scriptCounts() (ran, count uint64) {
	b := tx.programRow(scriptsDB, countKey)
	if len(b) != 16 {
		return 0, 0
	}
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
}

// ClearScripts forgets all scripts.
func (tx *Txn) ClearScripts() { tx.FlushDB(scriptsDB) }

// Library returns the text of a library and its functions. The text must not be changed.
func (tx *Txn) Library(name string) (text []byte, functions []string, ok bool) {
	value := tx.programRow(librariesDB, []byte("l"+name))
	names, text, ok := bytes.Cut(value, []byte{0})
	if !ok {
		return nil, nil, false
	}
	return text, lines(names), true
}

// lines splits a list of names, each of which ends with a line feed.
func lines(names []byte) []string {
	if len(names) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(names), "\n"), "\n")
}

func appendLines(dst []byte, names []string) []byte {
	for _, name := range names {
		dst = append(append(dst, name...), '\n')
	}
	return dst
}

// functionKey is the key of a function: names that differ in case only are the same.
func functionKey(name string) []byte { return []byte("f" + strings.ToLower(name)) }

// LibraryOf returns the name of the library that a function is in; empty: there is no such function.
func (tx *Txn) LibraryOf(function []byte) string {
	return string(tx.programRow(librariesDB, functionKey(string(function))))
}

// Libraries lists the names of all libraries, in order.
func (tx *Txn) Libraries() []string { return lines(tx.programRow(librariesDB, countKey)) }

// SetLibrary stores a library and its functions. Neither may be there.
func (tx *Txn) SetLibrary(name string, text []byte, functions []string) {
	all := append(tx.Libraries(), name)
	slices.Sort(all)
	tx.keepProgram(librariesDB, countKey, appendLines(nil, all))
	value := append(appendLines(nil, functions), 0)
	tx.keepProgram(librariesDB, []byte("l"+name), append(value, text...))
	for _, f := range functions {
		tx.keepProgram(librariesDB, functionKey(f), []byte(name))
	}
}

// DropLibrary removes a library and its functions, and says whether there was one.
func (tx *Txn) DropLibrary(name string) bool {
	_, functions, ok := tx.Library(name)
	if !ok {
		return false
	}
	tx.dropProgram(librariesDB, []byte("l"+name))
	for _, f := range functions {
		tx.dropProgram(librariesDB, functionKey(f))
	}
	if all := slices.DeleteFunc(tx.Libraries(), func(n string) bool { return n == name }); len(all) > 0 {
		tx.keepProgram(librariesDB, countKey, appendLines(nil, all))
	} else {
		tx.dropProgram(librariesDB, countKey)
	}
	return true
}

// ClearLibraries removes all libraries.
func (tx *Txn) ClearLibraries() { tx.FlushDB(librariesDB) }

// Programs counts the scripts and libraries.
func (tx *Txn) Programs() Programs {
	_, scripts := tx.scriptCounts()
	p := Programs{Scripts: int64(scripts), Libraries: int64(len(tx.Libraries())),
		ScriptBytes: tx.ks.dbs[scriptsDB].bytes, LibraryBytes: tx.ks.dbs[librariesDB].bytes}
	if p.Libraries > 0 {
		p.Functions = tx.ks.dbs[librariesDB].keys - p.Libraries - 1
	}
	return p
}

// Yield lets go of what holds up Apply, in the middle of a read that takes long; it goes on with the same state. The
// read has to end at once when it returns false: it will be run again, or the machine closes.
func (tx *Txn) Yield() bool {
	tx.detach()
	return !tx.unsettled && tx.err == nil && !tx.m.interrupted.Load()
}

// Over says whether the call ends without a reply that counts, whatever it still does: something failed, or it will be
// run again.
func (tx *Txn) Over() bool { return tx.err != nil || tx.agree || tx.unsettled }

// Whole has Long make replies as a whole, for a caller that looks into them.
func (tx *Txn) Whole(whole bool) { tx.whole = whole }

// IsWhole says whether the call is one of a script.
func (tx *Txn) IsWhole() bool { return tx.whole }

// InLog says whether the call is in a request of the log, as a write or as a read between them.
func (tx *Txn) InLog() bool { return tx.pending != nil }

// Full says whether the data set is so far above its limit that a script may not let it grow: evictions are not keeping up,
// or there is nothing to evict.
func (tx *Txn) Full() bool {
	limit := tx.ks.settings.Limit
	if limit.MaxMemory == 0 {
		return false
	}
	size := tx.ks.bytes()
	return size > limit.MaxMemory && (!tx.ks.evictable() || size-limit.MaxMemory > limit.MaxMemory/8)
}

// Writes says whether the call may change state. If not, it is a read.
func (tx *Txn) Writes() bool { return tx.write }

// Interrupt has Yield tell the reads that take long to end: the machine is about to be closed.
func (m *Machine) Interrupt() { m.interrupted.Store(true) }
