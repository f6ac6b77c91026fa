// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"slices"

	"reconcile/dispatch"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// router returns what answers below dispatch.Root, with the daemon's knowledge of
// its instances.
func (d *daemon) router() *dispatch.Router {
	r := dispatch.New(dispatch.Options{
		Table: d.routes.table, Address: d.routes.address,
		KeepAuthorization: d.app.listen.tokenFile == "", // else it is the listener's token
		Log:               d.app.logger(),
	})
	d.routes.router.Store(r)
	return r
}

// table is what the last look of the loop says of all instances.
func (s *routes) table() dispatch.Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		return nil
	}
	if s.made == nil {
		s.make()
	}
	return s.made
}

// looked notes a look. Requests at containers that have ended fail.
func (s *routes) looked(d plan.Desired, o plan.Observed, p plan.Plan) {
	live := map[dispatch.Target]bool{}
	for _, obj := range o.Objects {
		if obj.State == plan.StateRunning || obj.State == plan.StatePaused {
			live[targetOf(obj)] = true
		}
	}
	s.mu.Lock()
	s.desired, s.observed, s.plan = d, o, p
	s.known, s.made = true, nil
	for _, handle := range s.seen {
		delete(s.leaving, handle)
	}
	s.seen = nil
	s.mu.Unlock()
	if r := s.router.Load(); r != nil {
		r.Keep(func(t dispatch.Target) bool { return live[t] })
	}
}

func targetOf(obj plan.Object) dispatch.Target {
	return dispatch.Target{Handle: obj.Handle, Started: obj.Started}
}

// address is where a target answers.
func (s *routes) address(ctx context.Context, t dispatch.Target) (string, error) {
	s.mu.Lock()
	id, ok := s.ids[t.Handle]
	rt := s.rt
	s.mu.Unlock()
	if !ok || rt == nil {
		return "", errors.New("its container is gone")
	}
	return rt.endpoint(ctx, id, t.Handle)
}

// make works out the table. Only instances that have a place for it in their
// format take requests.
func (s *routes) make() {
	s.made, s.ids = dispatch.Table{}, map[string]plan.ID{}
	resources := map[plan.ID]plan.Resource{}
	for _, r := range s.desired.Resources {
		resources[r.ID] = r
	}
	for _, st := range reconcile.Summarize(s.desired, s.observed, s.plan) {
		if st.ID.Kind != plan.Manifest {
			continue
		}
		if _, done := s.made[st.ID.Name]; done {
			continue // what stands beside it under the same ID
		}
		r, desired := resources[st.ID]
		obj, runs := s.running(st.ID, r.Name)
		if !runs {
			s.made[st.ID.Name] = unready(st)
			continue
		}
		s.ids[obj.Handle] = st.ID
		route := dispatch.Route{State: string(reconcile.WordRunning), Target: targetOf(obj), Retry: retrySoon, AnswerTimeout: s.timeouts.of(st.ID.Name)}
		_, stops := s.leaving[obj.Handle]
		switch {
		case stops:
			route.Reason = "it is being stopped"
		case desired:
			route.Reason = notReadyYet(r, obj, s.observed.Records)
		default:
			route.Reason = probesNot(obj)
		}
		route.Ready = route.Reason == ""
		s.made[st.ID.Name] = route
	}
}

// running is the container that takes the requests of an instance: the bearer of
// its name, else the newest.
func (s *routes) running(id plan.ID, name string) (best plan.Object, ok bool) {
	for _, obj := range s.observed.Objects {
		if obj.ID != id || obj.Session != "" || obj.State != plan.StateRunning {
			continue
		}
		if !ok || obj.Name == name || best.Name != name && obj.Created.After(best.Created) {
			best, ok = obj, true
		}
	}
	return best, ok
}

// unready is the route of an instance that does not run.
func unready(st reconcile.Status) dispatch.Route {
	out := dispatch.Route{State: string(st.State), Reason: firstReason(st), Retry: retrySoon}
	if out.Reason == "" {
		out.Reason = "it does not run"
	}
	switch st.State {
	case reconcile.WordStopped, reconcile.WordBlocked, reconcile.WordPaused, reconcile.WordCrashLoop:
		out.Retry = retryLater
	}
	return out
}

// notReadyYet is why a running container takes no requests yet; "" = it does. It
// is what the steps of a plan wait for.
func notReadyYet(r plan.Resource, obj plan.Object, records plan.Records) string {
	if why := owesHook(r, obj, records); why != "" {
		return why
	}
	probed := r.Spec.Container != nil && r.Spec.Container.Readiness != nil && obj.Digest == r.Spec.Digest()
	if probed && (obj.Health == nil || obj.Health.Readiness == nil) {
		return "nothing has been heard of its readiness probe yet"
	}
	return probesNot(obj)
}

// probesNot is why the probes of a container say that it is not ready.
func probesNot(obj plan.Object) string {
	switch h := obj.Health; {
	case h == nil || h.Readiness == nil || h.Readiness.Verdict == plan.VerdictPassing:
		return ""
	case h.Readiness.Verdict == plan.VerdictFailing:
		return "its readiness probe fails"
	}
	return "its readiness probe has not passed yet"
}

// owesHook is why a container is not the one that its postinstall hook leaves.
func owesHook(r plan.Resource, obj plan.Object, records plan.Records) string {
	if !slices.ContainsFunc(r.Hooks, func(h plan.Hook) bool { return h.Name == plan.HookPostinstall }) {
		return ""
	}
	for _, rec := range records.Records {
		if rec.ID != r.ID || rec.Kind != plan.RecordHook || rec.Key != string(plan.HookPostinstall) || rec.Data["container"] != obj.Handle {
			continue
		}
		if !rec.At.IsZero() && !rec.At.Before(obj.Started) {
			return "it has not been started again after its postinstall hook"
		}
		return ""
	}
	return "its postinstall hook has not run in this container"
}

// routedRuntime tells routes what happens to containers. It implements
// reconcile.Runtime.
type routedRuntime struct {
	*daemonRuntime
	routes *routes
}

// Observe observes.
func (r routedRuntime) Observe(ctx context.Context, want plan.Desired) (plan.Observed, error) {
	left := r.routes.left()
	o, err := r.daemonRuntime.Observe(ctx, want)
	if err == nil {
		r.routes.see(left)
	}
	return o, err
}

// Do carries out one step. No request goes to what is about to be stopped.
func (r routedRuntime) Do(ctx context.Context, s plan.Step, want plan.Desired) (plan.Object, error) {
	if s.Object != "" && (s.Op == plan.OpStop || s.Op == plan.OpDelete) {
		r.routes.leave(s.Object, false)
		defer r.routes.leave(s.Object, true)
	}
	return r.daemonRuntime.Do(ctx, s, want)
}
