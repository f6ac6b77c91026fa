// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/schedule"
)

// TriggerCron is the [TriggerHeader] of what a schedule has run.
const TriggerCron = "cron"

const (
	lateness  = time.Minute // of a slot that still counts: those that nobody was there for are not made up for
	keptReply = 4 << 10     // of a failure, in bytes
)

// cron is the schedule of an agent. Its Dispatcher's mutex guards it.
type cron struct {
	spec  string    // schedule and zone, as they are followed
	next  time.Time // zero = none
	busy  bool      // a run of it goes on
	state CronState
	stop  context.CancelFunc // nil = it is not followed

	writing sync.Mutex // held, before the Dispatcher's, by who has state kept
}

// settleCron follows the schedule of an agent as it is now. The mutex is held.
func (d *Dispatcher) settleCron(st *agentState) {
	spec := ""
	if a := st.agent; st.present && a.Schedule != "" && !a.Stopped {
		spec = a.Schedule + "\n" + a.Zone
	}
	c := &st.cron
	if spec == c.spec {
		return
	}
	if c.stop != nil {
		c.stop()
	}
	c.spec, c.stop, c.next = spec, nil, time.Time{}
	if spec == "" {
		return
	}
	s, err := schedule.Parse(st.agent.Schedule, st.agent.Zone)
	if err != nil {
		d.opt.Log.Warn("a schedule is not followed", "agent", st.agent.ID, "err", err)
		return
	}
	ctx, cancel := context.WithCancel(d.loops)
	c.stop = cancel
	d.tasks.Go(func() { d.follow(ctx, st, s) })
}

// follow runs an agent at the slots of its schedule until ctx ends. What it runs
// has a goroutine of its own, so that no run delays another.
func (d *Dispatcher) follow(ctx context.Context, st *agentState, s schedule.Schedule) {
	for {
		slot := s.Next(d.since(st, time.Now()))
		if slot.IsZero() || !d.announce(ctx, st, slot) || !sleepUntil(ctx, slot) {
			return
		}
		if time.Since(slot.Round(0)) < lateness {
			d.fire(ctx, st, slot)
		}
	}
}

// since is from when on a slot counts: a clock that was set back brings none again,
// unless it was wrong by more than a day.
func (d *Dispatcher) since(st *agentState, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := st.cron.state.Slot; last.After(now) && last.Sub(now) < 24*time.Hour {
		return last
	}
	return now
}

func (d *Dispatcher) announce(ctx context.Context, st *agentState, slot time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return false // another schedule is followed
	}
	st.cron.next = slot
	return true
}

// sleepUntil returns when the clock on the wall shows t, however it was set
// meanwhile. False: ctx has ended.
func sleepUntil(ctx context.Context, t time.Time) bool {
	for {
		left := t.Sub(time.Now().Round(0))
		if left <= 0 {
			return ctx.Err() == nil
		}
		if !pause(ctx, min(left, time.Minute)) {
			return false
		}
	}
}

// fire has a slot run, unless the run of the last one goes on.
func (d *Dispatcher) fire(ctx context.Context, st *agentState, slot time.Time) {
	d.mu.Lock()
	if ctx.Err() != nil || d.draining {
		d.mu.Unlock()
		return
	}
	c := &st.cron
	busy := c.busy
	if busy {
		c.state.Skipped++
	} else {
		c.busy = true
		c.state = CronState{Slot: slot, Outcome: Running, Execution: NewExecutionID(), Skipped: c.state.Skipped}
	}
	state, a := c.state, st.agent
	d.tasks.Add(1)
	d.mu.Unlock()
	if busy {
		defer d.tasks.Done()
		d.putCron(st)
		return
	}
	d.putCron(st)
	go func() {
		defer d.tasks.Done()
		d.runSlot(st, a, state)
	}()
}

// putCron keeps what is known of the schedule of an agent.
func (d *Dispatcher) putCron(st *agentState) {
	st.cron.writing.Lock()
	defer st.cron.writing.Unlock()
	d.mu.Lock()
	id, state := st.agent.ID, st.cron.state
	d.mu.Unlock()
	if err := d.opt.Journal.PutCron(id, state); err != nil {
		d.opt.Log.Warn("a slot is not kept", "agent", id, "slot", state.Slot, "err", err)
	}
}

// runSlot runs an agent as a request would, and notes what came of it.
func (d *Dispatcher) runSlot(st *agentState, a plan.Agent, state CronState) {
	input := []byte(a.ScheduleInput)
	if len(input) == 0 {
		input = []byte("{}")
	}
	var w collector
	// Nothing in it can be wrong.
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, AgentsRoot+a.ID.NamespacedName(), bytes.NewReader(input))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(TriggerHeader, TriggerCron)
		req.Header.Set(ExecutionHeader, state.Execution)
		err = d.serve(&w, req, a.ID, true)
	}
	d.mu.Lock()
	c := &st.cron
	c.busy = false
	state.Skipped = c.state.Skipped
	state.Status = w.status
	switch {
	case err == nil && w.status/100 == 2:
		state.Outcome = Succeeded
	case w.header.Get(ErrorHeader) == CodeTimeout:
		state.Outcome, state.Reply = TimedOut, w.text()
	default:
		state.Outcome, state.Reply = Failed, w.text()
	}
	c.state = state
	d.drop(st)
	d.mu.Unlock()
	d.putCron(st)
	d.opt.Fired(a.ID, state)
}

// collector is a client that keeps the begin of a reply.
type collector struct {
	header http.Header
	status int
	body   []byte
}

// Header implements [http.ResponseWriter].
func (c *collector) Header() http.Header {
	if c.header == nil {
		c.header = http.Header{}
	}
	return c.header
}

// WriteHeader implements [http.ResponseWriter].
func (c *collector) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
}

// Write implements [http.ResponseWriter].
func (c *collector) Write(p []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	c.body = append(c.body, p[:min(len(p), keptReply-len(c.body))]...)
	return len(p), nil
}

// text is what was kept, as text.
func (c *collector) text() string { return string(bytes.ToValidUTF8(c.body, []byte("\uFFFD"))) }
