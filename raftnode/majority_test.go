package raftnode

import "testing"

func TestMajority(t *testing.T) {
	voters := func(n uint64) (ms []Member) {
		for id := range n {
			ms = append(ms, Member{ID: id + 1})
		}
		return ms
	}
	learner := append(voters(2), Member{ID: 3, Learner: true})
	for _, test := range []struct {
		name    string
		members []Member
		answers map[uint64]uint64
		right   uint64 // 0: there is none
		differ  bool
	}{
		{"nobody", voters(3), nil, 0, false},
		{"one of three", voters(3), map[uint64]uint64{1: 7}, 0, false},
		{"two of three", voters(3), map[uint64]uint64{1: 7, 3: 7}, 7, false},
		{"the first is wrong", voters(3), map[uint64]uint64{1: 8, 2: 7, 3: 7}, 7, true},
		{"one is away", voters(3), map[uint64]uint64{1: 8, 2: 7}, 0, true},
		{"all differ", voters(3), map[uint64]uint64{1: 8, 2: 7, 3: 9}, 0, true},
		{"two nodes", voters(2), map[uint64]uint64{1: 8, 2: 7}, 0, true},
		{"two against two", voters(4), map[uint64]uint64{1: 8, 2: 8, 3: 7, 4: 7}, 0, true},
		{"three of five", voters(5), map[uint64]uint64{1: 8, 2: 7, 3: 7, 4: 7}, 7, true},
		{"a learner has no vote", learner, map[uint64]uint64{1: 8, 2: 7, 3: 7}, 0, true},
		{"a learner can be wrong", learner, map[uint64]uint64{1: 8, 2: 8, 3: 7}, 8, true},
	} {
		right, ok := majority(test.members, test.answers)
		if right != test.right || ok != (test.right != 0) || differ(test.answers) != test.differ {
			t.Errorf("%s: %d, %v, differ %v", test.name, right, ok, differ(test.answers))
		}
	}
}
