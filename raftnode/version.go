package raftnode

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.uber.org/zap"
)

// A version stands for what nodes say to each other and write into the log and the state. A build knows those
// from VersionMin to VersionMax. Every node tells its VersionMax with its announcement, and as soon as all members
// know a version, the leader raises the version of the cluster in the log. What came with a version is used from
// there on and not before, so that builds can be exchanged one node at a time. It never goes back: a build that
// does not know the version of its cluster refuses to work.

// VersionMin is the oldest version that this build can take part in.
const VersionMin = 1

// VersionError says that the cluster is at a version that a build does not know.
type VersionError struct {
	Cluster, Max uint32 // Max is the newest that the build knows
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the cluster is at version %d, and this build knows versions up to %d: a cluster does not go "+
		"back to an older version. Run a newer build on this node", e.Cluster, e.Max)
}

func known(version uint32) error {
	if version < VersionMin || version > VersionMax {
		return &VersionError{version, VersionMax}
	}
	return nil
}

// Version is the version of the cluster, as far as this node has applied the log.
func (g *Group) Version() uint32 { return g.members.Load().version() }

func (ms membership) version() uint32 { return max(ms.Version, 1) }

// common is the newest version that all members know. One that has not announced itself knows the first.
func (ms membership) common() uint32 {
	version := ms.Members[0].version()
	for _, m := range ms.Members {
		version = min(version, m.version())
	}
	return version
}

func (m Member) version() uint32 { return max(m.Version, 1) }

// versionEntry is the body of an entryVersion.
type versionEntry struct {
	Version uint32 `json:"version"`
}

// raised returns the membership after an entry that raises the version. It has no effect if a member that knows
// less has come between the leader's decision and the entry.
func (ms membership) raised(data []byte) (membership, bool, error) {
	var e versionEntry
	if err := json.Unmarshal(data[1:], &e); err != nil {
		return ms, false, fmt.Errorf("%w: version: %w", errEntry, err)
	}
	if e.Version <= ms.version() || e.Version > ms.common() {
		return ms, false, nil
	}
	ms.Version = e.Version
	return ms, true, known(e.Version)
}

// tickVersion raises the version when all members know a newer one, as the leader.
func (g *Group) tickVersion() {
	l := &g.loop
	if l.role != raft.StateLeader || g.cfg.Clock() < l.raiseAt {
		return
	}
	ms := g.members.Load()
	common := ms.common()
	if common <= ms.version() || !g.mayRead() {
		return
	}
	l.raiseAt = g.cfg.Clock() + g.cfg.RequestTimeout/4
	if err := l.rn.Propose(encodeJSON(entryVersion, versionEntry{common})); err != nil { // the next tick tries again
		g.logger.Debug("version not raised", zap.Error(err))
	}
}

// admitVersion refuses a node whose build has no version in common with this one, or does not know the cluster's.
func (g *Group) admitVersion(h Hello) error {
	switch version := g.Version(); {
	case h.Version < VersionMin || h.VersionMin > VersionMax:
		return refuse(RefusedVersion, h.From, "node %d knows versions %d to %d, node %d versions %d to %d",
			h.From, h.VersionMin, h.Version, g.cfg.NodeID, VersionMin, VersionMax)
	case h.Version < version:
		return refuse(RefusedVersion, h.From, "the cluster is at version %d, and the build of node %d knows versions up to %d",
			version, h.From, h.Version)
	}
	return nil
}
