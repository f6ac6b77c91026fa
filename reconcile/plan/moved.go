// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Moved is one thing that is not as it was when a plan was saved.
type Moved struct {
	Field  string `json:"field"`
	Was    string `json:"was"`
	Is     string `json:"is"`
	Origin string `json:"origin"` // file:line:col; "" = it has no place
}

// String returns field: was → is.
func (m Moved) String() string { return fmt.Sprintf("%s: %s → %s", m.Field, m.Was, m.Is) }

// mover collects what has moved.
type mover struct {
	saved   Saved
	d       Desired
	o       Observed
	p       Plan
	touched map[ID]bool
	moved   []Moved
}

func (m *mover) compare(field, was, is, origin string) {
	if was == is {
		return
	}
	m.moved = append(m.moved, Moved{field, cmp.Or(was, "none"), cmp.Or(is, "none"), origin})
}

func (m *mover) compareOf(id ID, what, was, is string) {
	if was == is {
		return
	}
	m.compare(id.String()+" "+what, was, is, m.origin(id))
}

func (m *mover) resource(id ID) *Resource {
	for i := range m.d.Resources {
		if m.d.Resources[i].ID.Canonical() == id {
			return &m.d.Resources[i]
		}
	}
	return nil
}

func (m *mover) origin(id ID) string {
	if r := m.resource(id); r != nil {
		return r.Origin
	}
	return m.d.Source
}

// compareDesired names the fields that differ where the specs are known.
func (m *mover) compareDesired() {
	now := desiredDigests(m.d)
	all := maps.Clone(m.saved.Desired)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, now)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		was, is := m.saved.Desired[key], now[key]
		if was == is {
			continue
		}
		id, err := ParseID(key)
		if err != nil {
			m.compare("what is known of the workspace", shortSum(was), shortSum(is), m.d.Source)
			continue
		}
		before, r := SpecTree(m.saved.Specs[id]), m.resource(id)
		var paths []string
		var spec json.RawMessage
		if r != nil && before != nil {
			spec = r.Spec.canonicalJSON()
			paths = diffPaths(before, SpecTree(spec))
		}
		for _, path := range paths {
			m.compareOf(id, path, cmp.Or(ValueAt(m.saved.Specs[id], path), "none"), cmp.Or(ValueAt(spec, path), "none"))
		}
		if len(paths) == 0 {
			m.compareOf(id, "desired", present(was), present(is))
		}
	}
}

func present(digest string) string {
	if digest == "" {
		return "absent"
	}
	return short(digest)
}

// compareObjects compares what exists of what the plan touches.
func (m *mover) compareObjects() {
	type key struct {
		id     ID
		handle string
	}
	was, is := map[key]Object{}, map[key]Object{}
	var keys []key
	add := func(in map[key]Object, o Object) {
		o.ID = o.ID.Canonical()
		k := key{o.ID, o.Handle}
		in[k] = o
		keys = append(keys, k)
	}
	for _, o := range m.saved.Objects {
		add(was, o.object())
	}
	for _, o := range m.o.Objects {
		if m.touched[o.ID.Canonical()] {
			add(is, o)
		}
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(a.id.Compare(b.id), cmp.Compare(a.handle, b.handle)) })
	for _, k := range slices.Compact(keys) {
		a, before := was[k]
		b, now := is[k]
		switch {
		case !now:
			m.compareOf(k.id, shortHandle(k.handle), condition(a), "gone")
		case !before:
			m.compareOf(k.id, shortHandle(k.handle), "absent", condition(b))
		default:
			m.compareObject(k.id, a, b)
		}
	}
}

// compareObject compares two sights of one object.
func (m *mover) compareObject(id ID, a, b Object) {
	what := shortHandle(a.Handle) + " "
	m.compareOf(id, what+"state", condition(a), condition(b))
	m.compareOf(id, what+"name", a.Name, b.Name)
	m.compareOf(id, what+"digest", short(a.Digest), short(b.Digest))
	m.compareOf(id, what+"image", short(a.Image), short(b.Image))
	m.compareOf(id, what+"root", a.Root, b.Root)
	m.compareOf(id, what+"drift", codes(a.Drift), codes(b.Drift))
	m.compareOf(id, what+"ports", fmt.Sprint(a.Ports), fmt.Sprint(b.Ports))
	m.compareOf(id, what+"outcome", a.Outcome.condition(), b.Outcome.condition())
	m.compareOf(id, what+"liveness", string(a.Health.alive()), string(b.Health.alive()))
	if a.Owner != b.Owner || a.Role != b.Role || a.Run != b.Run || a.Session != b.Session || a.Keep != b.Keep || !maps.Equal(a.Inputs, b.Inputs) {
		m.compareOf(id, what+"labels", "as saved", "changed")
	}
}

// compareHostHooks compares what became of hooks on the host.
func (m *mover) compareHostHooks() {
	is := map[ID]HostHook{}
	for id, h := range m.o.HostHooks {
		if m.touched[id.Canonical()] {
			is[id.Canonical()] = h
		}
	}
	all := maps.Clone(m.saved.HostHooks)
	if all == nil {
		all = map[ID]HostHook{}
	}
	maps.Copy(all, is)
	for _, id := range sortedIDs(maps.Keys(all)) {
		m.compareOf(id, "hook on the host", m.saved.HostHooks[id].condition(), is[id].condition())
	}
}

// condition is what became of h; "" = it has never run.
func (h HostHook) condition() string {
	if h.State == "" {
		return ""
	}
	return fmt.Sprintf("%s %s", short(h.Digest), h.State)
}

// condition is how a command ended; "" = it has not.
func (o *Outcome) condition() string {
	if o == nil {
		return ""
	}
	text := fmt.Sprintf("exit %d at %s", o.Code, o.Finished.UTC().Format(time.RFC3339))
	if o.Timeout {
		text += ", out of time"
	}
	return text
}

// condition is the state of an object; one that has exited and has run since is
// in another.
func condition(o Object) string {
	if o.State != StateExited {
		return string(o.State)
	}
	text := fmt.Sprintf("exited with %d", o.ExitCode)
	if !o.Finished.IsZero() {
		text += " at " + o.Finished.UTC().Format(time.RFC3339)
	}
	return text
}

func codes(rs []Reason) string {
	var out []string
	for _, r := range rs {
		out = append(out, string(r.Code))
	}
	return strings.Join(out, " ")
}

func shortHandle(h string) string { return h[:min(12, len(h))] }

// compareFacts compares what the plan binds. A fact that was not known, or is
// not now, has not moved.
func (m *mover) compareFacts() {
	ins := slices.SortedFunc(maps.Keys(m.saved.Facts), Input.Compare)
	for _, in := range ins {
		was, is := Fact(m.saved.Facts[in]), m.o.Inputs[in]
		known := func(f Fact) bool { return f.State == FactKnown || f.State == FactMissing }
		if !known(was) || !known(is) || was.State == is.State && was.Value == is.Value {
			continue
		}
		switch {
		case in.Kind == InputImage:
			m.compare("image "+in.Name, factText(was), factText(is), "")
		case was.State == is.State: // fingerprints are nobody's business
			m.compare("secret "+secretName(in), "as saved", "changed", "")
		default:
			m.compare("secret "+secretName(in), string(was.State), string(is.State), "")
		}
	}
}

func factText(f Fact) string {
	if f.State == FactMissing {
		return "missing"
	}
	return short(f.Value)
}

// compareSteps finds what nothing else explains: what is planned for the touched
// resources now is what was planned for them.
func (m *mover) compareSteps() {
	if len(m.moved) > 0 {
		return
	}
	now := map[string]Step{}
	for _, st := range m.p.Steps {
		if m.touched[st.Target.Canonical()] {
			now[st.ID] = st
		}
	}
	for _, was := range m.saved.Steps {
		is, ok := now[was.ID]
		delete(now, was.ID)
		switch {
		case !ok:
			m.compareOf(was.Target.Canonical(), "step "+was.ID, "planned", m.whyNot(was.Target))
		case !m.sameStep(Step(was), is):
			m.compareOf(was.Target.Canonical(), "step "+was.ID, "planned", "planned otherwise")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		m.compareOf(now[id].Target.Canonical(), "step "+id, "not planned", "planned: "+now[id].Reason.Text)
	}
}

func (m *mover) whyNot(id ID) string {
	for _, c := range m.p.Held {
		if c.ID.Canonical() == id.Canonical() && len(c.Reasons) > 0 {
			return "held: " + c.Reasons[0].Text
		}
	}
	if len(m.p.Refused) > 0 {
		return "refused: " + m.p.Refused[0].Text
	}
	return "not planned"
}

// sameStep compares steps but for their reasons and the times of records. A fact
// that was not known then may be bound now, and what is bound to a resource
// follows from the steps of that.
func (m *mover) sameStep(was, is Step) bool {
	before, now := maps.Clone(was.Bound), maps.Clone(is.Bound)
	aside := func(k, _ string) bool {
		in, err := ParseInput(k)
		late := was.Bound[k] == "" && Fact(m.saved.Facts[in]).State != FactKnown
		return err == nil && (late || in.Kind == InputNeed)
	}
	maps.DeleteFunc(before, aside)
	maps.DeleteFunc(now, aside)
	if !maps.Equal(before, now) || !sameRecord(was.Record, is.Record) {
		return false
	}
	was.Bound, was.Record, was.Reason = nil, nil, Reason{}
	is.Bound, is.Record, is.Reason = nil, nil, Reason{}
	if len(was.After)+len(is.After) == 0 {
		was.After, is.After = nil, nil
	}
	if len(was.Ports)+len(is.Ports) == 0 {
		was.Ports, is.Ports = nil, nil
	}
	was.Target, is.Target = was.Target.Canonical(), is.Target.Canonical()
	return reflect.DeepEqual(was, is)
}

func sameRecord(a, b *Record) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID.Canonical() == b.ID.Canonical() && a.Kind == b.Kind && a.Key == b.Key && a.Forget == b.Forget &&
		maps.Equal(a.withoutTimes(), b.withoutTimes())
}

// withoutTimes is the data of r but for what hangs on when it was planned.
func (r *Record) withoutTimes() map[string]string {
	data := maps.Clone(r.Data)
	switch r.Kind {
	case RecordRun:
		delete(data, runStarted)
		delete(data, runFinished)
	case RecordSlot:
		delete(data, "last")
	case RecordRestarts:
		delete(data, "streak") // what runs for long enough begins a new one
	}
	return data
}
