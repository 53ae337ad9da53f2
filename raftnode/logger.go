package raftnode

import (
	"fmt"

	"go.uber.org/zap"
)

// raftLogger hands raft's own words to zap. Raft tells of every vote; people want to know only what
// Group itself logs, so that all but warnings and errors is for debugging.
type raftLogger struct{ *zap.SugaredLogger }

func (l raftLogger) Info(v ...any)                 { l.Debug(v...) }
func (l raftLogger) Infof(format string, v ...any) { l.Debugf(format, v...) }
func (l raftLogger) Warning(v ...any)              { l.Warn(v...) }

// Panic and Panicf are for broken invariants. The loop recovers them and stops the node.
func (l raftLogger) Panic(v ...any)                 { panic(fmt.Sprint(v...)) }
func (l raftLogger) Panicf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }

func (l raftLogger) Warningf(format string, v ...any) { l.Warnf(format, v...) }
