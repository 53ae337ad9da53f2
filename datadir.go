package redoubt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/failpoint"
	"redoubt/raftnode"
)

// dirFormat is the version of the data directory's layout. A directory of a later version is refused.
// Since version 2 the log notes what was acknowledged; to a directory of version 1 this is added.
const dirFormat = 2

// Names in a data directory.
const (
	lockFile     = "LOCK"      // held while a process uses the directory
	identityFile = "NODE"      // whose directory this is
	stateFile    = "STATE"     // names the directory of the current state
	logDir       = "log"       // raft log
	snapshotDir  = "snapshots" // newest snapshot
	incomingDir  = "incoming"  // a snapshot that is being received
	backupDir    = "backups"   // states that backups are being read from
	statePrefix  = "state-"    // a state
)

// identity says whose directory it is. It never changes, except that Initialized becomes true once
// log and state exist: from then on, one that is missing was lost.
type identity struct {
	Format      int    `json:"format"`
	ClusterID   uint64 `json:"cluster_id"`
	NodeID      uint64 `json:"node_id"`
	Incarnation uint64 `json:"incarnation"`
	Cluster     string `json:"cluster"` // as it was on the first start, for messages
	Initialized bool   `json:"initialized"`
	// Others: the cluster has other members, who may go on with what this node has forgotten.
	Others bool `json:"others,omitempty"`
	// Members of the cluster that the node has joined, as they were then. Until it gets a state, these are
	// who it can get one from.
	Members json.RawMessage `json:"members,omitempty"`
}

// dataDir is an open data directory.
type dataDir struct {
	fs   vfs.FS
	rand func() uint64
	root string
	id   identity
	lock io.Closer
}

// openDataDir locks the directory, making it if need be, and reads or makes its identity.
func openDataDir(fs vfs.FS, rand func() uint64, cfg Config) (*dataDir, error) {
	d, err := lockDataDir(fs, rand, cfg.DataDir)
	if err != nil {
		return nil, err
	}
	err = d.identify(cfg)
	if err == nil && !d.id.Initialized {
		// A directory that vanished in a power cut would come back as another incarnation.
		err = syncDir(fs, d.parent())
	}
	if err == nil {
		err = fs.RemoveAll(d.path(backupDir)) // nobody reads them any more
	}
	if err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// lockDataDir makes the directory if need be, and its lock.
func lockDataDir(fs vfs.FS, rand func() uint64, root string) (*dataDir, error) {
	d := &dataDir{fs: fs, rand: rand, root: root}
	if err := fs.MkdirAll(d.root, 0o755); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	var err error
	if d.lock, err = fs.Lock(d.path(lockFile)); err != nil {
		return nil, fmt.Errorf("data directory %s is in use by another process: %w", d.root, err)
	}
	return d, nil
}

func (d *dataDir) path(name string) string { return d.fs.PathJoin(d.root, name) }

func (d *dataDir) identify(cfg Config) error {
	body, err := d.read(identityFile)
	if d.missing(identityFile) {
		return d.create(cfg)
	}
	if err != nil {
		return err
	}
	if err := d.decode(body); err != nil {
		return err
	}
	if d.id.NodeID == 0 {
		if cfg.joining {
			return nil
		}
		return fmt.Errorf("data directory %s is of a node that was about to join a cluster: start it with --join", d.root)
	}
	if len(cfg.Cluster) > 0 && (d.id.NodeID != cfg.ID || d.id.Cluster != FormatCluster(cfg.Cluster)) {
		return fmt.Errorf("data directory %s belongs to node %d of the cluster %q, not to node %d of %q",
			d.root, d.id.NodeID, d.id.Cluster, cfg.ID, FormatCluster(cfg.Cluster))
	}
	if len(cfg.Cluster) == 0 && cfg.ID != 1 && d.id.NodeID != cfg.ID {
		return fmt.Errorf("data directory %s belongs to node %d, not to node %d", d.root, d.id.NodeID, cfg.ID)
	}
	return nil
}

// decode reads the identity of a directory.
func (d *dataDir) decode(body []byte) error {
	if err := json.Unmarshal(body, &d.id); err != nil {
		return fmt.Errorf("%s: %w", d.path(identityFile), err)
	}
	if d.id.Format > dirFormat {
		return fmt.Errorf("data directory %s has format %d: it was written by a newer version, this one reads up to %d",
			d.root, d.id.Format, dirFormat)
	}
	return nil
}

// create gives an empty directory its identity.
func (d *dataDir) create(cfg Config) error {
	names, err := d.fs.List(d.root)
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	for _, name := range names {
		if name == logDir || name == stateFile || strings.HasPrefix(name, statePrefix) {
			return fmt.Errorf("data directory %s holds %s but no %s file: it is damaged", d.root, name, identityFile)
		}
	}
	d.id = identity{Format: dirFormat, NodeID: cfg.ID, Incarnation: d.rand() | 1, Cluster: FormatCluster(cfg.Cluster)}
	d.id.Others = len(cfg.Cluster) > 1
	switch {
	case cfg.joining: // the cluster says who it is
		d.id.NodeID = 0
	case len(cfg.Cluster) > 0:
		d.id.ClusterID = clusterID(cfg.Cluster)
	default:
		d.id.ClusterID = d.rand() | 1
	}
	return d.saveIdentity()
}

// noteOthers notes whether there are other members before they count.
func (d *dataDir) noteOthers(members []byte) error {
	others, err := raftnode.Others(members)
	if err != nil || others == d.id.Others {
		return err
	}
	d.id.Others = others
	return d.saveIdentity()
}

func (d *dataDir) parent() string {
	if dir := d.fs.PathDir(d.root); dir != "" {
		return dir
	}
	return "."
}

func (d *dataDir) saveIdentity() error {
	body, err := json.Marshal(d.id)
	if err != nil {
		return err
	}
	return d.write(identityFile, body)
}

// state returns the directory of the current state, or "" before there is one.
func (d *dataDir) state() (string, error) {
	body, err := d.read(stateFile)
	if d.missing(stateFile) {
		if d.id.Initialized {
			return "", fmt.Errorf("%s is missing: the data directory is damaged", d.path(stateFile))
		}
		return "", nil
	}
	if err != nil {
		return "", err
	}
	name := string(body)
	if _, err := d.fs.Stat(d.path(name)); err != nil || !strings.HasPrefix(name, statePrefix) {
		return "", fmt.Errorf("%s names the state directory %q, which is missing: the data directory is damaged",
			d.path(stateFile), name)
	}
	return name, nil
}

// prune removes the states that a crash left behind.
func (d *dataDir) prune(current string) error {
	names, err := d.fs.List(d.root)
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, statePrefix) && name != current {
			if err := d.fs.RemoveAll(d.path(name)); err != nil {
				return fmt.Errorf("remove old state: %w", err)
			}
		}
	}
	return nil
}

func (d *dataDir) missing(name string) bool {
	_, err := d.fs.Stat(d.path(name))
	return errors.Is(err, errNotExist)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// read returns the content of a small file that write wrote: a line, and its checksum in the next.
func (d *dataDir) read(name string) ([]byte, error) {
	f, err := d.fs.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.path(name), err)
	}
	body, sum, _ := bytes.Cut(data, []byte("\n"))
	if string(sum) != checksum(body) {
		return nil, fmt.Errorf("%s is damaged: checksum mismatch at offset %d", d.path(name), len(body)+1)
	}
	return body, nil
}

// write replaces a small file in one atomic, durable step.
func (d *dataDir) write(name string, body []byte) error {
	tmp := d.path(name + ".tmp")
	f, err := d.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create %s: %w", tmp, err)
	}
	_, err = f.Write(append(append(bytes.Clone(body), '\n'), checksum(body)...))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	if err := failpoint.FileRenameBefore.Err(); err != nil {
		return err
	}
	if err := d.fs.Rename(tmp, d.path(name)); err != nil {
		return fmt.Errorf("replace %s: %w", d.path(name), err)
	}
	return d.sync()
}

// sync makes the names in the directory durable.
func (d *dataDir) sync() error { return syncDir(d.fs, d.root) }

func syncDir(fs vfs.FS, path string) error {
	dir, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func checksum(body []byte) string {
	return fmt.Sprintf("crc32c %08x\n", crc32.Checksum(body, castagnoli))
}
