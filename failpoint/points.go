// Package failpoint names the places where a node can be made to crash, to fail or to wait, so that
// tests can do so at the very moment that matters.
//
// Only programs that are built with the tag failpoints do so. In any other build a point is an empty
// value and its method an empty function, of which nothing is left in the program.
//
// A point is armed by the environment, REDOUBT_FAILPOINTS="name=action,name=action", or while the
// program runs, by Arm. An action is one of
//
//	crash            the process ends as by kill -9: nothing is flushed, nobody is told
//	error            the point returns an error; only points that are an ErrPoint do
//	delay DURATION   whoever comes by waits
//	off              nothing
//
// and then, if not always, when: "after N" lets the first N pass, "1 in N [seed S]" lets most pass.
package failpoint

// The points. Each is declared here and nowhere else; before and after say on which side of the
// named step it lies.
var (
	// The log: entries on their way to the disk, votes, and the end of what is not needed any more.
	LogAppendBefore   = newErrPoint("log-append-before")
	LogAppendAfter    = newErrPoint("log-append-after") // durable, but nobody knows yet
	LogSyncBefore     = newErrPoint("log-sync-before")
	LogSyncAfter      = newErrPoint("log-sync-after")
	HardStateBefore   = newErrPoint("hard-state-before") // a term or a vote
	HardStateAfter    = newErrPoint("hard-state-after")
	LogTruncateBefore = newErrPoint("log-truncate-before")
	LogTruncateAfter  = newErrPoint("log-truncate-after")

	// Between nodes. An error here is a frame that the network loses.
	SendBefore    = newErrPoint("send-before")
	SendAfter     = newPoint("send-after")
	ForwardBefore = newErrPoint("forward-before") // a follower forwards proposals
	ForwardTaken  = newPoint("forward-taken")     // the leader has queued them
	ForwardAck    = newErrPoint("forward-ack")    // the leader says that it has them
	ReadAnswer    = newErrPoint("read-answer")    // the leader answers a follower that wants to read

	// What is agreed on takes effect.
	CommitBefore = newPoint("commit-before")
	CommitAfter  = newPoint("commit-after")
	ApplyBefore  = newErrPoint("apply-before")
	ApplyAfter   = newErrPoint("apply-after")
	MemberApply  = newErrPoint("member-apply") // an entry about the membership
	ReplyBefore  = newPoint("reply-before")    // the client is about to be answered

	// The state: shown to readers, then written from the buffer, then flushed.
	PublishBefore    = newErrPoint("publish-before")
	PublishAfter     = newErrPoint("publish-after")
	StateWriteBefore = newErrPoint("state-write-before")
	StateWriteAfter  = newErrPoint("state-write-after")
	StateFlushBefore = newErrPoint("state-flush-before")
	StateFlushAfter  = newErrPoint("state-flush-after")

	// A snapshot is made.
	SnapshotCreate       = newErrPoint("snapshot-create")
	CheckpointBefore     = newErrPoint("checkpoint-before")
	CheckpointAfter      = newErrPoint("checkpoint-after")
	SnapshotSync         = newErrPoint("snapshot-sync")
	SnapshotRenameBefore = newErrPoint("snapshot-rename-before")
	SnapshotRenameAfter  = newErrPoint("snapshot-rename-after")
	SnapshotPrune        = newErrPoint("snapshot-prune")

	// A snapshot goes to another node.
	SnapshotSend     = newErrPoint("snapshot-send") // each chunk
	SnapshotSent     = newErrPoint("snapshot-sent")
	SnapshotReceive  = newErrPoint("snapshot-receive") // each chunk
	SnapshotReceived = newErrPoint("snapshot-received")
	SnapshotVerify   = newErrPoint("snapshot-verify")
	SnapshotVerified = newErrPoint("snapshot-verified")
	SnapshotOffered  = newPoint("snapshot-offered") // raft has been told
	InstallBefore    = newErrPoint("install-before")
	InstallNoted     = newErrPoint("install-noted")
	RestoreBefore    = newErrPoint("restore-before")
	RestoreRenamed   = newErrPoint("restore-renamed")
	FileRenameBefore = newErrPoint("file-rename-before") // the file STATE is written under another name
	RestoreSwitched  = newErrPoint("restore-switched")   // the file STATE names the new state
	RestoreOpened    = newErrPoint("restore-opened")
	InstallRestored  = newErrPoint("install-restored") // the new state serves, the log is the old one
	InstallReset     = newErrPoint("install-reset")    // the log begins after the snapshot
)
