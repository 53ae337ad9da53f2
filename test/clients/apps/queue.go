package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// The kinds of tasks. verifyOrder says what is expected of them.
const (
	plain    = "plain"    // to be done at once
	later    = "later"    // not before a time
	flaky    = "flaky"    // fails twice before it succeeds
	kept     = "kept"     // its result stays in the queue, and while it does, nothing else has its id
	unique   = "unique"   // enqueued twice while only one may be there
	hopeless = "hopeless" // fails as often as it may, and goes to the archive
	member   = "member"   // to be done together with others of its group
	patient  = "patient"  // runs until it is cancelled; asynq then tries it again
	periodic = "periodic" // enqueued by asynq's scheduler, every second
	merged   = "merged"   // what the members of a group become
)

const delay = 1500 * time.Millisecond

// order is what the application wants to be done, and what happened to it.
type order struct {
	ID   string
	Kind string
	Due  time.Time

	accepted bool // asynq said that it has it
	doubtful bool // enqueued again, because it did not say so, or too late to be compared
	started  int
	finished int
}

// queue is the application: producers, workers with their handlers, and the books on all orders.
type queue struct {
	cfg     config
	mu      sync.Mutex
	orders  map[string]*order
	running int
}

var errOnPurpose = errors.New("fails on purpose")

// runQueue produces tasks until ctx ends, then waits until all are done, and looks at what was done how often.
func runQueue(ctx context.Context, cfg config) error {
	q := &queue{cfg: cfg, orders: map[string]*order{}}
	var servers []*asynq.Server
	for id := range 3 {
		server, err := q.startServer(id)
		if err != nil {
			return err
		}
		servers = append(servers, server)
	}
	scheduler, err := q.startScheduler()
	if err != nil {
		return err
	}
	var producing sync.WaitGroup
	for id := range 2 {
		producing.Go(func() { q.produce(ctx, id) })
	}
	producing.Wait()
	scheduler.Shutdown()
	inspector := asynq.NewInspectorFromRedisClient(cfg.connect(2))
	defer inspector.Close()
	err = q.cancelOne(inspector)
	if err == nil {
		err = q.drain(inspector, &servers)
	}
	for _, server := range servers {
		server.Shutdown()
	}
	if err != nil {
		return errors.Join(err, cfg.journal.report("not drained"))
	}
	return cfg.journal.report(q.verify(inspector))
}

// startServer starts a worker process in this process: asynq.Server with a client of its own.
func (q *queue) startServer(id int) (*asynq.Server, error) {
	server := asynq.NewServerFromRedisClient(q.cfg.connect(id), asynq.Config{
		Concurrency:              4,
		Queues:                   map[string]int{q.cfg.prefix: 1},
		TaskCheckInterval:        100 * time.Millisecond,
		DelayedTaskCheckInterval: 200 * time.Millisecond,
		RetryDelayFunc:           func(int, error, *asynq.Task) time.Duration { return 300 * time.Millisecond },
		GroupGracePeriod:         time.Second,
		GroupMaxSize:             10,
		GroupAggregator:          asynq.GroupAggregatorFunc(aggregate),
		LogLevel:                 asynq.FatalLevel,
	})
	return server, server.Start(asynq.HandlerFunc(q.handle))
}

// startScheduler starts asynq's own cron, whose tasks get their ids from asynq.
func (q *queue) startScheduler() (*asynq.Scheduler, error) {
	scheduler := asynq.NewSchedulerFromRedisClient(q.cfg.connect(0), &asynq.SchedulerOpts{
		LogLevel: asynq.FatalLevel,
		PostEnqueueFunc: func(info *asynq.TaskInfo, err error) {
			if err != nil {
				q.cfg.journal.trouble("scheduler", err)
				return
			}
			q.book(info.ID, periodic).accepted = true
		},
	})
	_, err := scheduler.Register("@every 1s", asynq.NewTask(periodic, nil), asynq.Queue(q.cfg.prefix), asynq.MaxRetry(20))
	if err != nil {
		return nil, err
	}
	return scheduler, scheduler.Start()
}

// book returns the order with this id; there is one from now on.
func (q *queue) book(id, kind string) *order {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.orders[id] == nil {
		q.orders[id] = &order{ID: id, Kind: kind}
	}
	return q.orders[id]
}

// produce enqueues one task after the other, of all kinds in turn.
func (q *queue) produce(ctx context.Context, id int) {
	client := asynq.NewClientFromRedisClient(q.cfg.connect(id))
	defer client.Close()
	kinds := []string{plain, later, plain, flaky, kept, plain, unique, kept, hopeless}
	if q.cfg.calm {
		kinds = append(kinds, member) // asynq finds a group that it lost sight of after two minutes
	}
	for n := 0; ctx.Err() == nil; n++ {
		o := q.book(fmt.Sprintf("%s-%d-%d", q.cfg.prefix, id, n), kinds[n%len(kinds)])
		q.enqueue(client, o)
		if o.Kind == unique {
			q.enqueueAgain(client, o)
		}
		time.Sleep(30 * time.Millisecond)
	}
}

func (q *queue) options(o *order) []asynq.Option {
	options := []asynq.Option{asynq.Queue(q.cfg.prefix), asynq.MaxRetry(20), asynq.Timeout(time.Minute)}
	switch o.Kind {
	case later:
		o.Due = time.Now().Add(delay)
		options = append(options, asynq.ProcessAt(o.Due))
	case unique:
		o.Due = time.Now().Add(delay)
		return append(options, asynq.ProcessAt(o.Due), asynq.Unique(time.Hour)) // no id: its payload is what counts
	case kept:
		options = append(options, asynq.Retention(time.Hour))
	case hopeless:
		options = append(options, asynq.MaxRetry(1))
	case member:
		options = append(options, asynq.Group("group"))
	}
	return append(options, asynq.TaskID(o.ID))
}

func newTask(o *order) *asynq.Task { return asynq.NewTask(o.Kind, []byte(o.ID)) }

// enqueue repeats until asynq says that it has the task. An id that is taken says so, too: it is the task's own.
func (q *queue) enqueue(client *asynq.Client, o *order) {
	options := q.options(o)
	for limit := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, err := client.Enqueue(newTask(o), options...)
		known := errors.Is(err, asynq.ErrTaskIDConflict) || errors.Is(err, asynq.ErrDuplicateTask)
		if err == nil || known {
			q.mu.Lock()
			o.accepted, o.doubtful = true, o.doubtful || known
			q.mu.Unlock()
			if known && q.cfg.calm {
				q.cfg.journal.broken("%s %s was there before it was enqueued", o.Kind, o.ID)
			}
			return
		}
		q.cfg.journal.trouble("enqueue", err)
		q.mu.Lock()
		o.doubtful = true
		q.mu.Unlock()
		if time.Now().After(limit) {
			q.cfg.journal.broken("%s %s could not be enqueued for a minute: %v", o.Kind, o.ID, err)
			return
		}
	}
}

// enqueueAgain enqueues what may be there only once. It can tell as long as the first has not become due.
func (q *queue) enqueueAgain(client *asynq.Client, o *order) {
	_, err := client.Enqueue(newTask(o), q.options(&order{Kind: unique})...)
	early := time.Now().Before(o.Due)
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !early: // also a refusal may be that of a repetition of what was accepted, its answer lost
		o.doubtful = true
	case err == nil:
		q.cfg.journal.broken("unique %s was accepted twice", o.ID)
	case !errors.Is(err, asynq.ErrDuplicateTask):
		o.doubtful = true
	}
}

// aggregate makes one task of the members of a group.
func aggregate(_ string, tasks []*asynq.Task) *asynq.Task {
	var ids []string
	for _, task := range tasks {
		ids = append(ids, string(task.Payload()))
	}
	payload, err := json.Marshal(ids)
	if err != nil {
		panic(err) // strings can be marshalled
	}
	return asynq.NewTask(merged, payload, asynq.MaxRetry(20))
}

// handle is what all workers do.
func (q *queue) handle(ctx context.Context, task *asynq.Task) error {
	q.mu.Lock()
	q.running++
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		q.running--
		q.mu.Unlock()
	}()
	id, _ := asynq.GetTaskID(ctx)
	switch task.Type() {
	case merged:
		var ids []string
		if err := json.Unmarshal(task.Payload(), &ids); err != nil {
			return err
		}
		for _, id := range ids {
			q.finish(q.book(id, member))
		}
		return nil
	case periodic:
	default:
		id = string(task.Payload())
	}
	o := q.book(id, task.Type())
	q.mu.Lock()
	o.started++
	attempt := o.started
	q.mu.Unlock()
	switch {
	case time.Now().Before(o.Due.Truncate(time.Second)): // asynq counts in seconds
		q.cfg.journal.broken("%s %s runs %v too early", o.Kind, o.ID, time.Until(o.Due))
	case o.Kind == flaky && attempt <= 2, o.Kind == hopeless:
		return errOnPurpose
	case o.Kind == patient && attempt == 1:
		<-ctx.Done()
		return ctx.Err()
	case o.Kind == kept:
		if _, err := task.ResultWriter().Write([]byte("result of " + o.ID)); err != nil {
			return err
		}
	}
	q.finish(o)
	return nil
}

func (q *queue) finish(o *order) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o.finished++
	q.cfg.journal.done("%s %s", o.Kind, o.ID)
}

// cancelOne enqueues a task that ends only when it is cancelled, and cancels it: the message goes through a
// channel to all workers. A message may be lost, so it is sent until it has come.
func (q *queue) cancelOne(inspector *asynq.Inspector) error {
	client := asynq.NewClientFromRedisClient(q.cfg.connect(1))
	defer client.Close()
	o := q.book(q.cfg.prefix+"-patient", patient)
	q.enqueue(client, o)
	for limit := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		q.mu.Lock()
		started, finished := o.started > 0, o.finished > 0
		q.mu.Unlock()
		switch {
		case finished:
			return nil
		case time.Now().After(limit):
			return fmt.Errorf("the patient task was not cancelled: started %v", started)
		case started:
			if err := inspector.CancelProcessing(o.ID); err != nil {
				q.cfg.journal.trouble("cancel", err)
			}
		}
	}
}

// drain waits until nothing is left to be done. A worker may have taken a task without ever hearing of it,
// because its connection broke: asynq gives it to another one when its lease has been over for half a minute.
// Here the lease is made older by hand, when no worker has done anything for long enough to be sure.
func (q *queue) drain(inspector *asynq.Inspector, servers *[]*asynq.Server) error {
	client := q.cfg.connect(0)
	defer client.Close()
	idle := time.Now()
	for limit := time.Now().Add(2 * time.Minute); time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
		info, err := inspector.GetQueueInfo(q.cfg.prefix)
		if err != nil {
			q.cfg.journal.trouble("inspect", err)
			continue
		}
		waiting := info.Pending + info.Scheduled + info.Retry + info.Aggregating
		if waiting+info.Active == 0 {
			return nil
		}
		q.mu.Lock()
		running := q.running
		q.mu.Unlock()
		if waiting+running > 0 {
			idle = time.Now()
		}
		if time.Since(idle) < 8*time.Second { // asynq repeats what failed after 5 s
			continue
		}
		if err := ageLeases(client, q.cfg.prefix); err != nil {
			return err
		}
		fmt.Printf("%d tasks had been taken by nobody\n", info.Active)
		server, err := q.startServer(len(*servers)) // looks for old leases as soon as it starts
		if err != nil {
			return err
		}
		*servers = append(*servers, server)
		idle = time.Now()
	}
	return errors.New("the queue is not empty after two minutes")
}

func ageLeases(client redis.UniversalClient, queue string) error {
	ctx, key := context.Background(), "asynq:{"+queue+"}:lease"
	leases, err := client.ZRangeWithScores(ctx, key, 0, -1).Result()
	for _, lease := range leases {
		err = errors.Join(err, client.ZIncrBy(ctx, key, -120, lease.Member.(string)).Err())
	}
	return err
}
