// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
)

// view is the input of [New], indexed and in one spelling: IDs canonical,
// everything sorted, each thing once. It does not change once it is built and
// shares nothing that the planner writes with the caller.
type view struct {
	workspace string
	root      string
	source    string // origin of what nothing asks for
	empty     bool
	noFile    bool
	destroy   bool
	volumes   bool
	partial   []Reason
	unseen    []Reason // what could not be observed
	opts      Options

	ids       []ID // everything desired or observed, sorted
	desired   map[ID]*Resource
	digests   map[ID]string // of the desired specs
	cyclic    map[ID]bool   // needs lead from it back to itself
	order     []ID          // desired, what is needed first, ties by ID
	needed    map[ID]Reason // who needs it ready, the first by ID
	clashes   map[ID]ID     // another resource wants the same name
	objects   map[ID][]Object
	bearers   map[bearing][]Object // ours, by name
	foreign   map[bearing]Object
	inSession []Object         // those of dispatch sessions, by name
	wanted    map[bearing]bool // proper names
	busy      map[ID]bool
	backoff   map[ID]Backoff
	existed   map[ID]bool // after the last pass
	records   map[recordKey]Record
	keyed     map[keyedRecord]Record
	hostHooks map[ID]HostHook
	outcomes  map[ID]map[string]Outcome
	leftovers map[ID]bool       // of which runs, or what is remembered of them, are to be removed
	anyLost   bool              // an object shows that records were lost
	runs      map[ID][]run      // in the order in which they were asked for
	revisions map[ID][]Revision // the oldest first
	usable    map[ID][]Revision // of revisions, see [Revision.Usable]
	// tasks counts what is desired and runs to an end, by all that it can be called
	// without its kind; nil = not counted yet.
	tasks    map[string]int
	observed Observed // for Inputs, Specs and the owner

	approvals Approvals
	// approvedHere: only what was approved on this host counts.
	approvedHere bool
	registries   map[string]bool // that images of containers came from which are there
}

// recordKey finds the records that have no key of their own.
type recordKey struct {
	id   ID
	kind RecordKind
}

// keyedRecord finds the others.
type keyedRecord struct {
	recordKey
	key string
}

// bearing is a name within its space: each support kind has a space of its
// own, images have another, and all instances are containers.
type bearing struct {
	space Kind
	name  string
}

func bearingOf(id ID, name string) bearing {
	if id.Kind.Role() != RoleInstance {
		return bearing{id.Kind, name}
	}
	return bearing{Manifest, name}
}

func newView(d Desired, o Observed, opts Options) *view {
	v := &view{
		workspace: d.Workspace, root: d.Root, source: cmp.Or(d.Source, "-"),
		empty: d.Empty, noFile: d.NoFile, destroy: d.Destroy, volumes: d.Volumes,
		opts: opts, observed: o, approvals: canonicalApprovals(d.Approvals), registries: map[string]bool{},
		desired: map[ID]*Resource{}, digests: map[ID]string{}, needed: map[ID]Reason{},
		clashes: map[ID]ID{}, objects: map[ID][]Object{}, bearers: map[bearing][]Object{},
		foreign: map[bearing]Object{}, wanted: map[bearing]bool{},
		busy: map[ID]bool{}, backoff: map[ID]Backoff{}, existed: map[ID]bool{}, records: map[recordKey]Record{},
		keyed: map[keyedRecord]Record{}, hostHooks: map[ID]HostHook{}, outcomes: map[ID]map[string]Outcome{},
	}
	v.partial, v.unseen = v.sortReasons(d.Partial), v.sortReasons(o.Incomplete)
	v.indexDesired(d.Resources)
	v.indexObserved(o)
	v.indexRuns()
	v.indexRevisions()
	all := map[ID]bool{}
	for id := range v.desired {
		all[id] = true
	}
	for id := range v.objects {
		all[id] = true
	}
	v.leftovers = v.leftBehind()
	v.addDispatched(v.leftovers)
	maps.Copy(all, v.leftovers)
	v.ids = sortedIDs(maps.Keys(all))
	v.order, v.cyclic = orderNeeds(v.desired)
	v.indexAuthority()
	return v
}

func (v *view) indexDesired(rs []Resource) {
	rs = slices.Clone(rs)
	slices.SortStableFunc(rs, func(a, b Resource) int {
		return cmp.Or(a.ID.Compare(b.ID), cmp.Compare(a.Origin, b.Origin))
	})
	names := map[bearing]ID{}
	for _, r := range rs {
		r.ID = r.ID.Canonical()
		if v.desired[r.ID] != nil {
			continue
		}
		r.Origin = cmp.Or(r.Origin, v.source)
		r.Needs = canonicalNeeds(r.Needs, r.Origin)
		v.desired[r.ID] = &r
		v.digests[r.ID] = r.Spec.Digest()
		if r.Run == nil || r.Run.Cron == nil { // runs of a schedule have names of their own
			b := bearingOf(r.ID, r.Name)
			v.wanted[b] = true
			if first, taken := names[b]; taken {
				v.clashes[r.ID] = first
			} else {
				names[b] = r.ID
			}
		}
		for _, n := range r.Needs {
			if _, known := v.needed[n.On]; !known && n.Until == UntilReady {
				v.needed[n.On] = needReason(r.ID, n)
			}
		}
	}
}

func canonicalNeeds(needs []Need, origin string) []Need {
	needs = slices.Clone(needs)
	for i := range needs {
		needs[i].On = needs[i].On.Canonical()
		needs[i].Until = cmp.Or(needs[i].Until, UntilExists)
		needs[i].Origin = cmp.Or(needs[i].Origin, origin)
	}
	slices.SortStableFunc(needs, func(a, b Need) int {
		return cmp.Or(a.On.Compare(b.On), cmp.Compare(a.Until, b.Until))
	})
	return needs
}

// indexObserved keeps the objects that the planner owns. Those of a dispatch
// session only hold their names.
func (v *view) indexObserved(o Observed) {
	type key struct {
		id     ID
		handle string
	}
	seen := map[key]bool{}
	for _, obj := range o.Objects {
		obj.ID = obj.ID.Canonical()
		k := key{obj.ID, obj.Handle}
		if seen[k] {
			continue
		}
		seen[k] = true
		b := bearingOf(obj.ID, obj.Name)
		if obj.Session != "" {
			v.foreign[b] = obj
			v.inSession = append(v.inSession, obj)
			continue
		}
		v.objects[obj.ID] = append(v.objects[obj.ID], obj)
		v.bearers[b] = append(v.bearers[b], obj)
	}
	for _, f := range o.Foreign {
		v.foreign[bearingOf(f.ID, f.Name)] = f
	}
	slices.SortFunc(v.inSession, func(a, b Object) int { return cmp.Or(cmp.Compare(a.Name, b.Name), compareObjects(a, b)) })
	for _, objs := range v.objects {
		slices.SortFunc(objs, compareObjects)
	}
	for _, objs := range v.bearers {
		slices.SortFunc(objs, compareObjects)
	}
	for _, r := range o.Records.Records {
		key := recordKey{r.ID.Canonical(), r.Kind}
		if r.Key == "" {
			v.records[key] = r
		} else {
			v.keyed[keyedRecord{key, r.Key}] = r
		}
	}
	for id, h := range o.HostHooks {
		v.hostHooks[id.Canonical()] = h
	}
	for id, ended := range o.Outcomes {
		v.outcomes[id.Canonical()] = ended
	}
	for _, id := range o.Busy {
		v.busy[id.Canonical()] = true
	}
	for _, b := range o.Backoff {
		b.ID = b.ID.Canonical()
		if have, twice := v.backoff[b.ID]; !twice || b.compare(have) > 0 {
			v.backoff[b.ID] = b
		}
	}
	for _, id := range o.Converged {
		v.existed[id.Canonical()] = true
	}
}

func compareObjects(a, b Object) int {
	return cmp.Or(a.ID.Compare(b.ID), a.Created.Compare(b.Created), cmp.Compare(a.Handle, b.Handle))
}

// digestAs is the digest of what r asks for, in the version of label.
func (v *view) digestAs(r *Resource, label string) string {
	version, _, _ := strings.Cut(label, ":")
	if digest := v.digests[r.ID]; strings.HasPrefix(digest, version+":") {
		return digest
	}
	return r.Spec.DigestAs(label)
}

// origin is the place to name for id.
func (v *view) origin(id ID) string {
	if r := v.desired[id]; r != nil {
		return r.Origin
	}
	return v.source
}

// sortReasons returns rs sorted, each with an origin.
func (v *view) sortReasons(rs []Reason) []Reason {
	rs = slices.Clone(rs)
	for i := range rs {
		rs[i].Origin = cmp.Or(rs[i].Origin, v.source)
	}
	slices.SortFunc(rs, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Text, b.Text))
	})
	return rs
}

// sortedIDs sorts ids as their text does.
func sortedIDs(ids iter.Seq[ID]) []ID {
	byText := map[string]ID{}
	for id := range ids {
		byText[id.String()] = id
	}
	sorted := make([]ID, 0, len(byText))
	for _, text := range slices.Sorted(maps.Keys(byText)) {
		sorted = append(sorted, byText[text])
	}
	return sorted
}
