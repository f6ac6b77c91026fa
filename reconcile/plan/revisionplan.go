// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// revisionPlan is what is to happen to a TaskAgent.
type revisionPlan struct {
	prepare  *Revision // what executions of it are made from is not all there; nil = it is
	record   *Record   // a new revision, once it is prepared
	settings *Record   // how it is given work from now on
	why      Reason    // of settings
	// waits: the settings are of an agent that takes requests only with record, or are
	// of no use to what it is made from without.
	waits   bool
	remove  bool // it takes no request any more
	forgets []Record
}

// indexRevisions finds the revisions that are recorded, and has their specs known
// as those of objects are. What is usable is found out here alone: that takes time.
func (v *view) indexRevisions() {
	v.revisions, v.usable = map[ID][]Revision{}, map[ID][]Revision{}
	v.observed.Specs = maps.Clone(v.observed.Specs)
	for key, rec := range v.keyed {
		rec.ID = key.id
		rev, ok := rec.Revision()
		if !ok {
			continue
		}
		v.revisions[key.id] = append(v.revisions[key.id], rev)
		if !rev.Usable() {
			continue
		}
		v.usable[key.id] = append(v.usable[key.id], rev)
		if v.observed.Specs == nil {
			v.observed.Specs = map[string]json.RawMessage{}
		}
		v.observed.Specs[rev.Digest] = rev.Spec.canonicalJSON()
		v.registries[registryOf(rev.Spec.Container.Image)] = true
	}
	for _, of := range []map[ID][]Revision{v.revisions, v.usable} {
		for _, revs := range of {
			slices.SortFunc(revs, func(a, b Revision) int { return cmp.Compare(a.Number, b.Number) })
		}
	}
}

// settingsOf is how the TaskAgent is given work; false = it is not.
func (v *view) settingsOf(id ID) (Record, bool) {
	rec, ok := v.records[recordKey{id, RecordDispatch}]
	return rec, ok
}

// convergeRevisions decides about a TaskAgent: whether there is to be a new
// revision, and whether it is given work otherwise than before. What keeps a
// revision from getting ready keeps the one before it.
func (v *view) convergeRevisions(d *decision, all decisions) {
	d.revision = &revisionPlan{}
	if d.hold = v.busyHold(d.id, d.origin); d.hold != nil {
		return
	}
	if slices.ContainsFunc(v.objects[d.id], v.lost) {
		d.hold = &hold{reasons: []Reason{{CodeRecordsLost, lostText, d.origin}}, policy: true}
		return
	}
	if d.hold = v.standing(d.res); d.hold != nil {
		return
	}
	if d.res.Want == WantStopped {
		d.note = &hold{reasons: []Reason{{CodeKept, "nothing is made of it now", d.origin}}, benign: true}
		return
	}
	v.wishRevision(d, all)
	v.wishSettings(d)
	if h := v.vetoRevision(d, all); h != nil {
		v.withholdRevision(d, h)
	} else if d.revision.record != nil {
		v.authorizeNew(d, v.withholdRevision)
	}
	v.tidyRevisions(d)
	if d.idle = v.stopWished(d.res); d.idle && d.hold == nil {
		d.noteStopped()
	}
	if v.braked(d.id) {
		d.records = append(d.records, v.brakeRecord(d.id, "false"))
	}
}

// wishRevision decides whether a new revision is to be made, or what the last one
// takes is to be had again.
func (v *view) wishRevision(d *decision, all decisions) {
	last := newest(v.revisions[d.id])
	if last == nil {
		d.because(CodeNew, "new revision "+v.newRevision(d, nil, all))
		d.action(ActionCreate)
		return
	}
	was := last.object(d.res)
	faults := append(v.faults(d.res, was, all), v.unboundFaults(d.res, *last)...)
	if rev := newest(v.usable[d.id]); rev == nil || rev.Number != last.Number {
		faults = []Reason{{CodeBroken, fmt.Sprintf("what is recorded of %s makes no sense", last.Name()), d.origin}}
	}
	if len(faults) == 0 {
		v.wishPrepared(d, *last)
		return
	}
	d.old, d.paths = &was, v.replacePaths(d.res, rival{was, faults})
	d.because(faults[0].Code, fmt.Sprintf("new revision %s (%s)", v.newRevision(d, last, all), d.why(*last, faults)))
	for _, f := range faults {
		d.because(f.Code, f.Text)
		if !intent(f.Code) {
			d.drift = append(d.drift, f)
		}
	}
	d.action(ActionReplace)
}

// newest is the last of the revisions of an ID; nil = there is none.
func newest(revs []Revision) *Revision {
	if len(revs) == 0 {
		return nil
	}
	return &revs[len(revs)-1]
}

// object is the revision as what could go on.
func (r Revision) object(res *Resource) Object {
	return Object{ID: r.ID, Name: res.Name, Digest: r.Digest, Inputs: r.Inputs, State: StateExists, Created: r.Ready}
}

// unboundFaults are the inputs that were not known as the revision was made: by
// them it could not be told that they move.
func (v *view) unboundFaults(r *Resource, last Revision) []Reason {
	var rs []Reason
	had := last.Spec.Inputs()
	for _, in := range r.Spec.Inputs() {
		if !slices.Contains(had, in) || last.Inputs[in.String()] != "" || last.assumed() {
			continue
		}
		if f := v.observed.Inputs[in]; f.State == FactKnown {
			rs = append(rs, Reason{CodeImage, fmt.Sprintf("%s: it was not known which one it is, and is %s", in.Name, short(f.Value)), r.Origin})
		}
	}
	return rs
}

// newRevision plans the revision after last, and returns its name.
func (v *view) newRevision(d *decision, last *Revision, all decisions) string {
	rev := Revision{ID: d.id, Number: 1, Digest: d.digest, Spec: d.res.Spec, Inputs: v.bind(d.res, all), Ready: v.opts.Now}
	if last != nil {
		rev.Number = last.Number + 1
	}
	rec := rev.Record()
	d.create, d.bound = rev.Name(), rev.Inputs
	d.revision.prepare, d.revision.record = &rev, &rec
	if last != nil && last.assumed() { // how many there are is for a host to say
		return "of " + d.id.Name
	}
	return rev.Name()
}

// wishPrepared has an image that has gone from this host since pulled again.
func (v *view) wishPrepared(d *decision, last Revision) {
	ref, bound := last.Image()
	f := v.observed.Inputs[Input{InputImage, ref}]
	if bound == "" || f.State != FactKnown || f.Value != bound || f.Local || last.assumed() {
		return
	}
	d.departed(CodeMissing, fmt.Sprintf("the image of %s is gone from this host", last.Name()))
	d.action(ActionUpdate)
	d.revision.prepare = &last
}

// wishSettings decides whether a TaskAgent is given work otherwise than before. Of
// one that takes no requests yet the settings come with its revision.
func (v *view) wishSettings(d *decision) {
	now := Record{ID: d.id, Kind: RecordDispatch, At: v.opts.Now, Data: d.res.Dispatch.Data()}
	was, active := v.settingsOf(d.id)
	switch {
	case active && maps.Equal(was.Data, now.Data):
		return
	case active:
		text := settingsText(was.Data, now.Data)
		if d.revision.record == nil {
			text += " (no new revision)"
		}
		d.because(CodeSettings, text)
		if len(d.actions) == 0 {
			d.action(ActionUpdate)
		}
	case d.revision.record == nil:
		last := newest(v.revisions[d.id])
		d.reasons, d.drift, d.actions = nil, nil, []Action{ActionCreate}
		d.because(CodeNew, "it takes requests again, by revision "+last.Name())
		d.revision.prepare = last // its image may have gone meanwhile
	}
	d.revision.settings, d.revision.why = &now, d.reasons[len(d.reasons)-1]
	d.revision.waits = !active || d.revision.record != nil && ofTemplate(was.Data, now.Data)
}

// ofTemplate reports whether settings differ by what the process has to be written
// for: where its input comes from, and whether it is started before there is any.
func ofTemplate(was, now map[string]string) bool {
	return was[settingMode] != now[settingMode] || was[settingWarmStarted] != now[settingWarmStarted]
}

// settingsText names what differs between the data of two [RecordDispatch].
func settingsText(was, now map[string]string) string {
	both := maps.Clone(was)
	maps.Copy(both, now)
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(both)) {
		if was[key] == now[key] {
			continue
		}
		if key == settingScheduleInput {
			parts = append(parts, key)
			continue
		}
		name := key
		if key == settingStateLimit {
			name = "state.sizeLimitMB"
		}
		parts = append(parts, fmt.Sprintf("%s %s → %s", name, settingText(key, was[key]), settingText(key, now[key])))
	}
	return strings.Join(parts, ", ")
}

// settingText is a setting for people.
func settingText(key, value string) string {
	switch key {
	case settingMaxConcurrent:
		return cmp.Or(value, "no limit")
	case settingStateLimit:
		if bytes, err := strconv.ParseInt(value, 10, 64); err == nil {
			return strconv.FormatInt(bytes>>20, 10)
		}
		return "no limit"
	case settingWarmSize:
		return cmp.Or(value, "0")
	case settingStreaming:
		return cmp.Or(value, "false")
	}
	return cmp.Or(value, "none")
}

// tidyRevisions has forgotten what is older than the revisions that are kept, and
// removed what nobody dispatches to.
func (v *view) tidyRevisions(d *decision) {
	keep := revisionsKept
	if d.revision.record != nil {
		keep--
	}
	revs := v.revisions[d.id]
	for _, rev := range revs[:max(0, len(revs)-keep)] {
		rec := rev.Record()
		rec.At, rec.Data, rec.Forget = v.opts.Now, nil, true
		d.revision.forgets = append(d.revision.forgets, rec)
	}
	for _, o := range v.objects[d.id] {
		if o.Keep {
			continue
		}
		d.because(CodeUnfinished, fmt.Sprintf("%s belongs to no execution", o.Name))
		d.action(ActionDelete)
		d.doomed = append(d.doomed, o)
	}
}
