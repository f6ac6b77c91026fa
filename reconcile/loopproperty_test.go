// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// happening is something that befalls a loop at work.
type happening struct {
	after time.Duration
	what  string
	name  string
	next  plan.Desired
}

func drawHappenings(t *rapid.T) []happening {
	var out []happening
	for i := range rapid.IntRange(1, 12).Draw(t, "happenings") {
		h := happening{
			after: time.Duration(rapid.SampledFrom([]int{0, 1, 20, 60, 300, 2000, 9000}).Draw(t, "after")) * time.Millisecond,
			what: rapid.SampledFrom([]string{
				"edit", "edit", "edit", "stop", "exit", "pause", "remove", "break", "detach", "rename", "swap",
				"move", "fail", "mend", "down", "up", "slow", "lag", "unreadable", "broken", "command",
			}).Draw(t, "what"),
			name: rapid.SampledFrom(agentNames).Draw(t, "name"),
		}
		if h.what == "edit" {
			h.next = drawDesired(t, fmt.Sprint("edit ", i))
		}
		out = append(out, h)
	}
	return out
}

// trouble is what the hooks of a runtime do.
type trouble struct {
	fails map[string]bool
	takes time.Duration
}

func (b *bed) suffer(tr *trouble) {
	b.rt.Hook(func(_ int, s plan.Step) error {
		b.mu.Lock()
		fails, takes := tr.fails[s.Target.Name], tr.takes
		b.mu.Unlock()
		b.loop.Notify(reconcile.CauseRuntime)
		time.Sleep(takes)
		if fails {
			return errors.New("injected failure")
		}
		return nil
	}, nil)
}

func (b *bed) befall(h happening, tr *trouble) {
	b.mu.Lock()
	switch h.what {
	case "edit":
		b.loaded, b.loadErr = reconcile.Loaded{Desired: h.next}, nil
	case "broken":
		b.loaded.Fatal = true
	case "fail":
		tr.fails[h.name] = true
	case "mend":
		delete(tr.fails, h.name)
	case "slow":
		tr.takes = 200 * time.Millisecond
	case "unreadable":
		b.loadErr = errors.New("cannot be read")
	}
	b.mu.Unlock()
	cause := reconcile.CauseRuntime
	switch h.what {
	case "edit", "unreadable", "broken":
		cause = reconcile.CauseEdit
	case "command":
		cause = reconcile.CauseCommand
	case "move":
		b.rt.PushImage(testImage, "sha256:a"+h.name)
	case "lag":
		b.pull.set(func(rt *pulling) { rt.lag = h.after })
	case "down", "up":
		b.rt.SetDown(h.what == "down")
	default:
		for _, obj := range b.rt.Things() {
			if obj.ID == agent(h.name) {
				drift{h.name, h.what}.happen(b.rt, obj)
				break
			}
		}
	}
	b.loop.Notify(cause)
}

// Whatever befalls a loop, once nothing does any more the host is as the last
// edit says, every pass that began has ended, and no two steps of one resource
// were ever under way at once.
func TestPropertyLoopConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		first, happenings := drawDesired(rt, "first"), drawHappenings(rt)
		var fault string
		synctest.Test(t, func(t *testing.T) {
			tr := &trouble{fails: map[string]bool{}}
			b := newBed(t, nil, func(b *bed, o *reconcile.LoopOptions) {
				b.loaded.Desired = first
				b.suffer(tr)
				o.Plan = func() plan.Options { return plan.Options{AllowMassDelete: true} }
				o.Settle = time.Second
				o.Interval = time.Minute
			})
			for _, h := range happenings {
				time.Sleep(h.after)
				b.befall(h, tr)
			}
			b.rt.SetDown(false)
			b.mu.Lock()
			clear(tr.fails)
			b.loadErr, b.loaded.Fatal = nil, false
			b.mu.Unlock()
			b.wait(20 * time.Minute) // crash loops and all
			fault = b.unsettled()
		})
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

// unsettled says what is not as it should be, or nothing.
func (b *bed) unsettled() string {
	d := b.loaded.Desired
	p, o, err := reconcile.DryRun(b.t.Context(), b.rt, b.mem, d, plan.Options{Now: time.Now(), AllowMassDelete: true, Supervise: true})
	if err != nil {
		return err.Error()
	}
	held := map[plan.ID]bool{}
	for _, c := range p.Held {
		held[c.ID] = true
	}
	for _, r := range d.Resources {
		found := held[r.ID] || r.Run != nil
		for _, obj := range o.Objects {
			found = found || obj.ID == r.ID && (r.Want != plan.WantRunning || obj.State == plan.StateRunning)
		}
		if !found && r.Want != plan.WantStopped {
			return fmt.Sprintf("%s is not as it should be:\n%s", r.ID, p)
		}
	}
	if len(p.Steps) > 0 || !p.Wake.IsZero() {
		return fmt.Sprintf("left to do:\n%s", p)
	}
	st := b.loop.Status()
	switch {
	case st.Running || len(st.Busy) > 0:
		return fmt.Sprintf("not at rest: %+v", st)
	case p.Complete && st.Last.ExitCode != plan.ExitDone:
		return fmt.Sprintf("last pass: %+v", st.Last)
	}
	return ""
}
