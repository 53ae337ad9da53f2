package raftnode

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"redoubt/snapshot"
)

// nullMachine is a StateMachine that keeps positions only.
type nullMachine struct {
	pos  Position
	meta []byte
}

func (m *nullMachine) State() (Position, []byte) { return m.pos, m.meta }
func (m *nullMachine) Apply(entries []Entry, meta []byte) error {
	last := entries[len(entries)-1]
	if m.pos = (Position{last.Index, last.Term}); meta != nil {
		m.meta = meta
	}
	return nil
}
func (m *nullMachine) Checkpoint(string) (Position, error)      { return m.pos, nil }
func (m *nullMachine) Verify(string) error                      { return nil }
func (m *nullMachine) Inspect(string) (Position, []byte, error) { return m.pos, m.meta, nil }
func (m *nullMachine) Restore(string) error                     { return nil }

// nowhere is a Transport that loses everything.
type nowhere struct{}

func (nowhere) Start(Handler) error                                       { return nil }
func (nowhere) SetPeers(map[uint64]string)                                {}
func (nowhere) Send(uint64, Lane, []byte)                                 {}
func (nowhere) SendSnapshot(uint64, func(func([]byte) error) error) error { return nil }
func (nowhere) Close() error                                              { return nil }

// stepper is a group that a test steps.
type stepper struct {
	*Group
	steps *Stepper
	t     testing.TB
	now   time.Duration
}

func newStepper(t testing.TB) *stepper {
	fs := vfs.NewMem()
	log, err := OpenLog(LogOptions{FS: fs, Dir: "/log", TailBytes: 1 << 20, MemTableBytes: 64 << 10, Logger: raftLogger{zap.NewNop().Sugar()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	meta, err := InitialMembership(7, []Member{{ID: 1, RaftAddr: "a:1"}, {ID: 2, RaftAddr: "b:1"}, {ID: 3, RaftAddr: "c:1"}})
	if err != nil {
		t.Fatal(err)
	}
	snaps, err := snapshot.OpenStore(fs, "/snapshots")
	if err != nil {
		t.Fatal(err)
	}
	s := &stepper{t: t}
	s.Group, s.steps, err = OpenStepped(Config{NodeID: 1, ClusterID: 7, Incarnation: 11, RaftAddr: "a:1", Log: log, FS: fs,
		Snapshots: snaps, Machine: &nullMachine{InitialPosition, meta}, IncomingDir: "/incoming", Transport: nowhere{},
		Logger: zap.NewNop(), TickInterval: time.Millisecond, HeartbeatTicks: 2, ElectionTicks: 10,
		RequestTimeout: time.Hour, SnapshotLogBytes: 1 << 40, Lease: true,
		Clock: func() time.Duration { return s.now }, Wall: func() int64 { return 1 },
		Rand: func() uint64 { return 5 }})
	if err != nil {
		t.Fatal(err)
	}
	s.now = time.Minute // past the time without votes of a start
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run does what the goroutines of a Group do until nothing is left to do.
func (s *stepper) run() {
	s.turnLoop(false)
	for s.steps.Append() || s.steps.Apply() || s.steps.Loop() {
	}
	if err := s.Err(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stepper) ticks(n int) {
	for range n {
		s.now += time.Millisecond
		s.tick()
		s.run()
	}
}

// elect makes the node a leader by the vote of node 2.
func (s *stepper) elect() {
	s.ticks(25)
	for _, answer := range []pb.MessageType{pb.MsgPreVoteResp, pb.MsgVoteResp} {
		term := s.loop.rn.BasicStatus().HardState.GetTerm()
		if answer == pb.MsgPreVoteResp {
			term++
		}
		s.fromPeer(&pb.Message{Type: answer.Enum(), From: new(uint64(2)), Term: new(term)})
	}
	last := s.cfg.Log.lastIndex()
	s.fromPeer(&pb.Message{Type: pb.MsgAppResp.Enum(), From: new(uint64(2)), Term: new(s.loop.term), Index: new(last)})
	if s.loop.role.String() != "StateLeader" || s.commit.Load() != last {
		s.t.Fatalf("the node is %v, commit %d of %d", s.loop.role, s.commit.Load(), last)
	}
}

func (s *stepper) fromPeer(m *pb.Message) {
	m.To = new(uint64(1))
	s.Receive(m.GetFrom(), encodeRaft(m))
	s.run()
}

// script reads a fuzzer's bytes as messages.
type script struct{ b []byte }

func (f *script) byte() byte {
	if len(f.b) == 0 {
		return 0
	}
	v := f.b[0]
	f.b = f.b[1:]
	return v
}

// near is a number around base, or one of the largest there are.
func (f *script) near(base uint64) uint64 {
	v := f.byte()
	switch {
	case v < 16:
		return base + uint64(v)
	case v < 32:
		return base - uint64(v-16)
	case v < 48:
		return uint64(v - 32)
	case v < 64:
		return math.MaxUint64 - uint64(v-48)
	}
	return 1 << (v & 63)
}

var peerTypes = []pb.MessageType{pb.MsgApp, pb.MsgAppResp, pb.MsgHeartbeat, pb.MsgHeartbeatResp, pb.MsgVote,
	pb.MsgVoteResp, pb.MsgPreVote, pb.MsgPreVoteResp, pb.MsgTimeoutNow, pb.MsgSnap, pb.MsgProp, pb.MsgReadIndex,
	pb.MsgStorageAppendResp, pb.MsgStorageApplyResp, pb.MsgTransferLeader, pb.MsgHup}

func (f *script) message(s *stepper) *pb.Message {
	last, term := s.cfg.Log.lastIndex(), s.loop.rn.BasicStatus().HardState.GetTerm()
	kind := f.byte()
	m := &pb.Message{Type: peerTypes[int(kind)%len(peerTypes)].Enum(), From: new(uint64(2 + kind>>7)),
		Term: new(f.near(term)), LogTerm: new(f.near(term)), Index: new(f.near(last)), Commit: new(f.near(last))}
	flags := f.byte()
	m.Reject, m.RejectHint = new(flags&1 != 0), new(f.near(last))
	if flags&2 != 0 {
		m.Context = binary.LittleEndian.AppendUint64(nil, f.near(s.loop.rounds))
	} else if flags&4 != 0 {
		m.Context = []byte(transferContext)
	}
	for i := range uint64(flags >> 6) {
		at := f.near(m.GetIndex() + 1 + i)
		m.Entries = append(m.Entries, &pb.Entry{Index: new(at), Term: new(f.near(term)),
			Type: pb.EntryType(f.byte() >> 6).Enum(), Data: entryHead(nil, 1, 2)})
	}
	return m
}

// FuzzPeer: whatever a peer sends, in whatever state a node is, nothing panics and the node lives.
func FuzzPeer(f *testing.F) {
	f.Add(false, []byte{2, 0, 0, 0, 1 << 4, 0, 0})        // heartbeat in the present term
	f.Add(false, []byte{2, 1, 0, 0, 5, 0, 0})             // with a commit beyond the log
	f.Add(false, []byte{0, 1, 1, 0, 0, 0x40, 0, 0, 1, 0}) // an entry
	f.Add(true, []byte{1, 0, 0, 3, 0, 0, 0, 0x81, 0, 0, 3, 0, 0, 0, 0xff, 9})
	f.Add(true, []byte{3, 0, 0, 0, 0, 2, 0, 9, 0x83, 0, 0, 0, 0, 2, 0, 9})
	f.Add(false, []byte{2, 56, 0, 0, 0, 0, 0, 0xff, 0xff})
	f.Add(false, append([]byte{0xfe, 20, frameAnnounce}, `{"id":2,"raft_addr":"\u007f%zz"}`...))
	f.Add(true, append([]byte{0xfe, 40}, encodeForward(forward{term: 2, origin: 9, base: 1, first: 1, payloads: [][]byte{{1}}}, 1)...))
	f.Fuzz(func(t *testing.T, lead bool, input []byte) {
		s := newStepper(t)
		if lead {
			s.elect()
		}
		script := &script{input}
		for range 64 {
			if len(script.b) == 0 {
				break
			}
			switch script.b[0] {
			case 0xff:
				script.byte()
				s.ticks(int(script.byte()))
			case 0xfe:
				script.byte()
				n := min(int(script.byte()), len(script.b))
				s.Receive(2, script.b[:n:n])
				script.b = script.b[n:]
				s.run()
			default:
				s.fromPeer(script.message(s))
			}
		}
		s.ticks(30)
	})
}

// TestPeersCanNotBreakRaft sends what made raft panic, or wait for ever, before it was refused.
func TestPeersCanNotBreakRaft(t *testing.T) {
	at := func(m *pb.Message, kind pb.MessageType, from uint64) *pb.Message {
		m.Type, m.From = kind.Enum(), new(from)
		return m
	}
	round := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	for name, send := range map[string]func(s *stepper, term, last uint64){
		"commit beyond the log": func(s *stepper, term, last uint64) {
			s.fromPeer(at(&pb.Message{Term: new(term + 1), Commit: new(last + 1)}, pb.MsgHeartbeat, 2))
		},
		"a term that overflows": func(s *stepper, _, _ uint64) {
			s.fromPeer(at(&pb.Message{Term: new(uint64(math.MaxUint64))}, pb.MsgHeartbeat, 2))
		},
		"rounds of reads that never began": func(s *stepper, term, _ uint64) {
			for _, from := range []uint64{2, 3} {
				s.fromPeer(at(&pb.Message{Term: new(term), Context: round(1 << 40)}, pb.MsgHeartbeatResp, from))
			}
		},
		"entries acknowledged that do not exist": func(s *stepper, term, last uint64) {
			for _, from := range []uint64{2, 3} {
				s.fromPeer(at(&pb.Message{Term: new(term), Index: new(last + 1000)}, pb.MsgAppResp, from))
			}
			p := NewProposal()
			s.mail.put(func(in *mail) { in.proposals = append(in.proposals, p) })
			s.run()
			s.fromPeer(at(&pb.Message{Term: new(term), Index: new(last + 1)}, pb.MsgAppResp, 2))
			if s.commit.Load() != last+1 {
				s.t.Error("nothing commits any more")
			}
		},
		"an entry of another type": func(s *stepper, term, last uint64) {
			s.fromPeer(at(&pb.Message{Term: new(term + 1), Index: new(last), LogTerm: new(term), Commit: new(last + 1),
				Entries: []*pb.Entry{{Index: new(last + 1), Term: new(term + 1), Type: pb.EntryConfChange.Enum()}}}, pb.MsgApp, 2))
		},
		"an address that can't be dialled": func(s *stepper, _, _ uint64) {
			body, err := json.Marshal(Member{ID: 2, RaftAddr: "\x7f"})
			if err != nil {
				s.t.Fatal(err)
			}
			last := s.cfg.Log.lastIndex()
			s.Receive(2, append([]byte{frameAnnounce}, body...))
			s.run()
			if s.cfg.Log.lastIndex() != last {
				s.t.Error("it was logged")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStepper(t)
			s.elect()
			send(s, s.loop.term, s.cfg.Log.lastIndex())
			s.ticks(50)
		})
	}
}

// TestLeaderThatInsists: a heartbeat that contradicts the log is dropped, one leader that keeps to it
// stops the node, since the log must have been lost.
func TestLeaderThatInsists(t *testing.T) {
	s := newStepper(t)
	beat := &pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(uint64(2)), Term: new(uint64(5)), Commit: new(uint64(99))}
	s.fromPeer(beat)
	s.now += 2 * s.cfg.RequestTimeout
	s.fromPeer(&pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(uint64(2)), Term: new(uint64(5)), Commit: new(uint64(1))})
	s.fromPeer(beat)
	s.now += 2 * s.cfg.RequestTimeout
	beat.To = new(uint64(1))
	s.Receive(2, encodeRaft(beat))
	s.drain()
	if s.Err() == nil {
		t.Error("the node goes on without what it acknowledged")
	}
}

// FuzzSnapshotHeader: the header of a snapshot is a raft message, too, which comes on a stream of its own.
func FuzzSnapshotHeader(f *testing.F) {
	for _, cs := range []*pb.ConfState{{Voters: []uint64{1, 2, 3}}, {Voters: []uint64{1, 1}}, {Voters: []uint64{1}, Learners: []uint64{1}},
		{Voters: []uint64{2}, VotersOutgoing: []uint64{1}}, {Voters: []uint64{0, 1}}} {
		m := &pb.Message{Type: pb.MsgSnap.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(3)),
			Snapshot: &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(uint64(9)), Term: new(uint64(2)), ConfState: cs}}}
		header, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		s := newStepper(t)
		m := &pb.Message{}
		if proto.Unmarshal(header, m) != nil || !s.acceptable(m, 2) {
			return
		}
		s.mail.put(func(in *mail) { in.messages = append(in.messages, m) })
		s.drain()
		s.loop.rn.Ready()
	})
}

func (m *nullMachine) Hash(uint64) (uint64, bool) { return 0, false }
