// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"reconcile/reconcile/plan"
)

// DispatcherOptions say where a [Dispatcher] runs executions, and how. Runtime and
// Journal are required.
type DispatcherOptions struct {
	Runtime Runtime
	Journal Journal
	// Session is what its containers belong to; no two dispatchers have the same.
	// "" = a new one.
	Session string
	// Scratch is the folder for replies that are too large for memory; "" = that of
	// the system for temporary files.
	Scratch string
	// MaxReply bounds what may wait of the reply of one execution, in bytes; 0 =
	// 1 GiB.
	MaxReply int64
	// DrainTimeout is how long executions may go on once Run is to return; 0 = 30 s.
	DrainTimeout time.Duration
	// Idle is called when no execution is left of a revision that has been replaced;
	// nil = nobody has to know. It must not block.
	Idle func(agent plan.ID, revision string)
	// Ended is told of each execution that has ended, and Fired of each run of a
	// schedule, one of which there was no execution included; nil = nobody has to
	// know. They must not block.
	Ended func(Execution)
	Fired func(agent plan.ID, s CronState)
	Log   *slog.Logger // nil = none
}

// Dispatcher runs the executions of TaskAgents: those that requests ask for, and
// those of schedules. Its methods may be called from any goroutine.
type Dispatcher struct {
	opt      DispatcherOptions
	metadata *metadata

	mu       sync.Mutex
	agents   map[plan.ID]*agentState // by canonical ID
	known    bool                    // it was told which there are
	partly   bool                    // there may be others
	opening  chan struct{}           // closed once opened
	draining bool
	// loops is of schedules and slots; nil = it is not opened: there may be leftovers
	// of others.
	loops context.Context

	live   map[*execution]struct{}
	tasks  sync.WaitGroup // all goroutines but Run's
	scribe scribe

	cutting context.Context // ends when nobody is waited for any more
	cut     context.CancelFunc
}

// agentState is an agent and what there is of it. Its Dispatcher's mutex guards it.
type agentState struct {
	agent   plan.Agent
	kind    string // of the slots that are of use to it
	present bool   // it is there; without that, what goes on may end
	active  int    // executions that count for its limit
	inUse   map[string]int
	recent  []Execution // that have ended, the newest first
	pool    pool
	cron    cron
}

// NewDispatcher returns a dispatcher. It takes requests once [Dispatcher.Run] and
// [Dispatcher.Set] were called.
func NewDispatcher(o DispatcherOptions) *Dispatcher {
	if o.Session == "" {
		o.Session = NewExecutionID()
	}
	if o.MaxReply <= 0 {
		o.MaxReply = 1 << 30
	}
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Ended == nil {
		o.Ended = func(Execution) {}
	}
	if o.Fired == nil {
		o.Fired = func(plan.ID, CronState) {}
	}
	d := &Dispatcher{
		opt: o, metadata: newMetadata(o), opening: make(chan struct{}),
		agents: map[plan.ID]*agentState{}, live: map[*execution]struct{}{},
	}
	d.metadata.ended = d.listenAgain
	d.cutting, d.cut = context.WithCancel(context.Background())
	return d
}

// Opened is closed once requests are taken, of the agents that [Dispatcher.Set] was
// told of.
func (d *Dispatcher) Opened() <-chan struct{} { return d.opening }

// Run removes what other sessions have left, opens, and returns once ctx has ended
// and nothing is left of its own: slots are dropped at once, executions may go on
// for the DrainTimeout. It is called once.
func (d *Dispatcher) Run(ctx context.Context) error {
	if d.sweep(ctx) {
		loops, cancel := context.WithCancel(ctx)
		defer cancel()
		d.mu.Lock()
		d.loops = loops
		close(d.opening)
		for _, st := range d.agents {
			d.settle(st)
		}
		d.settleHearing()
		d.mu.Unlock()
		<-ctx.Done()
	}
	d.mu.Lock()
	d.draining = true
	d.mu.Unlock()
	late := time.AfterFunc(d.opt.DrainTimeout, d.Cut)
	defer late.Stop()
	defer d.cut()
	d.tasks.Wait()
	d.metadata.close()
	return nil
}

// sweep tries until it succeeds. False: ctx has ended.
func (d *Dispatcher) sweep(ctx context.Context) bool {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		names, err := d.opt.Runtime.Sweep(ctx, d.opt.Session)
		for _, name := range names {
			d.opt.Log.Info("removed what another session has left", "container", name)
		}
		if err == nil {
			return ctx.Err() == nil
		}
		d.opt.Log.Warn("what other sessions have left was not removed", "err", err, "again", wait)
		if !pause(ctx, wait) {
			return false
		}
	}
}

// Cut has a Run that waits for executions end them, and the answers to clients that
// do not take theirs.
func (d *Dispatcher) Cut() {
	d.cut()
	d.mu.Lock()
	defer d.mu.Unlock()
	for e := range d.live {
		e.cancel(errStopped)
	}
}

// defaultTimeout is that of an agent that has none.
const defaultTimeout = 100 * time.Second

// Set says which agents there are. What runs goes on as it was accepted; what comes
// is for the agents as they are now. One caller at a time.
func (d *Dispatcher) Set(agents []plan.Agent) { d.set(agents, false) }

// SetKnown is Set where there may be others, which are not known yet: requests for
// them are not unknown but not ready.
func (d *Dispatcher) SetKnown(agents []plan.Agent) { d.set(agents, true) }

func (d *Dispatcher) set(agents []plan.Agent, partly bool) {
	fresh := map[plan.ID]*agentState{}
	for _, a := range agents {
		a.ID = a.ID.Canonical()
		st := &agentState{agent: a, kind: kindOf(a), present: true, inUse: map[string]int{}, pool: newPool()}
		if !d.has(a.ID) {
			d.recall(st)
		}
		fresh[a.ID] = st
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known, d.partly = true, partly
	for id, st := range fresh {
		if old := d.agents[id]; old != nil {
			old.agent, old.kind, old.present = st.agent, st.kind, true
			continue
		}
		d.agents[id] = st
	}
	for id, st := range d.agents {
		st.present = fresh[id] != nil
		d.settle(st)
		d.prune(st)
	}
	d.settleHearing()
}

// drop prunes an agent, of which what has ended may have been all that kept a network
// open. The mutex is held.
func (d *Dispatcher) drop(st *agentState) {
	if d.prune(st) || d.metadata.postponed && len(st.inUse) == 0 {
		d.settleHearing()
	}
}

// prune forgets an agent that is not there any more, once nothing of it goes on, and
// reports whether it did. The mutex is held.
func (d *Dispatcher) prune(st *agentState) bool {
	id := st.agent.ID
	gone := !st.present && st.idle() && d.agents[id] == st
	if gone {
		delete(d.agents, id)
	}
	return gone
}

func (d *Dispatcher) has(id plan.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.agents[id] != nil
}

// recall takes what is known of an agent from the journal.
func (d *Dispatcher) recall(st *agentState) {
	recent, err := d.opt.Journal.Recent(st.agent.ID)
	if err != nil {
		d.opt.Log.Warn("the last executions of an agent cannot be read", "agent", st.agent.ID, "err", err)
	}
	st.recent = recent[:min(len(recent), kept)]
	state, err := d.opt.Journal.Cron(st.agent.ID)
	if err != nil {
		d.opt.Log.Warn("the last slot of an agent cannot be read", "agent", st.agent.ID, "err", err)
	}
	if state.Outcome == Running {
		state.Outcome = Lost
	}
	st.cron.state = state
}

// idle reports whether nothing of an agent goes on.
func (st *agentState) idle() bool {
	return len(st.inUse) == 0 && st.active == 0 && !st.cron.busy && st.pool.stop == nil
}

// settle starts and ends what goes on by itself for an agent.
func (d *Dispatcher) settle(st *agentState) {
	if d.loops == nil || d.draining {
		return
	}
	d.settleCron(st)
	d.settlePool(st)
}

var (
	errDeadline = errors.New("the timeout of the agent is over")
	errClient   = errors.New("the client went away")
	errStopped  = errors.New("the daemon ended")
)

// accept makes an execution of a request, if its agent takes one now. It counts
// until it is released.
func (d *Dispatcher) accept(id plan.ID, called, trigger string) (*execution, *rejection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.agents[id.Canonical()]
	unready := func(reason string) (*execution, *rejection) {
		return nil, &rejection{http.StatusServiceUnavailable, CodeNotReady, reason}
	}
	switch {
	case d.draining:
		return unready("the daemon is ending")
	case !d.known || d.loops == nil:
		return unready("it is not known yet which agents there are")
	case (st == nil || !st.present) && d.partly:
		return unready("whether there is a TaskAgent " + id.NamespacedName() + " is not known: the workspace cannot be read")
	case st == nil || !st.present:
		return nil, &rejection{http.StatusNotFound, CodeAgent, "there is no TaskAgent " + id.NamespacedName()}
	case st.agent.Stopped:
		return unready(id.Name + " is stopped")
	case st.agent.Revision.Number == 0:
		return unready(id.Name + " has no revision that is ready")
	case st.agent.MaxConcurrent > 0 && st.active >= st.agent.MaxConcurrent:
		return nil, &rejection{http.StatusTooManyRequests, CodeBusy, "as many executions go on as maxConcurrent allows"}
	}
	e := &execution{
		d: d, st: st, agent: st.agent, kind: st.kind,
		info: Execution{
			Agent: st.agent.ID, Key: newKey(), ID: called, Revision: st.agent.Revision.Name(), Trigger: trigger,
			Accepted: time.Now(), Outcome: Running,
		},
		replies: make(chan *reply, 1),
		served:  make(chan struct{}),
		decided: make(chan struct{}),
		begun:   make(chan struct{}),
	}
	e.noted = e.info
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	if e.agent.Timeout <= 0 {
		e.agent.Timeout = defaultTimeout
	}
	e.deadline = time.AfterFunc(e.agent.Timeout, func() { e.cancel(errDeadline) })
	st.active++
	st.inUse[e.info.Revision]++
	d.live[e] = struct{}{}
	d.tasks.Add(1)
	st.pool.use()
	return e, nil
}

// release has an execution no longer count for the limit of its agent.
func (e *execution) release() {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	if !e.released {
		e.released = true
		e.st.active--
	}
}

// forget is the last that is done for an execution: nothing is left of it.
func (e *execution) forget() {
	e.deadline.Stop()
	e.cancel(nil)
	e.release()
	d, st, revision := e.d, e.st, e.info.Revision
	d.mu.Lock()
	delete(d.live, e)
	st.inUse[revision]--
	last := st.inUse[revision] == 0
	if last {
		delete(st.inUse, revision)
	}
	replaced := last && (!st.present || st.agent.Revision.Name() != revision)
	d.drop(st)
	d.mu.Unlock()
	if replaced && d.opt.Idle != nil {
		d.opt.Idle(e.info.Agent, revision)
	}
	d.tasks.Done()
}

// ended remembers an execution.
func (e *execution) ended() {
	e.d.opt.Ended(e.info)
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	e.over = true
	e.st.recent = slices.Insert(e.st.recent, 0, e.info)
	e.st.recent = e.st.recent[:min(len(e.st.recent), kept)]
}
