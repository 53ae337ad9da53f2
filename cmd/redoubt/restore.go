package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"redoubt"
)

// restoreCmd makes the data directory of a node of a new cluster from a backup.
type restoreCmd struct {
	storeFlags `embed:""`
	From       string `help:"Backup: a file, - for standard input, or s3://bucket/key." required:""`
}

// Run is called by kong.
func (r *restoreCmd) Run(s *nodeFlags) error {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	from, size, err := r.get(ctx, r.From)
	if err != nil {
		return err
	}
	defer from.Close()
	bar := newProgress(size, "restore")
	h, cluster, err := redoubt.Restore(cfg, io.TeeReader(&interruptible{ctx.Err, from}, bar))
	if err != nil {
		return fmt.Errorf("restore %s: %w", r.From, err)
	}
	_ = bar.Finish()
	fmt.Printf("%s holds log index %d of cluster %016x, as cluster %016x: start the node\n", s.DataDir, h.Index,
		h.ClusterID, cluster)
	return nil
}

// interruptible is a reader that fails once the process was told to stop.
type interruptible struct {
	stopped func() error
	r       io.Reader
}

func (i *interruptible) Read(b []byte) (int, error) {
	if i.stopped() != nil {
		return 0, errors.New("interrupted")
	}
	return i.r.Read(b)
}

// recoverCmd makes a cluster of one node from the directory of a stopped one. It is the last resort.
type recoverCmd struct {
	LoseWhatWasNotCopied string `placeholder:"CLUSTER-ID" help:"Do not ask: the id of the cluster that is given up."`
}

// Run is called by kong.
func (r *recoverCmd) Run(s *nodeFlags) error {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	survivor, err := redoubt.OpenSurvivor(cfg)
	if err != nil {
		return err
	}
	err = r.recover(survivor, s)
	return errors.Join(err, survivor.Close())
}

func (r *recoverCmd) recover(survivor *redoubt.Survivor, s *nodeFlags) error {
	old := fmt.Sprintf("%016x", survivor.ClusterID)
	describe(survivor, s.DataDir)
	typed := r.LoseWhatWasNotCopied
	if typed == "" {
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			return fmt.Errorf("nothing was changed: say --lose-what-was-not-copied=%s to go on", old)
		}
		fmt.Fprint(os.Stderr, "Type the id of the cluster to give it up: ")
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil {
			return err
		}
		typed = strings.TrimSpace(line)
	}
	if typed != old {
		return fmt.Errorf("nothing was changed: the cluster is %s, not %q", old, typed)
	}
	id := s.ID
	if id == 0 {
		id = survivor.NodeID
	}
	cluster, err := survivor.Recover(id)
	if err != nil {
		return err
	}
	fmt.Printf("%s is now node %d of the new cluster %016x, which has no other node.\n"+
		"Start it without --cluster. What was replaced is in %s/before-recovery.\n", s.DataDir, id, cluster, s.DataDir)
	return nil
}

// describe says what recovery does, and what it may lose.
func describe(survivor *redoubt.Survivor, dir string) {
	fmt.Fprintf(os.Stderr, `%s is of node %d of cluster %016x, which has these nodes:
`, dir, survivor.NodeID, survivor.ClusterID)
	for _, m := range survivor.Members {
		fmt.Fprintf(os.Stderr, "  %d  %s  %s\n", m.ID, m.RaftAddr, m.ClientAddr)
	}
	fmt.Fprintf(os.Stderr, `
This makes a new cluster of this node alone. Do it only if a majority of the nodes above is gone for good.
  - Writes up to log index %d were executed here, and stay.
  - Writes up to log index %d are in its log, and are executed now: clients may have been told otherwise.
  - Acknowledged writes after that, if there were any, are LOST. Nobody can say how many.
  - The other nodes of the old cluster must never be started again. Their ids are free for new ones.

`, survivor.Committed, survivor.Last.Index)
}
