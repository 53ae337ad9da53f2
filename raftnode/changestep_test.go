package raftnode

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// acknowledge says that node 2 has all of the leader's log.
func (s *stepper) acknowledge() {
	last := s.cfg.Log.lastIndex()
	s.fromPeer(&pb.Message{Type: pb.MsgAppResp.Enum(), From: new(uint64(2)), Term: new(s.loop.term), Index: new(last)})
	s.run()
}

// TestChangeUnderWay has a second change refused until the first is committed and applied, and lets the
// node that asked for the first ask again.
func TestChangeUnderWay(t *testing.T) {
	s := newStepper(t)
	s.elect()
	s.run()
	first := Change{Op: OpAdd, Member: Member{RaftAddr: "d:1"}}
	second := Change{Op: OpAdd, Member: Member{RaftAddr: "e:1"}}
	if a := s.serveChange([2]uint64{2, 1}, first); !a.Wait {
		t.Fatalf("the first change: %+v", a)
	}
	for range 2 { // before raft has given it its place, and after
		if a := s.serveChange([2]uint64{3, 1}, second); !strings.Contains(a.Refused, "under way") {
			t.Errorf("the second change: %+v", a)
		}
		if a := s.serveChange([2]uint64{2, 1}, first); !a.Wait {
			t.Errorf("the first change again: %+v", a)
		}
		s.run()
	}
	s.acknowledge()
	if _, is := s.members.Load().find(4); !is {
		t.Fatal("the first change was not applied")
	}
	if a := s.serveChange([2]uint64{3, 1}, second); !a.Wait {
		t.Errorf("the second change after the first: %+v", a)
	}
	s.run()
	s.acknowledge()
	if m, _ := s.members.Load().find(5); m.RaftAddr != "e:1" || !m.Learner {
		t.Errorf("node 5 is %+v", m)
	}
}

// TestLeaseEndsWithMembers: a lease rests on a majority of the members of its time.
func TestLeaseEndsWithMembers(t *testing.T) {
	s := newStepper(t)
	s.elect()
	s.run()
	s.leaseUntil.Store(int64(s.now + time.Hour))
	s.beginRound()
	old := s.loop.reads.round
	s.now += time.Millisecond
	s.serveChange([2]uint64{2, 1}, Change{Op: OpAdd, Member: Member{RaftAddr: "d:1"}})
	s.run()
	s.acknowledge()
	if _, ok := s.leaseIndex(); ok {
		t.Error("the lease goes on after the members have changed")
	}
	if old.start >= s.loop.change.at {
		t.Error("a round from before counts for the members after")
	}
}

// TestMembershipChanges checks what each change makes of the members.
func TestMembershipChanges(t *testing.T) {
	ms, err := decodeMembership([]byte(`{"cluster_id":7,"members":[{"id":1,"raft_addr":"a:1"},{"id":4,"raft_addr":"d:1"}]}`))
	if err != nil || ms.LastID != 4 {
		t.Fatalf("the membership of an older state: %+v, %v", ms, err)
	}
	for _, step := range []struct {
		change  Change
		changes bool
		want    string
	}{
		{Change{OpAdd, Member{ID: 3, RaftAddr: "c:1", Learner: true}}, false, ""},
		{Change{OpAdd, Member{ID: 5, RaftAddr: "e:1", Learner: true, Promote: true}}, true, `{"id":5,"raft_addr":"e:1","learner":true,"promote":true}`},
		{Change{OpPromote, Member{ID: 5}}, true, `{"id":5,"raft_addr":"e:1"}`},
		{Change{OpPromote, Member{ID: 5}}, false, `{"id":5,"raft_addr":"e:1"}`},
		{Change{OpReplace, Member{ID: 5, Incarnation: 9}}, true, `{"id":5,"raft_addr":"e:1","incarnation":9,"learner":true,"promote":true}`},
		{Change{OpDemote, Member{ID: 5}}, true, `{"id":5,"raft_addr":"e:1","incarnation":9,"learner":true}`},
		{Change{OpReplace, Member{ID: 5, Incarnation: 10}}, true, `{"id":5,"raft_addr":"e:1","incarnation":10,"learner":true}`},
		{Change{OpRemove, Member{ID: 5}}, true, ""},
		{Change{OpRemove, Member{ID: 5}}, false, ""},
		{Change{OpAdd, Member{ID: 5, RaftAddr: "e:1", Learner: true}}, false, ""},
		{Change{OpDemote, Member{ID: 4}}, true, `{"id":4,"raft_addr":"d:1","learner":true}`},
		{Change{OpDemote, Member{ID: 1}}, false, `{"id":1,"raft_addr":"a:1"}`},
		{Change{OpRemove, Member{ID: 1}}, false, `{"id":1,"raft_addr":"a:1"}`},
		{Change{Op("other"), Member{ID: 4}}, false, `{"id":4,"raft_addr":"d:1","learner":true}`},
	} {
		before, _ := json.Marshal(ms)
		after, changes := ms.change(step.change)
		if unchanged, _ := json.Marshal(ms); string(unchanged) != string(before) {
			t.Errorf("%+v altered the membership it was applied to", step.change)
		}
		got := ""
		if m, is := after.find(step.change.Member.ID); is {
			data, _ := json.Marshal(m)
			got = string(data)
		}
		if changes != step.changes || got != step.want {
			t.Errorf("%+v: %v %s, want %v %s", step.change, changes, got, step.changes, step.want)
		}
		ms = after
	}
	if ms.LastID != 5 || !ms.removed(5) || ms.removed(1) || ms.removed(6) {
		t.Errorf("in the end: %+v", ms)
	}
}

// TestMalformedChange gives entries that change the members in a way that raft could not bear, or that do
// not say the same to raft and to the group.
func TestMalformedChange(t *testing.T) {
	good, err := Change{Op: OpPromote, Member: Member{ID: 2}}.conf()
	if err != nil {
		t.Fatal(err)
	}
	entry := func(alter func(*pb.ConfChange)) *pb.Message {
		cc := proto.Clone(good).(*pb.ConfChange)
		alter(cc)
		data, err := proto.Marshal(cc)
		if err != nil {
			t.Fatal(err)
		}
		return &pb.Message{Type: pb.MsgApp.Enum(), From: new(uint64(2)), Term: new(uint64(3)), LogTerm: new(uint64(1)), Index: new(uint64(1)),
			Entries: []*pb.Entry{{Type: pb.EntryConfChange.Enum(), Term: new(uint64(3)), Index: new(uint64(2)), Data: data}}}
	}
	if !wellFormed(entry(func(*pb.ConfChange) {})) {
		t.Fatal("a good change is refused")
	}
	for i, alter := range []func(*pb.ConfChange){
		func(cc *pb.ConfChange) { cc.NodeId = new(uint64(3)) },
		func(cc *pb.ConfChange) { cc.Type = pb.ConfChangeRemoveNode.Enum() },
		func(cc *pb.ConfChange) { cc.Context = nil },
		func(cc *pb.ConfChange) { cc.Context = []byte(`{"op":"other","member":{"id":2}}`) },
		func(cc *pb.ConfChange) {
			cc.Context, cc.NodeId = []byte(`{"op":"promote","member":{"id":0}}`), new(uint64(0))
		},
	} {
		if wellFormed(entry(alter)) {
			t.Errorf("malformed change %d is taken", i)
		}
	}
}

// TestCommitStaysWithChanges: a change in the log has the commit index beside it that covers the change
// before, though an advance of the commit index alone is not written.
func TestCommitStaysWithChanges(t *testing.T) {
	s := newStepper(t)
	s.elect()
	s.run()
	for i, addr := range []string{"d:1", "e:1"} {
		a := s.serveChange([2]uint64{2, uint64(i)}, Change{Op: OpAdd, Member: Member{RaftAddr: addr}})
		if !a.Wait {
			t.Fatalf("%+v", a)
		}
		before := s.commit.Load()
		s.run()
		if stored, err := s.cfg.Log.get(logKey(keyHardState)); err != nil {
			t.Fatal(err)
		} else if r := (reader{b: stored}); r.uint64() == 0 || r.uint64() == 99 || r.uint64() < before {
			t.Errorf("the log has change %d, but not the commit index %d", i, before)
		}
		s.acknowledge()
	}
}

// TestRefusedByName: a refusal is for the one it names. A node that refuses a peer is not refused itself.
func TestRefusedByName(t *testing.T) {
	s := newStepper(t)
	for _, code := range []RefusedCode{RefusedRemoved, RefusedIncarnation} {
		for _, peer := range []uint64{2, 3} {
			s.Refused(peer, &RefusedError{Code: code, Node: peer})
		}
	}
	if err := s.Err(); err != nil {
		t.Fatalf("it stops because it refuses others: %v", err)
	}
	s.Refused(2, &RefusedError{Code: RefusedRemoved, Node: 1})
	if removed := (*RemovedError)(nil); !errors.As(s.Err(), &removed) {
		t.Errorf("it was told that it was removed, and stops with: %v", s.Err())
	}
}
