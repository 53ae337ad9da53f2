// Package snapshot keeps a replica's snapshots as directories and moves them between nodes.
//
// A snapshot is a directory of files that another package has written (for Redoubt: a Pebble
// checkpoint). Store makes one appear under its final name only when it is complete and synced.
// Send and Receive move one over any stream of byte chunks, with a CRC-32C for every chunk and for
// every file; Receive leaves a complete, synced directory or none.
// WriteArchive makes one portable file of such a stream: a backup.
//
// The package knows neither raft nor what the files mean.
package snapshot
