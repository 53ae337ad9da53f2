package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hibiken/asynq"
)

// verify compares what was ordered with what was done, and with what asynq says of its queue.
func (q *queue) verify(inspector *asynq.Inspector) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	counts, twice := map[string]int{}, 0
	for _, id := range slices.Sorted(maps.Keys(q.orders)) {
		o := q.orders[id]
		counts[o.Kind]++
		q.verifyOrder(o)
		if o.finished > 1 {
			twice++
		}
	}
	q.verifyQueue(inspector, counts)
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", counts[kind], kind))
		if counts[kind] == 0 {
			q.cfg.journal.broken("no task was %s", kind)
		}
	}
	return fmt.Sprintf("%d tasks (%s), %d done twice", len(q.orders), strings.Join(kinds, ", "), twice)
}

// verifyOrder: asynq promises that each task runs at least once, and that two with one id, or two that are
// unique, are not in the queue at one time. Twice is possible only for what was enqueued again after an error,
// when the first was done and gone.
func (q *queue) verifyOrder(o *order) {
	attempts, finished := o.started, o.finished
	switch {
	case o.Kind == hopeless:
		if o.accepted && (attempts < 1 || attempts > 2 || q.cfg.calm && attempts != 2) {
			q.cfg.journal.broken("hopeless %s was tried %d times", o.ID, attempts)
		}
		return
	case !o.accepted && o.Kind != periodic:
		q.cfg.journal.broken("%s %s runs, but was never enqueued", o.Kind, o.ID)
	case o.accepted && finished == 0:
		q.cfg.journal.broken("%s %s is lost", o.Kind, o.ID)
	case finished > 1 && (q.cfg.calm || o.Kind == kept || o.Kind == unique && !o.doubtful):
		q.cfg.journal.broken("%s %s was done %d times", o.Kind, o.ID, finished)
	case finished > 1 && !o.doubtful:
		q.cfg.journal.trouble("done twice", fmt.Errorf("a task that was %s", o.Kind))
	}
	if o.Kind == flaky && attempts < 3 {
		q.cfg.journal.broken("flaky %s was tried %d times", o.ID, attempts)
	}
}

// verifyQueue looks at the queue itself.
func (q *queue) verifyQueue(inspector *asynq.Inspector, counts map[string]int) {
	info, err := inspector.GetQueueInfo(q.cfg.prefix)
	if err != nil {
		q.cfg.journal.broken("queue: %v", err)
		return
	}
	if info.Archived != counts[hopeless] || info.Completed != counts[kept] {
		q.cfg.journal.broken("%d tasks are in the archive and %d are completed, not %d and %d", info.Archived,
			info.Completed, counts[hopeless], counts[kept])
	}
	var runs int
	for _, o := range q.orders {
		if o.Kind != member {
			runs += o.started
		}
	}
	if q.cfg.calm && info.Processed < runs {
		q.cfg.journal.broken("asynq counted %d runs, there were at least %d", info.Processed, runs)
	}
	for _, o := range q.orders {
		if o.Kind != kept {
			continue
		}
		task, err := inspector.GetTaskInfo(q.cfg.prefix, o.ID)
		if err != nil || string(task.Result) != "result of "+o.ID || task.State != asynq.TaskStateCompleted {
			q.cfg.journal.broken("kept %s: %+v, %v", o.ID, task, err)
		}
	}
}
