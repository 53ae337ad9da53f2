package redoubt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/raftnode"
	"redoubt/snapshot"
)

// CheckBackup reads a backup to its end and says what it holds, or what is wrong with it.
func CheckBackup(r io.Reader) (BackupHeader, error) {
	var h BackupHeader
	return h, snapshot.CheckArchive(r, h.decode)
}

// decode is for the header of an archive.
func (h *BackupHeader) decode(header []byte) error {
	d := json.NewDecoder(bytes.NewReader(header))
	if err := d.Decode(h); err != nil {
		return fmt.Errorf("%w: header: %w", snapshot.ErrCorrupt, err)
	}
	if h.Format > backupFormat {
		return fmt.Errorf("the backup has format %d: it was made by a newer version, this one reads up to %d",
			h.Format, backupFormat)
	}
	return nil
}

// Restore makes the data directory of a node of a new cluster from a backup. cfg says which node: ID,
// DataDir and Cluster count as on a first start, and every node of Cluster has to be restored from the
// same backup. Nothing is left behind when it fails; the directory must be empty or missing.
func Restore(cfg Config, r io.Reader) (h BackupHeader, clusterID uint64, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return h, 0, err
	}
	return restoreOn(system, cfg, r)
}

func restoreOn(p platform, cfg Config, r io.Reader) (h BackupHeader, clusterID uint64, err error) {
	_, statErr := p.fs.Stat(cfg.DataDir)
	d, err := lockDataDir(p.fs, p.rand, cfg.DataDir)
	if err != nil {
		return h, 0, err
	}
	names, err := p.fs.List(d.root)
	names = slices.DeleteFunc(names, func(name string) bool { return name == lockFile || name == "lost+found" })
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("data directory %s is not empty: it holds %s", d.root, names[0])
	}
	if err != nil {
		return h, 0, errors.Join(err, d.lock.Close())
	}
	// Until the identity is there, which comes last, no node starts on the directory.
	if err = d.restore(cfg, r, &h); err != nil {
		err = errors.Join(oneLine(err), d.clear(errors.Is(statErr, errNotExist)))
	}
	return h, d.id.ClusterID, errors.Join(err, d.lock.Close())
}

// clear takes a directory back to what it was before lockDataDir.
func (d *dataDir) clear(made bool) error {
	if made {
		return d.fs.RemoveAll(d.root)
	}
	var errs []error
	for _, name := range []string{logDir, firstState, stateFile, identityFile, identityFile + ".tmp", stateFile + ".tmp", lockFile} {
		errs = append(errs, d.fs.RemoveAll(d.path(name)))
	}
	return errors.Join(errs...)
}

// firstState is the name of a new directory's state.
const firstState = statePrefix + "1"

// restore fills an empty directory.
func (d *dataDir) restore(cfg Config, r io.Reader, h *BackupHeader) error {
	dir := d.path(firstState)
	if err := snapshot.ReadArchive(r, d.fs, dir, h.decode); err != nil {
		return err
	}
	if err := fsm.Verify(d.fs, dir); err != nil {
		return err
	}
	d.id = identity{NodeID: cfg.ID, Cluster: FormatCluster(cfg.Cluster), ClusterID: d.rand() | 1}
	members := []raftnode.Member{{ID: cfg.ID, RaftAddr: cfg.RaftAdvertise}}
	if len(cfg.Cluster) > 0 {
		d.id.ClusterID = restoredID(h, d.id.Cluster)
		members = membersOf(cfg.Cluster)
	}
	pos, err := d.found(firstState, cfg.Commands, members, nil)
	if err != nil {
		return err
	}
	if err := d.newLog(logDir, pos); err != nil {
		return err
	}
	return d.begin(firstState)
}

// restoredID is the id of the cluster that a backup becomes on these nodes: the same on all of them, and
// another one than that of any other cluster.
func restoredID(h *BackupHeader, cluster string) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d %d %s", h.ClusterID, h.ID, h.Index, h.Term, cluster))
	return binary.BigEndian.Uint64(sum[:]) | 1
}

func membersOf(cluster map[uint64]string) []raftnode.Member {
	members := make([]raftnode.Member, 0, len(cluster))
	for id, addr := range cluster {
		members = append(members, raftnode.Member{ID: id, RaftAddr: addr})
	}
	return members
}

// found makes the state the first one of a new cluster: it goes on one position after what it holds, with
// these members. Before that, replay may apply more. It is the same on every node that does so.
func (d *dataDir) found(state string, custom []command.Spec, members []raftnode.Member,
	replay func(*replica) error) (at raftnode.Position, err error) {
	table, err := command.NewTable(custom...)
	if err != nil {
		return at, err
	}
	m, err := fsm.Open(fsm.Options{FS: d.fs, Dir: d.path(state), Exec: table.Exec, Logger: silent{}, Expect: true})
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	meta, err := raftnode.SucceedingMembership(m.Meta(), d.id.ClusterID, members)
	if err != nil {
		return at, err
	}
	d.id.Others = len(members) > 1
	if replay != nil {
		if err := replay(&replica{dir: d, machine: m}); err != nil {
			return at, err
		}
	}
	at = raftnode.Position(m.Applied())
	at.Index++
	if err := m.Apply([]fsm.Entry{{Position: fsm.Position(at)}}, meta); err != nil {
		return at, err
	}
	return at, m.Flush()
}

// newLog makes a log that goes on after at.
func (d *dataDir) newLog(name string, at raftnode.Position) error {
	log, err := raftnode.OpenLog(raftnode.LogOptions{FS: d.fs, Dir: d.path(name), MemTableBytes: 4 << 20, Logger: silent{}})
	if err != nil {
		return err
	}
	return errors.Join(log.Reset(at), log.Close())
}

// begin makes a directory that has a state and a log one on which a node starts.
func (d *dataDir) begin(state string) error {
	if err := d.write(stateFile, []byte(state)); err != nil {
		return err
	}
	d.id.Format, d.id.Incarnation, d.id.Initialized = dirFormat, d.rand()|1, true
	if err := d.saveIdentity(); err != nil {
		return err
	}
	return syncDir(d.fs, d.parent())
}

// silent is Pebble's logger where what matters comes back as an error.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
