// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// The values of Status.Desired and Status.Actual besides wants and states.
const (
	// Absent: it should not be, or is not.
	Absent = "absent"
	// Exists: a network, volume or secret should be.
	Exists = string(plan.StateExists)
)

// Word sums up the state of a resource in a word for people.
type Word string

// The words. An exited resource that should run has its exit code in the word.
const (
	WordRunning Word = "Running"
	WordPresent Word = "Present" // a network, volume or secret
	WordCreated Word = "Created" // made and never started
	WordPaused  Word = "Paused"
	WordStopped Word = "Stopped" // as it should be, or as somebody wished
	WordBroken  Word = "Broken"
	// WordCrashLoop: it exits again and again; a reason says until when it rests.
	WordCrashLoop Word = "CrashLoopBackOff"
	WordRemoved   Word = "Removed" // it was there after the last pass and is gone
	WordWaiting   Word = "Waiting" // not there yet
	WordBlocked   Word = "Blocked" // not there, and will not be until somebody acts
)

// exited returns the word for a container that should run and does not.
func exited(code int) Word { return Word(fmt.Sprintf("Exited (%d)", code)) }

// Status compares what one resource should be with what it is. Field names are
// part of the JSON output.
type Status struct {
	ID   plan.ID   `json:"id"`
	Kind plan.Kind `json:"kind"`
	Name string    `json:"name"` // at the runtime

	Desired string `json:"desired"` // a plan.Want, "exists" or "absent"
	Actual  string `json:"actual"`  // a plan.State, "ready" or "absent"
	State   Word   `json:"state"`
	// InSync: nothing is left to do and nothing is held against anybody's wish.
	InSync bool `json:"in_sync"`
	// Orphan: ours, but nothing asks for it.
	Orphan  bool          `json:"orphan,omitempty"`
	Reasons []plan.Reason `json:"reasons"`

	Origin   string      `json:"origin,omitempty"` // file:line:col that asks for it
	Handle   string      `json:"handle,omitempty"`
	Digest   string      `json:"digest,omitempty"`   // of the spec it was made from
	Revision string      `json:"revision,omitempty"` // git commit it was made from
	Image    string      `json:"image,omitempty"`    // reference
	ImageID  string      `json:"image_id,omitempty"` // what it really runs
	Ports    []plan.Port `json:"ports,omitempty"`
	Restarts int         `json:"restarts"`
	ExitCode *int        `json:"exit_code,omitempty"` // exited only
	Created  time.Time   `json:"created,omitzero"`
	Started  time.Time   `json:"started,omitzero"`
	Finished time.Time   `json:"finished,omitzero"`
	// Health is what the probes say of what runs; null where there are none, or
	// nothing has been heard of them.
	Health *plan.Health `json:"health,omitempty"`

	// Of what is run once, or by a schedule: the phase of its last run, or of the one
	// that is to come, and why it is in that.
	Phase       plan.RunPhase `json:"phase,omitempty"`
	PhaseReason string        `json:"phase_reason,omitempty"`
	Runs        []RunStatus   `json:"runs,omitempty"` // newest first
	// Of a CronTask.
	NextSlot  time.Time `json:"next_slot,omitzero"`
	LastSlot  time.Time `json:"last_slot,omitzero"`
	Skipped   int       `json:"skipped,omitempty"` // slots that were not run
	Suspended bool      `json:"suspended,omitempty"`

	// Of a TaskAgent: the revision that executions are made from now, those that are
	// remembered, and how it is given work, as manifests spell it.
	Serving   string            `json:"serving,omitempty"`
	Revisions []RevisionStatus  `json:"revisions,omitempty"` // newest first
	Settings  map[string]string `json:"settings,omitempty"`

	// Limits are those of its container.
	Limits []LimitStatus `json:"limits,omitempty"`
}

// Summarize compares desired with observed, resource by resource, sorted by
// ID; p is what [plan.New] makes of the two. Ours that nothing asks for come
// with it, and so does each object beyond the first under one ID. The same
// input gives the same output.
func Summarize(d plan.Desired, o plan.Observed, p plan.Plan) []Status {
	s := newSummary(o, p)
	s.noteAgents(d, o)
	var out []Status
	for _, r := range d.Resources {
		objs := s.take(r.ID, r.Name)
		st := s.desired(r, objs, d.Destroy)
		out = append(out, st)
		for _, extra := range extras(r, objs) {
			out = append(out, s.orphan(extra))
		}
	}
	for _, obj := range o.Objects {
		for _, extra := range s.take(obj.ID, obj.Name) {
			out = append(out, s.orphan(extra))
		}
	}
	out = append(out, s.orphanAgents()...)
	slices.SortStableFunc(out, func(a, b Status) int { return a.ID.Compare(b.ID) })
	return out
}

// extras are the objects of a resource beyond its own.
func extras(r plan.Resource, objs []plan.Object) []plan.Object {
	switch {
	case r.Dispatch != nil:
		return objs
	case r.Run == nil:
		return objs[min(1, len(objs)):]
	}
	return slices.DeleteFunc(slices.Clone(objs), func(o plan.Object) bool { return o.Run != "" })
}

// summary is the input of Summarize by ID, in its text form.
type summary struct {
	objects  map[string][]plan.Object
	changes  map[string][]plan.Reason
	drift    map[string][]plan.Reason
	held     map[string]plan.Change
	existed  map[string]bool
	restarts map[string]plan.Record
	failed   map[string]plan.HostHook // hooks on the host
	toRun    map[string]bool          // a run of it is to be started
	ran      map[string][]plan.Record // its runs, newest first
	slots    map[string]plan.Record   // of a CronTask
	// agents and revisions are of TaskAgents, by ID.
	agents    map[string]plan.Agent
	revisions map[string][]plan.Revision // as found

	unenforced map[plan.Limit]string
	backoff    map[string][]plan.Backoff
}

func newSummary(o plan.Observed, p plan.Plan) *summary {
	s := &summary{
		objects: map[string][]plan.Object{}, changes: map[string][]plan.Reason{},
		drift: map[string][]plan.Reason{}, held: map[string]plan.Change{},
		existed: map[string]bool{}, restarts: map[string]plan.Record{}, failed: map[string]plan.HostHook{},
		toRun: map[string]bool{}, unenforced: o.Unenforced, backoff: map[string][]plan.Backoff{},
	}
	for _, b := range o.Backoff {
		s.backoff[b.ID.String()] = append(s.backoff[b.ID.String()], b)
	}
	s.noteRuns(o, p)
	for _, obj := range o.Objects {
		if obj.Session == "" {
			s.objects[obj.ID.String()] = append(s.objects[obj.ID.String()], obj)
		}
	}
	for _, c := range p.Changes {
		s.changes[c.ID.String()] = c.Reasons
		s.toRun[c.ID.String()] = slices.Contains(c.Actions, plan.ActionRun)
	}
	for _, c := range p.Drift {
		s.drift[c.ID.String()] = c.Reasons
	}
	for _, c := range p.Held {
		s.held[c.ID.String()] = c
	}
	for _, id := range o.Converged {
		s.existed[id.String()] = true
	}
	for _, r := range o.Records.Records {
		if r.Kind == plan.RecordRestarts && r.Key == "" {
			s.restarts[r.ID.String()] = r
		}
	}
	for id, h := range o.HostHooks {
		if h.State == plan.HookFailed {
			s.failed[id.String()] = h
		}
	}
	return s
}

// take returns the objects under an ID, the one to speak of first, and forgets
// them: the bearer of the proper name, then what runs, then the newest.
func (s *summary) take(id plan.ID, name string) []plan.Object {
	objs := s.objects[id.String()]
	delete(s.objects, id.String())
	rank := func(ok bool) int {
		if ok {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(objs, func(a, b plan.Object) int {
		return cmp.Or(cmp.Compare(rank(a.Name == name), rank(b.Name == name)),
			cmp.Compare(rank(a.State == plan.StateRunning), rank(b.State == plan.StateRunning)),
			b.Created.Compare(a.Created))
	})
	return objs
}

// desired sums up a resource that should be; objs are those under its ID.
func (s *summary) desired(r plan.Resource, objs []plan.Object, destroy bool) Status {
	key := r.ID.String()
	st := Status{ID: r.ID, Kind: r.ID.Kind, Name: r.Name, Desired: string(r.Want), Actual: Absent, Origin: r.Origin}
	switch {
	case destroy:
		st.Desired = Absent
	case r.Want == plan.WantExists:
		st.Desired = Exists
	}
	if s.heldFor(key, plan.CodeWish) {
		st.Desired = string(plan.WantStopped)
	}
	if len(objs) > 0 && r.Run == nil && r.Dispatch == nil {
		s.fill(&st, objs[0])
	}
	if r.Spec.Container != nil {
		st.Image = r.Spec.Container.Image
	}
	st.Limits = limitsOf(r, s.unenforced)
	held, isHeld := s.held[key]
	isHeld = isHeld && !held.Benign
	switch {
	case r.Run != nil:
		s.run(&st, r, objs)
	case r.ID.Kind == plan.TaskAgent:
		s.agent(&st, r, isHeld)
	default:
		st.State = s.word(st, isHeld)
	}
	st.Reasons = append(s.troubles(r, st), s.reasons(key)...)
	st.InSync = !isHeld && len(s.changes[key])+len(s.drift[key]) == 0
	if !st.InSync {
		st.Reasons = append(s.lastTry(r), st.Reasons...)
	}
	return st
}

// orphan sums up an object that nothing asks for.
func (s *summary) orphan(obj plan.Object) Status {
	st := Status{ID: obj.ID, Kind: obj.ID.Kind, Name: obj.Name, Desired: Absent, Orphan: true}
	s.fill(&st, obj)
	held, isHeld := s.held[obj.ID.String()]
	st.State = s.word(st, false)
	s.orphanRun(&st, obj)
	st.Reasons = s.reasons(obj.ID.String())
	st.InSync = isHeld && held.Benign
	return st
}

// fill copies what an object says of itself.
func (s *summary) fill(st *Status, obj plan.Object) {
	st.Actual = string(obj.State)
	st.Name, st.Handle, st.Digest, st.Revision = obj.Name, obj.Handle, obj.Digest, obj.Revision
	st.ImageID, st.Ports = obj.Image, obj.Ports
	st.Created, st.Started, st.Finished = obj.Created, obj.Started, obj.Finished
	if obj.State == plan.StateExited {
		st.ExitCode = &obj.ExitCode
	}
	if obj.State == plan.StateRunning {
		st.Health = obj.Health
	}
	st.Restarts = s.count(obj)
}

// count is how often the object's ID was restarted with the object's spec.
func (s *summary) count(obj plan.Object) int {
	return s.restarts[obj.ID.String()].Restarts(obj.Digest)
}

// word picks the word; held says that something stands in the way.
func (s *summary) word(st Status, held bool) Word {
	stopped := st.Desired == string(plan.WantStopped)
	switch plan.State(st.Actual) {
	case plan.StateRunning:
		return WordRunning
	case plan.StatePaused:
		return WordPaused
	case plan.StateExists:
		return WordPresent
	case plan.StateBroken:
		return WordBroken
	case plan.StateExited:
		if stopped || s.ended(st) {
			return WordStopped
		}
		if s.heldFor(st.ID.String(), plan.CodeCrashLoop) {
			return WordCrashLoop
		}
		return exited(*st.ExitCode)
	case plan.StateCreated:
		if stopped || s.ended(st) {
			return WordStopped
		}
		return WordCreated
	}
	switch {
	case stopped && !held:
		return WordStopped
	case held && s.onlyWaits(st.ID.String()):
		return WordWaiting
	case held:
		return WordBlocked
	case s.existed[st.ID.String()]:
		return WordRemoved
	}
	return WordWaiting
}

// ended reports whether a daemon is left alone by its restart rule.
func (s *summary) ended(st Status) bool {
	key := st.ID.String()
	return st.Kind == plan.DaemonAgent && (s.heldFor(key, plan.CodeFinished) || s.heldFor(key, plan.CodeRestartLimit))
}

// onlyWaits reports whether nothing is wrong with the resource itself.
func (s *summary) onlyWaits(key string) bool {
	return !slices.ContainsFunc(s.held[key].Reasons, func(r plan.Reason) bool {
		return r.Code != plan.CodeBlockedBy && r.Code != plan.CodeBusy && r.Code != plan.CodeBackoff
	})
}

// heldFor reports whether a reason with the code stands in the way.
func (s *summary) heldFor(key string, code plan.Code) bool {
	return slices.ContainsFunc(s.held[key].Reasons, func(r plan.Reason) bool { return r.Code == code })
}

// reasons lists why a resource is not as it should be, each reason once: what
// is in the way, how it departed, what will be done about it.
func (s *summary) reasons(key string) []plan.Reason {
	out := []plan.Reason{}
	for _, r := range slices.Concat(s.held[key].Reasons, s.drift[key], s.changes[key]) {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}
