// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// choose sets which object goes on under the ID and which are its rivals. An
// object can go on if its digest is that of the spec, its inputs are those that
// are known, it has not departed from what it was made as, and the runtime
// still has hold of it.
func (v *view) choose(d *decision, all decisions) {
	objs := slices.Clone(v.objects[d.id])
	image, idle := d.id.Kind.Role() == RoleImage, v.stopWished(d.res)
	if image { // of those that were made of the same the last one counts
		slices.Reverse(objs)
	}
	seen := map[string]bool{}
	slices.SortStableFunc(objs, func(a, b Object) int { return d.rank(a, idle) - d.rank(b, idle) })
	for _, o := range objs {
		faults := v.faults(d.res, o, all)
		if gen := Generation(o.Digest, o.Inputs); image && seen[gen] {
			faults = append(faults, Reason{CodeDuplicate, "a later one is made of the same", d.origin})
		} else {
			seen[gen] = true
		}
		if len(faults) == 0 && d.current == nil {
			d.current = &o
			continue
		}
		d.rivals = append(d.rivals, rival{o, faults})
	}
	if d.current != nil || d.res.Replace != Never {
		return
	}
	for i, r := range d.rivals {
		if r.object.State != StateBroken {
			d.current = &r.object
			d.rivals = slices.Delete(d.rivals, i, i+1)
			d.note = &hold{reasons: append(slices.Clone(r.faults),
				Reason{CodeKept, "it differs and is never replaced", d.origin}), benign: true}
			return
		}
	}
}

// rank orders the objects of one ID by how little it takes to go on with them,
// which is nothing where it is to be idle.
func (d *decision) rank(o Object, idle bool) int {
	var rank int
	switch {
	case o.State == StateBroken:
		rank = 6
	case o.State == StateRunning, o.State == StateExists, idle:
		rank = 0
	case o.State == StatePaused:
		rank = 2
	default:
		rank = 4
	}
	if o.Name != d.res.Name && d.id.Kind.Role() != RoleImage {
		rank++
	}
	return rank
}

// faults returns why o cannot go on, intent before drift.
func (v *view) faults(r *Resource, o Object, all decisions) []Reason {
	var rs []Reason
	fault := func(code Code, text string) { rs = append(rs, Reason{code, text, r.Origin}) }
	if o.Digest != v.digestAs(r, o.Digest) {
		fault(CodeSpec, v.specText(r, o))
	}
	for _, in := range r.Spec.Inputs() {
		bound, fact := o.Inputs[in.String()], v.observed.Inputs[in]
		if bound == "" || fact.State != FactKnown || fact.Value == bound {
			continue
		}
		if in.Kind == InputImage {
			fault(CodeImage, fmt.Sprintf("%s: %s → %s", in.Name, short(bound), short(fact.Value)))
		} else {
			fault(CodeSecret, fmt.Sprintf("secret %s changed", secretName(in)))
		}
	}
	for _, n := range r.Needs {
		if !n.Bound {
			continue
		}
		if text := rebound(o, n, all[n.On]); text != "" {
			rs = append(rs, Reason{CodeNeeds, text, n.Origin})
		}
	}
	if o.Name != r.Name && r.ID.Kind.Role() == RoleSupport {
		fault(CodeRenamed, fmt.Sprintf("its name is %s and should be %s", o.Name, r.Name))
	}
	if wish, asked := v.wished(r.ID, WishRefresh); asked && r.ID.Kind.Role() == RoleInstance && !o.Created.After(wish.At) {
		fault(CodeWish, "reconcile refresh asked for a new one")
	}
	if o.State == StateBroken {
		fault(CodeBroken, "the runtime lost track of it")
	}
	return append(rs, departures(r, o)...)
}

// rebound returns why what o is bound to for n is another one than on, what goes
// on under that ID; "" = it is not. Something made anew from the same spec and
// inputs is the same. An object that does not say what it is bound to was made
// before the need was bound: which one it has seen cannot be told, then or later.
func rebound(o Object, n Need, on *decision) string {
	if on == nil {
		return ""
	}
	bound, gen := o.Inputs[Input{InputNeed, n.On.String()}.String()], on.generation()
	switch {
	case gen != "" && bound != "" && on.madeAgain(o):
		return n.On.String() + ", which it is made of, is made again"
	case gen == "" || bound == gen:
		return ""
	case bound == "":
		return "it was made before it was to be bound to " + n.On.String()
	}
	return n.On.String() + ", which it is bound to, is another one"
}

// generation names what goes on under the ID after this plan; "" = nothing.
func (d *decision) generation() string {
	switch {
	case d.hold == nil && d.create != "":
		return Generation(d.digest, d.bound)
	case d.current != nil:
		return Generation(d.current.Digest, d.current.Inputs)
	}
	return ""
}

// departures returns the drift that the runtime saw and that only a new object
// mends. What the planner sees for itself is left out.
func departures(r *Resource, o Object) []Reason {
	var rs []Reason
	for _, dr := range o.Drift {
		switch dr.Code {
		case CodeMissing:
			if r.ID.Kind.Role() != RoleImage {
				continue
			}
		case CodeStopped, CodePaused, CodeRenamed, CodeDuplicate, CodeBroken, CodeUnfinished:
			continue
		}
		dr.Origin = cmp.Or(dr.Origin, r.Origin)
		rs = append(rs, dr)
	}
	slices.SortFunc(rs, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Text, b.Text))
	})
	return rs
}

// intent are the codes that say that the wish changed; every other fault is
// drift.
func intent(code Code) bool {
	switch code {
	case CodeNew, CodeSpec, CodeImage, CodeSecret, CodeRemoved, CodeDestroy, CodeNeeds, CodeUnfinished, CodeWish, CodeHook:
		return true
	}
	return false
}

func (v *view) specText(r *Resource, o Object) string {
	if !KnownDigest(o.Digest) {
		return fmt.Sprintf("its digest %q has a version that this build does not know", short(o.Digest))
	}
	paths := v.specPaths(r, o)
	switch {
	case len(paths) == 0:
		return "the spec differs"
	case len(paths) > 3:
		return fmt.Sprintf("the spec differs in %s and %d more", strings.Join(paths[:3], ", "), len(paths)-3)
	}
	return "the spec differs in " + strings.Join(paths, ", ")
}

// short cuts a digest for people.
func short(digest string) string {
	algo, hex, ok := strings.Cut(digest, ":")
	if !ok || len(hex) <= 12 {
		return digest
	}
	return algo + ":" + hex[:12]
}

// secretName is what people call a secret: NAME, or [NAMESPACE/]NAME/KEY. Where its
// value comes from goes before that.
func secretName(in Input) string {
	for _, source := range []string{"secret:", "key:", "keys:", "doc:"} {
		if name, ok := strings.CutPrefix(in.Name, source); ok {
			return name
		}
	}
	return in.Name
}
