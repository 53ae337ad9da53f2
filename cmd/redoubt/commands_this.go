//go:build !nextversion

package main

import "redoubt/command"

// extraCommands are none, but in builds of the next version.
var extraCommands []command.Spec
