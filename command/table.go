package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"redoubt/fsm"
	"redoubt/resp"
)

// nameBytesMax bounds the names of commands, so that a lookup folds them on the stack.
const nameBytesMax = 48

// Table is the set of commands that a node knows. It is immutable and safe for concurrent use.
// All the nodes of a cluster must have the same one, since the log holds calls by name.
type Table struct {
	byName  map[string]*Spec // by name in lower case, Internal ones included
	public  []*Spec          // without the Internal ones, by name
	scripts *Scripts
}

// NewTable returns the table of all built-in commands and the custom ones. It refuses a spec
// that contradicts itself or takes the name of another one.
func NewTable(custom ...Spec) (*Table, error) {
	t := &Table{byName: map[string]*Spec{}}
	t.scripts = newScripts(t)
	families := [][]Spec{stringCommands, compareCommands, bitmapCommands, hyperLogLogCommands, hashCommands, listCommands, setCommands,
		zsetCommands, geoCommands, streamCommands, keyCommands, expireCommands, scanCommands, sortCommands, dumpCommands,
		migrateCommands, objectCommands, memoryCommands, connectionCommands, clientCommands, serverCommands, commandCommands,
		clusterCommands, sentinelCommands, pubSubCommands, transactionCommands, blockingListCommands, blockingZSetCommands,
		internalBlockingCommands, onceCommands(t), t.scripts.commands(),
		t.scripts.functionCommands(), custom}
	for _, family := range families {
		for _, spec := range family {
			if err := t.add(spec); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(t.public, func(a, b *Spec) int { return strings.Compare(a.Name, b.Name) })
	return t, nil
}

func (t *Table) add(spec Spec) error {
	if err := spec.validate(); err != nil {
		return fmt.Errorf("command %q: %w", spec.Name, err)
	}
	spec.fullName = strings.ToLower(spec.Name)
	if _, movable := spec.Keys.legacyRange(); movable {
		spec.Flags |= MovableKeys
	}
	spec.Sub = slices.Clone(spec.Sub)
	for i := range spec.Sub {
		sub := &spec.Sub[i]
		own, ok := strings.CutPrefix(sub.Name, spec.Name+" ")
		if !ok {
			return fmt.Errorf("command %q: subcommand %q does not start with it",
				spec.Name, sub.Name)
		}
		if err := sub.validate(); err != nil {
			return fmt.Errorf("command %q: %w", sub.Name, err)
		}
		sub.fullName = spec.fullName + "|" + strings.ToLower(own)
		if spec.sub([]byte(own)) != sub {
			return fmt.Errorf("command %q: there are two of this name", sub.Name)
		}
	}
	if t.byName[spec.fullName] != nil {
		return fmt.Errorf("command %q: there are two of this name", spec.Name)
	}
	t.byName[spec.fullName] = &spec
	if spec.Flags&Internal == 0 {
		t.public = append(t.public, &spec)
	}
	return nil
}

// validate finds contradictions inside one spec; those of its subcommands are for them to find.
func (s *Spec) validate() error {
	keyspace := s.Flags & (Write | ReadOnly | Logged | Looks)
	switch {
	case s.Name == "" || len(s.Name) > nameBytesMax:
		return fmt.Errorf("a name has 1 to %d bytes", nameBytesMax)
	case s.Name != strings.ToUpper(s.Name):
		return errors.New("the name is not in upper case")
	case s.Arity == 0:
		return errors.New("arity 0: the name itself counts")
	case keyspace == Write|ReadOnly:
		return errors.New("both Write and ReadOnly")
	case keyspace != 0 && s.Run == nil && s.Flags&AtNode == 0:
		return errors.New("works on the keyspace but has no Run")
	case keyspace == 0 && s.Run != nil:
		return errors.New("has a Run but neither Write nor ReadOnly")
	case s.Run != nil && s.Sub != nil:
		return errors.New("a container with a Run of its own")
	}
	for i := range s.Keys {
		if !s.Keys[i].validate() {
			return errors.New("a run of keys starts after the name and has a step of 1 or more")
		}
		if s.Keys[i].hidden() && s.KeysOf == nil {
			return errors.New("keys at unknown places and no KeysOf")
		}
	}
	return nil
}

// Lookup finds a command by its name in any case. It does not look into containers. It returns
// nil for an unknown name. It does not allocate.
func (t *Table) Lookup(name []byte) *Spec {
	if len(name) > nameBytesMax {
		return nil
	}
	var folded [nameBytesMax]byte
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		folded[i] = c
	}
	return t.byName[string(folded[:len(name)])]
}

// Find is Lookup that goes on to the subcommand when the command is a container. COMMAND without
// arguments and the like are the container itself.
func (t *Table) Find(args [][]byte) *Spec {
	if len(args) == 0 {
		return nil
	}
	spec := t.Lookup(args[0])
	if spec == nil || len(args) == 1 || spec.Sub == nil {
		return spec
	}
	return spec.sub(args[1])
}

// Resolve returns the spec of a client's call, the subcommand's if it has one, or nil and the
// error that Redis answers with: unknown command, unknown subcommand, wrong number of arguments.
// There must be at least one argument.
func (t *Table) Resolve(args [][]byte) (*Spec, resp.Reply) {
	spec := t.Lookup(args[0])
	if spec == nil || spec.Flags&Internal != 0 {
		return nil, unknownCommand(args)
	}
	if spec.Sub != nil && len(args) > 1 {
		sub := spec.sub(args[1])
		if sub == nil {
			return nil, unknownSubcommand(args[0], args[1])
		}
		spec = sub
	}
	if bad := spec.CheckArity(args); bad.IsError() {
		return nil, bad
	}
	if spec.Inner != nil {
		if _, bad := spec.Inner(args); bad.IsError() {
			return nil, bad
		}
	}
	return spec, resp.Reply{}
}

// HasFlag says whether a call, or the one that it has in it, is of a command with one of the flags, or of none.
func (t *Table) HasFlag(args [][]byte, flags Flags) bool {
	spec := t.Find(args)
	if spec != nil && spec.Inner != nil && spec.arityFits(len(args)) {
		spec, _ = spec.Inner(args)
	}
	return spec == nil || spec.Flags&flags != 0
}

// NeedsVersion is the version of the cluster from which on a call with the right number of words may be logged.
func (s *Spec) NeedsVersion(args [][]byte) uint32 {
	if s.Inner != nil {
		if inner, _ := s.Inner(args); inner != nil {
			return max(s.Version, inner.Version)
		}
	}
	return s.Version
}

// Exec executes one call on the keyspace; it is the machine's fsm.Exec. A call that no server
// with this table would have logged stops the replica: answering it in any way could make its
// state differ from that of a node which knows the command.
func (t *Table) Exec(tx *fsm.Txn, args [][]byte) resp.Reply {
	spec := t.Find(args)
	if spec == nil || spec.Run == nil {
		tx.Fail(fmt.Errorf("execute %.100q: not a command of the keyspace", args))
		return resp.Reply{}
	}
	if bad := spec.CheckArity(args); bad.IsError() {
		return bad
	}
	return spec.Run(tx, args)
}

// CheckWrite says why a call that another node logged could not be executed here, or returns nil.
func (t *Table) CheckWrite(args [][]byte) error {
	if spec := t.Find(args); spec == nil || spec.Run == nil || !spec.Flags.IsWrite() {
		return fmt.Errorf("%.100q: not a command that writes to the keyspace", args)
	}
	return nil
}

// All returns the commands that clients may call, ordered by name. The caller must not change it.
func (t *Table) All() []*Spec { return t.public }
