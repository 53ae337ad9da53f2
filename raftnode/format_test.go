package raftnode

import (
	"bytes"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
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

func FuzzFrame(f *testing.F) {
	raftFrame, err := encodeRaft(&pb.Message{Type: pb.MsgHeartbeatResp.Enum(), From: new(uint64(2)), To: new(uint64(1)),
		Term: new(uint64(5)), Context: []byte("12345678")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raftFrame)
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
