package redoubt

import (
	"errors"
	"fmt"

	"redoubt/fsm"
	"redoubt/raftnode"
)

// beforeRecovery is where Recover leaves what the directory held.
const beforeRecovery = "before-recovery"

// recoveredLog is a log that is being made.
const recoveredLog = "log.recovered"

// Survivor is the directory of a stopped node whose cluster has lost its majority for good. It is locked
// until Close.
type Survivor struct {
	ClusterID, NodeID uint64
	// Members are all nodes that the cluster had, this one included, as far as this one knows.
	Members []raftnode.Member
	// Committed is the index of the last entry that this node knew to be committed. Last is the last one
	// that its log holds, which may never have been acknowledged. What others had beyond it is lost.
	Committed uint64
	Last      raftnode.Position

	cfg   Config
	dir   *dataDir
	log   *raftnode.Log
	state string
}

// OpenSurvivor opens the directory that cfg names, of a node that is not running, and changes nothing
// that a start would not change.
func OpenSurvivor(cfg Config) (*Survivor, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := openSurvivor(system, cfg)
	return s, oneLine(err)
}

func openSurvivor(p platform, cfg Config) (*Survivor, error) {
	if _, err := p.fs.Stat(p.fs.PathJoin(cfg.DataDir, identityFile)); err != nil {
		return nil, fmt.Errorf("%s is not the data directory of a node: %w", cfg.DataDir, err)
	}
	d, err := lockDataDir(p.fs, p.rand, cfg.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Survivor{cfg: cfg, dir: d}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Survivor) open() error {
	d := s.dir
	if !d.missing(beforeRecovery) {
		return fmt.Errorf("%s is there already: it holds what an earlier recovery replaced", d.path(beforeRecovery))
	}
	body, err := d.read(identityFile)
	if err == nil {
		err = d.decode(body)
	}
	if err == nil && (!d.id.Initialized || d.id.Format < dirFormat) {
		err = fmt.Errorf("%s was never started to the end by this version", d.root)
	}
	if err == nil {
		s.state, err = d.state()
	}
	if err != nil {
		return err
	}
	s.ClusterID, s.NodeID = d.id.ClusterID, d.id.NodeID
	for _, engine := range []string{logDir, s.state} {
		if err := checkManifest(d.fs, d.path(engine)); err != nil {
			return err
		}
	}
	s.log, err = raftnode.OpenLog(raftnode.LogOptions{FS: d.fs, Dir: d.path(logDir), TailBytes: s.cfg.logTailBytes(),
		MemTableBytes: uint64(s.cfg.logMemTableBytes()), Logger: silent{}, Expect: raftnode.ExpectNote})
	if err != nil {
		return err
	}
	if why := s.log.Corrupt(); why != "" {
		return fmt.Errorf("the state of this node is corrupt, %s: it can't be relied on; restore a backup", why)
	}
	pos, meta, err := fsm.Inspect(d.fs, d.path(s.state))
	if err != nil {
		return err
	}
	if s.Members, err = raftnode.Members(meta); err != nil {
		return err
	}
	if err := s.log.Recover(raftnode.Position(pos)); err != nil {
		return err
	}
	hard, _, err := s.log.InitialState()
	if err != nil {
		return err
	}
	s.Committed = hard.GetCommit()
	if s.Last.Index, err = s.log.LastIndex(); err != nil {
		return err
	}
	s.Last.Term, err = s.log.Term(s.Last.Index)
	return err
}

// Recover makes the directory that of a new cluster, whose only node has the given id. Everything in the
// log is executed, whether it was acknowledged or not. The old files stay in the directory
// before-recovery: until the node is started they can be put back. It returns the id of the new cluster.
func (s *Survivor) Recover(nodeID uint64) (clusterID uint64, err error) {
	d, old := s.dir, s.dir.id
	defer func() {
		if err != nil {
			d.id, err = old, oneLine(err)
		}
	}()
	addr := s.cfg.RaftAdvertise
	for _, m := range s.Members {
		if m.ID == old.NodeID {
			addr = m.RaftAddr
		}
	}
	d.id = identity{NodeID: nodeID, ClusterID: d.rand() | 1}
	state, err := s.copyState()
	if err != nil {
		return 0, err
	}
	pos, err := d.found(state, s.cfg.Commands, []raftnode.Member{{ID: nodeID, RaftAddr: addr}},
		func(r *replica) error { return raftnode.Replay(s.log, r) })
	if err != nil {
		return 0, err
	}
	if err := errors.Join(d.fs.RemoveAll(d.path(recoveredLog)), d.newLog(recoveredLog, pos)); err != nil {
		return 0, err
	}
	err = s.log.Close()
	s.log = nil
	if err != nil {
		return 0, err
	}
	// From here on nothing starts on the directory until the new identity is there, which comes last.
	if err := s.putAside(identityFile, stateFile, logDir, snapshotDir, s.state); err != nil {
		return 0, err
	}
	if err := d.fs.Rename(d.path(recoveredLog), d.path(logDir)); err != nil {
		return 0, err
	}
	return d.id.ClusterID, d.begin(state)
}

// copyState makes a copy of the state, by hard links, that may be changed.
func (s *Survivor) copyState() (name string, err error) {
	d := s.dir
	if err := d.prune(s.state); err != nil { // of an earlier attempt
		return "", err
	}
	if name, err = nextState(s.state); err != nil {
		return "", err
	}
	m, err := fsm.Open(fsm.Options{FS: d.fs, Dir: d.path(s.state), Still: true, Logger: silent{}, Expect: true})
	if err != nil {
		return "", err
	}
	return name, errors.Join(m.Checkpoint(d.path(name)), m.Close())
}

// putAside moves what is there of these names away, durably.
func (s *Survivor) putAside(names ...string) error {
	d := s.dir
	aside := d.path(beforeRecovery)
	if err := d.fs.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		if d.missing(name) {
			continue
		}
		if err := d.fs.Rename(d.path(name), d.fs.PathJoin(aside, name)); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(d.fs, aside), d.sync())
}

// Close gives the directory free.
func (s *Survivor) Close() error {
	var errs []error
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(append(errs, s.dir.lock.Close())...)
}
