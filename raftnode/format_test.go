package raftnode

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

func TestBatchRoundTrip(t *testing.T) {
	payloads := [][]byte{nil, []byte("a"), bytes.Repeat([]byte("b"), 300)}
	data := entryHead(nil, 1234567890123, 42)
	for i, p := range payloads {
		data = appendProposal(data, uint64(i)<<60, uint64(i), p)
	}
	i := 0
	timeMS, seed, err := decodeBatch(data, func(origin, seq uint64, payload []byte) {
		if origin != uint64(i)<<60 || seq != uint64(i) || !bytes.Equal(payload, payloads[i]) {
			t.Errorf("proposal %d came back as %x %d %q", i, origin, seq, payload)
		}
		i++
	})
	if err != nil || timeMS != 1234567890123 || seed != 42 || i != len(payloads) {
		t.Fatalf("%d proposals at %d with %d: %v", i, timeMS, seed, err)
	}
	for cut := range data {
		n := 0
		if _, _, err := decodeBatch(data[:cut], func(uint64, uint64, []byte) { n++ }); err == nil && n == len(payloads) {
			t.Fatalf("an entry cut at %d was taken for whole", cut)
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(appendProposal(entryHead(nil, 1, 2), 3, 4, []byte("payload")))
	f.Add([]byte{entryBatch, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		if _, _, err := decodeBatch(data, func(_, _ uint64, p []byte) { total += len(p) }); err == nil && total > len(data) {
			t.Fatal("more payload than data")
		}
		if len(data) > 0 && data[0] == entryMember {
			_, _ = decodeMember(data)
		}
	})
}

// TestMessage compares every field that raft sends with what arrives.
func TestMessage(t *testing.T) {
	sent := &pb.Message{Type: pb.MsgApp.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(1 << 40)),
		LogTerm: new(uint64(7)), Index: new(uint64(300)), Commit: new(uint64(299)), Reject: new(true), RejectHint: new(uint64(12)),
		Context: []byte("12345678")}
	for i, data := range []string{"first", strings.Repeat("x", 100_000)} {
		sent.Entries = append(sent.Entries, &pb.Entry{Type: pb.EntryNormal.Enum(), Term: new(uint64(8)),
			Index: new(uint64(301 + i)), Data: []byte(data)})
	}
	frame := encodeRaft(sent)
	if got, ok := decodeRaft(frame[1:], 2, 1); !ok || !proto.Equal(sent, got) {
		t.Fatalf("sent %v, got %v", sent, got)
	}
	for i := 1; i < len(frame); i++ {
		if m, ok := decodeRaft(frame[1:i], 2, 1); ok && len(m.Entries) == 2 {
			t.Fatalf("%d bytes of %d were taken for all", i, len(frame))
		}
	}
	if _, ok := decodeRaft(frame[1:], 3, 1); ok {
		t.Error("a message of node 2 was taken from node 3")
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(encodeRaft(&pb.Message{Type: pb.MsgHeartbeatResp.Enum(), From: new(uint64(2)), To: new(uint64(1)),
		Term: new(uint64(5)), Context: []byte("12345678")}))
	f.Add(encodeForward(forward{term: 1, origin: 2, base: 3, first: 4, payloads: [][]byte{[]byte("x")}}, 1))
	f.Add(numbers(frameReadResp, 7, 8))
	f.Add(numbers(frameCheck, 7))
	f.Add(numbers(frameCheckResp, 7, 1<<63, checkAnswer))
	f.Add(numbers(frameVerdict, 7, 1<<63, verdictProven))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) == 0 {
			return
		}
		if m, ok := decodeRaft(frame[1:], 2, 1); ok {
			if n := len(m.GetContext()); m.GetType() == pb.MsgHeartbeatResp && n != 0 && n != 8 {
				t.Fatal("raft would read beyond the context")
			}
			if again, ok := decodeRaft(encodeRaft(m)[1:], 2, 1); !ok || !proto.Equal(m, again) {
				t.Fatal("a message does not survive its encoding")
			}
		}
		if f, ok := decodeForward(frame[1:]); ok {
			again, ok := decodeForward(encodeForward(f, 0)[1:])
			if !ok || again.term != f.term || again.first != f.first || !slices.EqualFunc(again.payloads, f.payloads, bytes.Equal) {
				t.Fatal("a forward does not survive its encoding")
			}
		}
		new(Group).decodeCall(2, frame[0], frame[1:])
	})
}
