// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// makes returns the instance for which r, an image, is made.
func (r *Resource) makes() (of ID, ok bool) {
	if r.Spec.Image == nil {
		return ID{}, false
	}
	of, err := ParseID(r.Spec.Image.Of)
	return of.Canonical(), err == nil
}

// madeAgain reports whether d, an image, is not the one that o is made of, though
// it is made of the same.
func (d *decision) madeAgain(o Object) bool {
	switch {
	case d.id.Kind.Role() != RoleImage:
		return false
	case d.hold == nil && d.create != "":
		return true
	}
	return d.current != nil && o.Image != "" && bareID(o.Image) != bareID(d.current.Handle) && d.current.Handle != assumedHandle
}

func bareID(image string) string { return strings.TrimPrefix(image, "sha256:") }

// holdImages holds back each image of which nothing is to be made now: what runs
// to make it is part of the instance, which may not be allowed.
func (v *view) holdImages(all decisions) {
	for _, id := range v.order {
		d := all[id]
		of, made := d.res.makes()
		user := all[of]
		if !made || user == nil || !d.acts() || user.acts() && !user.stopsOnly() {
			continue
		}
		if user.hold == nil && !user.stops() {
			continue // it goes on with what it has
		}
		h := &hold{reasons: []Reason{{CodeBlockedBy, fmt.Sprintf("it is made for %s, of which nothing is made now", of), d.origin}}}
		h.inherit(user)
		d.hold = h
	}
}

// stopsOnly reports whether nothing is made of what is desired.
func (d *decision) stopsOnly() bool { return d.stops() && d.create == "" }

// collectImages decides which images go: those that are superseded, or that
// nothing asks for, and that no container uses after this plan.
func (v *view) collectImages(all decisions) {
	for _, id := range v.ids {
		d := all[id]
		if d == nil || d.id.Kind.Role() != RoleImage || d.hold != nil {
			continue
		}
		if d.res == nil {
			v.pruneImages(d, all)
		} else {
			v.collectRivals(d, all)
		}
	}
}

// pruneImages leaves out of what is removed what is in use.
func (v *view) pruneImages(d *decision, all decisions) {
	var stays *hold
	d.doomed = slices.DeleteFunc(slices.Clone(d.doomed), func(o Object) bool {
		h := v.imageUsed(d, o, all)
		if h != nil && stays == nil {
			stays = h
		}
		return h != nil
	})
	if len(d.doomed) == 0 {
		d.hold = stays
	} else {
		d.note = stays
	}
}

// collectRivals removes the images beside the one that goes on. While not all is
// known that may use them, they stay.
func (v *view) collectRivals(d *decision, all decisions) {
	if len(v.unseen) > 0 || v.backedOff(d.id, d.digest, d.origin) != nil || slices.ContainsFunc(v.objects[d.id], v.lost) {
		return
	}
	for _, r := range d.rivals {
		if h := v.imageUsed(d, r.object, all); h != nil {
			if d.note == nil && h.benign {
				d.note = h
			}
			continue
		}
		if d.create == "" {
			d.action(ActionDelete)
			d.because(CodeUnfinished, fmt.Sprintf("%s is superseded, and nothing uses it", shortHandle(bareID(r.object.Handle))))
		}
		d.doomed = append(d.doomed, r.object)
	}
	slices.SortFunc(d.doomed, func(a, b Object) int { return cmp.Compare(a.Handle, b.Handle) })
}

// imageUsed returns why an image stays, or nil. It is benign where somebody
// wished so, and not worth a word where a container of ours goes on with it.
func (v *view) imageUsed(d *decision, image Object, all decisions) *hold {
	kept := func(text string) *hold {
		return &hold{reasons: []Reason{{CodeKept, text, d.origin}}, benign: true}
	}
	switch {
	case image.Keep:
		return kept("an image is marked to be kept")
	case image.UsedBy != "":
		return kept(fmt.Sprintf("the container %s, which is not ours, uses an image that was made for it", image.UsedBy))
	}
	for _, o := range v.observed.Objects {
		on := all[o.ID.Canonical()]
		if !o.usesImage(image) || on != nil && on.acts() && on.dooms(o) {
			continue
		}
		h := &hold{reasons: []Reason{{CodeBlockedBy, o.ID.Canonical().String() + " stays and uses it", d.origin}}}
		if on != nil {
			h.inherit(on)
		} else {
			h.benign = o.Session != ""
		}
		if d.res != nil {
			h.benign = false
		}
		return h
	}
	return nil
}

// usesImage reports whether o is a container that is made of image.
func (o Object) usesImage(image Object) bool {
	if o.ID.Kind.Role() != RoleInstance {
		return false
	}
	if o.Image != "" {
		return bareID(o.Image) == bareID(image.Handle)
	}
	bound := o.Inputs[Input{InputNeed, image.ID.Canonical().String()}.String()]
	return bound != "" && bound == Generation(image.Digest, image.Inputs)
}

func (d *decision) dooms(o Object) bool {
	return slices.ContainsFunc(d.doomed, func(p Object) bool { return p.ID == o.ID.Canonical() && p.Handle == o.Handle })
}

// orderImages has images made once the hook on the host has run and the instance
// is prepared, and has those that go do so after all that used them, and after
// what takes the place of that has been started.
func (g *graph) orderImages() {
	for _, id := range g.v.ids {
		d := g.all[id]
		if d == nil || d.hold != nil || id.Kind.Role() != RoleImage {
			continue
		}
		started := ""
		if d.res != nil {
			of, _ := d.res.makes()
			if user := g.all[of]; user != nil {
				started = user.made.last
				if d.create != "" {
					g.after(d.made.create, user.made.host, user.made.prepare)
				}
			}
		}
		for _, o := range d.doomed {
			gone := deleteOf(o)
			if g.steps[gone] == nil {
				g.add(Step{Op: OpDelete, Target: id, Object: o.Handle, Reason: d.reason()}, "")
			}
			g.after(gone, d.made.create, started)
			g.orderImageDelete(gone, o)
		}
	}
}

func (g *graph) orderImageDelete(gone string, image Object) {
	for _, id := range g.v.ids {
		user := g.all[id]
		if user == nil || !user.acts() || id.Kind.Role() != RoleInstance {
			continue
		}
		for _, o := range user.doomed {
			if o.usesImage(image) {
				g.after(gone, deleteOf(o), user.made.last)
			}
		}
	}
}
