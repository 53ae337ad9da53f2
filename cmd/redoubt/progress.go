package main

import (
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// newProgress shows how far something of so many bytes is, on a terminal only. With -1 nobody knows how
// many there are.
func newProgress(bytes int64, what string) *progressbar.ProgressBar {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return progressbar.DefaultBytesSilent(bytes, what)
	}
	return progressbar.DefaultBytes(bytes, what)
}
