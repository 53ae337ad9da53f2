//go:build !nextversion

package raftnode

// VersionMax is the newest version that this build knows. Version 1 is that of the first release.
const VersionMax = 1
