package raftnode

// Stepper runs a group by hand, one piece of work at a time and all on the caller's goroutine, so that
// a simulation decides what happens when and can have it happen again. What a call does is what the
// goroutines of Open do with what they find at once.
type Stepper struct {
	g     *Group
	tasks []func() // to be run beside everything else
}

// OpenStepped is Open for a group that only moves when its Stepper is called. The blocking methods of
// the group must not be used, Close excepted.
func OpenStepped(cfg Config) (*Group, *Stepper, error) {
	g, err := open(cfg)
	if err != nil {
		return nil, nil, err
	}
	g.steps = &Stepper{g: g}
	return g, g.steps, nil
}

// Tick lets one TickInterval of the group's time pass.
func (s *Stepper) Tick() { s.g.turnLoop(true) }

// Loop lets raft take what has arrived, and says whether there was anything. Each of the steps may
// make work for the others.
func (s *Stepper) Loop() bool {
	select {
	case <-s.g.mail.wake:
		s.g.turnLoop(false)
		return true
	default:
		return false
	}
}

// Append makes durable what raft has handed to the appender, and says whether there was anything.
func (s *Stepper) Append() bool {
	messages := s.g.appends.poll()
	s.g.appendAll(messages)
	return len(messages) > 0
}

// Apply applies what was committed, and says whether there was anything.
func (s *Stepper) Apply() bool {
	tasks := s.g.applies.poll()
	s.g.applyAll(tasks)
	return len(tasks) > 0
}

// Snapshot makes a snapshot if one is due, and says whether it was.
func (s *Stepper) Snapshot() bool {
	select {
	case <-s.g.makeNow:
		s.g.makeDue()
		return true
	default:
		return false
	}
}

// Send sends a snapshot to a peer if one is to be sent, and says whether it was.
func (s *Stepper) Send() bool {
	if len(s.tasks) == 0 {
		return false
	}
	task := s.tasks[0]
	s.tasks = s.tasks[1:]
	task()
	return true
}

// Propose begins what Group.Propose does. Finished says when it is done.
func (s *Stepper) Propose(p *Proposal) { s.g.submit(p) }

// Finished says whether a proposal has come to its end, and what Propose would have returned.
func (s *Stepper) Finished(p *Proposal) (bool, error) {
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// SteppedRead is a ReadBarrier under way.
type SteppedRead struct {
	g *Group
	w *readWaiter
}

// Read begins what Group.ReadBarrier does.
func (s *Stepper) Read() *SteppedRead {
	if index, ok := s.g.leaseIndex(); ok {
		w := &readWaiter{index: index, done: make(chan struct{})}
		close(w.done)
		return &SteppedRead{s.g, w}
	}
	return &SteppedRead{s.g, s.g.submitRead()}
}

// Finished says whether ReadBarrier would have returned, and what.
func (r *SteppedRead) Finished() (bool, error) {
	select {
	case <-r.w.done:
		return r.w.err != nil || r.g.applied.Load() >= r.w.index, r.w.err
	default:
		return false, nil
	}
}

// Transfer asks for another leader, if this node leads; 0 lets raft's own choice stand.
func (s *Stepper) Transfer(to uint64) {
	_ = s.g.transfer(to) // who asks looks who leads
	s.g.turnLoop(false)
}

// Change asks the leader for a change of the members. Whether it came to be the members tell.
func (s *Stepper) Change(c Change) {
	s.g.send(request{ID: s.g.asks.Add(1), Change: &c})
	s.g.turnLoop(false)
}
