// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
)

// isTask reports whether what has the ID is run and comes to an end.
func isTask(id plan.ID) bool { return id.Kind == plan.Task || id.Kind == plan.CronTask }

// runHere is a run as far as it is known here: by its record, by its container, or
// by both.
type runHere struct {
	id     plan.ID
	state  plan.RunState // has at least a Key and a Name
	object plan.Object   // the container; its Handle is "" when there is none
}

// same reports whether both are one run.
func (r runHere) same(other runHere) bool {
	return r.id.Compare(other.id) == 0 && r.state.Key == other.state.Key
}

// goesOn reports whether the run is up, or waits for its turn.
func (r runHere) goesOn() bool {
	return r.object.State == plan.StateRunning || r.object.State == plan.StatePaused || r.state.Phase == plan.RunQueued
}

// ref is the run as an ID, for its name.
func (r runHere) ref() plan.ID {
	return plan.ID{Kind: r.id.Kind, Namespace: r.id.Namespace, Name: r.state.Name}
}

// runsHere returns the runs of all Tasks and CronTasks, by ID, of each the newest
// first.
func runsHere(records plan.Records, objects []plan.Object) []runHere {
	type key struct{ id, run string }
	known := map[key]*runHere{}
	of := func(id plan.ID, run string) *runHere {
		k := key{id.String(), run}
		if known[k] == nil {
			known[k] = &runHere{id: id, state: plan.RunState{Key: run, Name: runName(id, run)}}
		}
		return known[k]
	}
	for _, rec := range records.Records {
		if rec.Kind == plan.RecordRun {
			r := of(rec.ID, rec.Key)
			name := r.state.Name
			r.state = rec.RunState()
			r.state.Name = cmp.Or(r.state.Name, name)
		}
	}
	for _, o := range objects {
		if o.Run == "" || !isTask(o.ID) {
			continue
		}
		if r := of(o.ID, o.Run); r.object.Handle == "" || o.Created.After(r.object.Created) {
			r.object = o
		}
	}
	out := make([]runHere, 0, len(known))
	for _, r := range known {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b runHere) int {
		return cmp.Or(a.id.Compare(b.id), b.order()-a.order(), strings.Compare(b.state.Key, a.state.Key))
	})
	return out
}

// order is its place among the runs of its ID; what is not recorded yet is last.
func (r runHere) order() int {
	if r.state.Order == 0 {
		return int(^uint32(0) >> 1)
	}
	return r.state.Order
}

// runName is what a run is called.
func runName(id plan.ID, key string) string {
	r := plan.Resource{ID: id, Run: &plan.Run{}}
	if id.Kind == plan.CronTask {
		r.Run.Cron = &plan.Cron{}
	}
	return r.RunName(key)
}

// runsOf keeps the runs of one ID.
func runsOf(id plan.ID, runs []runHere) []runHere {
	var out []runHere
	for _, r := range runs {
		if r.id.Compare(id) == 0 {
			out = append(out, r)
		}
	}
	return out
}

// findRun resolves a NAME that means one of the ids or, when it means none of
// them, one of the runs, by what that is called.
func findRun(name string, ids []plan.ID, runs []runHere) (id plan.ID, run string, err error) {
	for _, r := range runs {
		ids = append(ids, r.id)
	}
	id, err = findID(name, ids)
	if err == nil || slices.ContainsFunc(ids, func(id plan.ID) bool { return names(id, name) }) {
		return id, "", err
	}
	var found []runHere
	for _, r := range runs {
		if names(r.ref(), name) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return plan.ID{}, "", err
	case 1:
		return found[0].id, found[0].state.Key, nil
	}
	var all []string
	for _, r := range found {
		all = append(all, r.ref().String())
	}
	return plan.ID{}, "", fmt.Errorf("%q is ambiguous: %s", name, strings.Join(all, ", "))
}

// pickRun finds the run that text means, by its key or its name; "" = the newest.
func pickRun(id plan.ID, text string, runs []runHere) (runHere, error) {
	own := runsOf(id, runs)
	if len(own) == 0 {
		return runHere{}, fmt.Errorf("%s has not run yet; `reconcile status %[1]s` says why", id)
	}
	if text == "" {
		return own[0], nil
	}
	for _, r := range own {
		if r.state.Key == text || r.state.Name == text && id.Kind == plan.CronTask {
			return r, nil
		}
	}
	var all []string
	for _, r := range own[:min(len(own), 10)] {
		all = append(all, r.state.Key)
	}
	if more := len(own) - len(all); more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return runHere{}, fmt.Errorf("%s has no run %q; there are: %s", id, text, strings.Join(all, ", "))
}

// runReason is why a run ended as it did, in a word or two; "" = it did well, or
// has not ended.
func runReason(s plan.RunState) string {
	switch {
	case s.Phase != plan.RunFailed:
		return ""
	case s.Reason == plan.FailedExit:
		return fmt.Sprintf("exit code %d", s.Code)
	}
	return cmp.Or(s.Detail, s.Reason)
}
