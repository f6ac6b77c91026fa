// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"maps"
	"slices"

	"reconcile/reconcile/plan"
)

// walk is the graph of a plan and how far each step of it is. It belongs to an
// [executor].
type walk struct {
	desired   plan.Desired
	resources map[string]plan.Resource // by ID in its text form, as below

	steps   []plan.Step
	results []StepResult // State "" = not ended
	targets []string
	index   map[string]int // by step ID: the last step that has it
	users   [][]int        // by step: the steps that are after it
	missing []int          // by step: how many steps it is still after
	depth   []int          // by step: length of the longest chain that leads to it
	chain   []int          // by step: length of the longest chain that it is part of

	made    map[made]plan.Object
	open    map[string]int  // by resource: its steps that have not ended
	begun   map[string]bool // resources of which a step that is not cuttable has started
	failed  map[string]bool // resources of which a step failed or was skipped
	carried []StepResult    // of steps of earlier plans that ended meanwhile
}

// made names what a create step makes: the object of a resource, or, of those that
// are run, of one run.
type made struct{ target, run string }

// madeFor names the object that a step acts on when it gives none.
func madeFor(s plan.Step) made {
	run := s.Run
	if run == "" && s.Record != nil && s.Record.Kind == plan.RecordRun {
		run = s.Record.Key
	}
	return made{s.Target.String(), run}
}

func newWalk(p plan.Plan, d plan.Desired) *walk {
	w := &walk{
		desired:   d,
		resources: make(map[string]plan.Resource, len(d.Resources)),
		index:     make(map[string]int, len(p.Steps)),
		made:      map[made]plan.Object{},
		open:      map[string]int{},
		begun:     map[string]bool{},
		failed:    map[string]bool{},
	}
	for _, r := range d.Resources {
		w.resources[r.ID.String()] = r
	}
	w.add(p.Steps)
	return w
}

// fits reports whether steps can be added: whatever they come after is among
// them, or among the steps that ended well or have not ended.
func (w *walk) fits(steps []plan.Step) bool {
	added := make(map[string]bool, len(steps))
	for _, s := range steps {
		for _, id := range s.After {
			i, known := w.index[id]
			if !added[id] && (!known || w.results[i].State != "" && w.results[i].State != StepDone) {
				return false
			}
		}
		added[s.ID] = true
	}
	return true
}

// add adds steps in a topological order. Of resources that have been worked on
// before, what did not succeed is forgotten: it is tried again.
func (w *walk) add(steps []plan.Step) (first int) {
	first = len(w.steps)
	again := map[string]bool{}
	for i, s := range steps {
		target := s.Target.String()
		again[target] = true
		w.steps = append(w.steps, s)
		w.results = append(w.results, StepResult{Step: s})
		w.targets = append(w.targets, target)
		w.index[s.ID] = first + i
		w.open[target]++
		delete(w.failed, target)
	}
	for _, r := range w.results[:first] {
		if w.givenUp(r) {
			delete(again, r.Step.Target.String()) // what is added only records it
		}
	}
	for i := range w.results[:first] {
		if again[w.targets[i]] && (w.results[i].State == StepFailed || w.results[i].State == StepSkipped) {
			w.results[i].State = stepForgotten
		}
	}
	w.users = append(w.users, make([][]int, len(steps))...)
	w.missing = append(w.missing, make([]int, len(steps))...)
	for i, s := range w.steps[first:] {
		for _, id := range s.After {
			j, ok := w.index[id]
			switch {
			case ok && w.results[j].State == StepDone:
			case ok:
				w.users[j] = append(w.users[j], first+i)
				fallthrough
			default: // never reached
				w.missing[first+i]++
			}
		}
	}
	w.measure()
	return first
}

// measure finds the chains of a plan, whose steps are in a topological order.
func (w *walk) measure() {
	w.depth, w.chain = make([]int, len(w.steps)), make([]int, len(w.steps))
	height := make([]int, len(w.steps)) // of the longest chain that leads on
	for i := len(w.steps) - 1; i >= 0; i-- {
		for _, user := range w.users[i] {
			height[i] = max(height[i], height[user]+1)
		}
	}
	for i := range w.steps {
		for _, user := range w.users[i] {
			w.depth[user] = max(w.depth[user], w.depth[i]+1)
		}
		w.chain[i] = w.depth[i] + height[i]
	}
}

// less puts the longest chains first, since they end last; among equals the
// step that goes on with what is begun, so that creates and starts overlap;
// then the order of the plan.
func (w *walk) less(a, b int) bool {
	return cmp.Or(cmp.Compare(w.chain[b], w.chain[a]), cmp.Compare(w.depth[b], w.depth[a]), cmp.Compare(a, b)) < 0
}

// find returns the step of the walk that s, which is under way, can go on as;
// -1 = there is none.
func (w *walk) find(s plan.Step) int {
	return slices.IndexFunc(w.steps, func(t plan.Step) bool {
		return t.Op == s.Op && t.Target == s.Target && t.Object == s.Object && t.Until == s.Until &&
			t.Name == s.Name && t.Run == s.Run && t.RunName == s.RunName && t.Digest == s.Digest && maps.Equal(t.Bound, s.Bound) &&
			sameHook(t.Hook, s.Hook) && t.Record == nil && w.past(t)
	})
}

func sameHook(a, b *plan.Hook) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Name == b.Name && a.Digest == b.Digest && a.Dir == b.Dir && a.InCopy == b.InCopy && slices.Equal(a.Env, b.Env)
}

// past reports whether a step like s can be under way although s has not begun:
// what it comes after has been done once and does no harm when it is done again.
func (w *walk) past(s plan.Step) bool {
	hook := s.Hook != nil || cuttable(s) && s.Op == plan.OpCreate
	return !slices.ContainsFunc(s.After, func(id string) bool {
		i, known := w.index[id]
		return !hook || !known || w.steps[i].Op != plan.OpPrepare
	})
}

// waits reports whether step i has neither begun nor ended.
func (w *walk) waits(i int) bool { return w.results[i].State == "" && w.results[i].Started.IsZero() }

// end books how step i ended.
func (w *walk) end(i int, state StepState) {
	w.results[i].State = state
	w.open[w.targets[i]]--
	if state != StepDone {
		w.failed[w.targets[i]] = true
	}
}

// givenUp reports whether a step failed for want of an image of a run, which is not
// tried again for that.
func (w *walk) givenUp(r StepResult) bool {
	return w.resources[r.Step.Target.String()].Run != nil && isImageError(r.Err)
}

// lacksRun reports whether p does not start a run that the walk has yet to begin
// with: another may have taken its place among those that may go on at once.
func (w *walk) lacksRun(p plan.Plan) bool {
	starts := map[made]bool{}
	for _, s := range p.Steps {
		if s.Op == plan.OpStart && s.Run != "" {
			starts[madeFor(s)] = true
		}
	}
	for i, s := range w.steps {
		if s.Op == plan.OpStart && s.Run != "" && w.waits(i) && !w.begun[w.targets[i]] && !starts[madeFor(s)] {
			return true
		}
	}
	return false
}

// onlyWaits reports whether nothing but waits is left of the steps of a resource.
func (w *walk) onlyWaits(target string) bool {
	for i, t := range w.targets {
		if t == target && w.results[i].State == "" && w.steps[i].Op != plan.OpWait {
			return false
		}
	}
	return w.open[target] > 0
}

// done reports whether every step of a resource succeeded.
func (w *walk) done(target string) bool {
	n, known := w.open[target]
	return known && n == 0 && !w.failed[target]
}

// outcome is how the steps ended.
func (w *walk) outcome() []StepResult {
	return slices.DeleteFunc(slices.Concat(w.carried, w.results), func(r StepResult) bool { return r.State == stepForgotten })
}

// readyHeap holds steps that may start, the first of them on top.
type readyHeap struct {
	items []int
	less  func(a, b int) bool
}

func (h *readyHeap) Len() int           { return len(h.items) }
func (h *readyHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }
func (h *readyHeap) Swap(i, j int)      { h.items[i], h.items[j] = h.items[j], h.items[i] }
func (h *readyHeap) Push(x any)         { h.items = append(h.items, x.(int)) }
func (h *readyHeap) Pop() any {
	last := h.items[len(h.items)-1]
	h.items = h.items[:len(h.items)-1]
	return last
}
