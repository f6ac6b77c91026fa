// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// inputsShown is how many of the things that changed are named.
const inputsShown = 3

// noteInputs says of the last run that what it was made of is no longer what is
// asked for. It is not repeated for that.
func (v *view) noteInputs(d *decision, last run) {
	if last.state.Digest == "" {
		return
	}
	var what []string
	if last.state.Digest != v.digestAs(d.res, last.state.Digest) {
		what = v.changedFields(d, last)
	}
	for _, in := range d.res.Spec.Inputs() {
		was, now := last.state.Inputs[in.String()], v.observed.Inputs[in]
		switch {
		case was == "" || now.State != FactKnown || now.Value == was:
		case in.Kind == InputSecret:
			what = append(what, "secret "+secretName(in))
		default:
			what = append(what, string(in.Kind)+" "+in.Name)
		}
	}
	if len(what) == 0 {
		return
	}
	if len(what) > inputsShown {
		what = append(what[:inputsShown:inputsShown], fmt.Sprintf("%d more", len(what)-inputsShown))
	}
	since := "it ran"
	if last.goesOn() {
		since = "it was started"
	}
	if d.res.Run.Cron != nil {
		text := fmt.Sprintf("inputs changed since %s: %s; its next run is made of them", since, strings.Join(what, ", "))
		d.note = &hold{reasons: []Reason{{CodeInputs, text, d.origin}}, benign: true}
		return
	}
	text := fmt.Sprintf("inputs changed since %s: %s; reconcile task %s --rerun repeats it", since, strings.Join(what, ", "), v.taskName(d.id))
	d.note = &hold{reasons: []Reason{{CodeInputs, text, d.origin}}, benign: true}
}

// taskName is what a person calls a Task: without its kind, unless another one is called
// that as well.
func (v *view) taskName(id ID) string {
	if v.tasks == nil {
		v.tasks = map[string]int{}
		for _, res := range v.desired {
			if res.Run == nil {
				continue
			}
			v.tasks[res.ID.Name]++
			if res.ID.Namespace != "" {
				v.tasks[res.ID.Namespace+"/"+res.ID.Name]++
			}
		}
	}
	_, name, _ := strings.Cut(id.String(), "/")
	if v.tasks[name] > 1 {
		return id.String()
	}
	return name
}

// changedFields names what differs between the spec that a run was made from and
// the one that is asked for: fields, and the files in the container by what a person
// calls them.
func (v *view) changedFields(d *decision, last run) []string {
	var before Spec
	if json.Unmarshal(v.observed.Specs[last.state.Digest], &before) != nil || before.Container == nil {
		return []string{"its spec"}
	}
	was, is := before.files(), d.res.Spec.files()
	both := maps.Clone(was)
	maps.Copy(both, is)
	var what []string
	for _, at := range slices.Sorted(maps.Keys(both)) {
		if was[at].Digest != is[at].Digest || was[at].TreeHash != is[at].TreeHash || was[at].Mode != is[at].Mode || was[at].Path != is[at].Path {
			what = append(what, both[at].Path)
		}
	}
	for _, field := range v.specPaths(d.res, Object{ID: d.id, Digest: last.state.Digest}) {
		if !inFiles(field, before) && !inFiles(field, d.res.Spec) {
			what = append(what, field)
		}
	}
	if len(what) == 0 {
		return []string{"its spec"}
	}
	return what
}

// files are those that a container of s is made with, by where they are in it. The
// path of each is its name for people: from the folder it works in, if it is there.
func (s Spec) files() map[string]File {
	files := map[string]File{}
	for _, m := range s.mounts() {
		for _, f := range m.Files {
			at := path.Join(m.Target, f.Path)
			if m.ReadOnly || f.Path == "" {
				f.Path = at
			}
			files[at] = f
		}
	}
	return files
}

// inFiles reports whether a field of s is one of what its files are mounted with.
func inFiles(field string, s Spec) bool {
	return slices.ContainsFunc(s.mounts(), func(m Mount) bool {
		mount := "mounts." + m.Target
		return m.Type == MountFiles && (field == mount || strings.HasPrefix(field, mount+".files"))
	})
}
