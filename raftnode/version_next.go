//go:build nextversion

package raftnode

// VersionMax is the next version, in builds that try an upgrade before there is one: see test/cluster.
const VersionMax = 2
