// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"reconcile/reconcile/plan"
)

// tagLen is how much of a generation is the tag of a derived image.
const tagLen = 12

// superseded ends the tag of a derived image that was made once more.
const superseded = ".old"

// derivedTag is the tag of the derived image o.
func derivedTag(o plan.Object) string { return plan.Generation(o.Digest, o.Inputs)[:tagLen] }

// derivedName finds the names under which the derived image o is ours, among all
// that it has. Who commits a container of ours has an image with all its labels,
// but not with one of these names.
func derivedName(o plan.Object, names []string) (repo string, ours []string, current bool) {
	tag := derivedTag(o)
	for _, name := range names {
		before, after, ok := cutTag(name)
		if !ok || !strings.HasPrefix(before, derivedPrefix+o.Workspace+"/") {
			continue
		}
		if after == tag || strings.HasPrefix(after, tag+superseded) {
			repo, ours = before, append(ours, name)
			current = current || after == tag
		}
	}
	return repo, ours, current
}

// derivedPrefix begins the names of derived images.
const derivedPrefix = "localhost/reconcile-"

func cutTag(name string) (repo, tag string, ok bool) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

// derived is a listed image as an object, if install hooks of the workspace made
// it.
func (o *observation) derived(s *types.ImageSummary) (plan.Object, bool) {
	if s.Labels[plan.ImageLabel(plan.LabelWorkspace)] != o.d.Workspace {
		return plan.Object{}, false
	}
	obj, ok := plan.ParseImageLabels(s.Labels)
	if !ok {
		return plan.Object{}, false
	}
	repo, ours, current := derivedName(obj, s.RepoTags)
	if len(ours) == 0 {
		return plan.Object{}, false
	}
	obj.Handle, obj.Name, obj.Created, obj.State = imageID(s.ID), repo, unixTime(s.Created), plan.StateExists
	if !current {
		obj.State = plan.StateBroken
	}
	return obj, true
}

// installed adds the derived images, which were listed, and says which
// containers run another one than they should.
func (o *observation) installed(ctx context.Context) error {
	users := map[string]int{} // containers of ours by image
	for _, obj := range o.out.Objects {
		if obj.Image != "" {
			users[obj.Image]++
		}
	}
	var errs []error
	current := map[string]string{} // need and generation → image ID
	for _, s := range o.derivedList {
		obj, ok := o.derived(s)
		if !ok {
			continue
		}
		if s.Containers > users[obj.Handle] {
			by, err := o.r.userOf(ctx, obj.Handle, o.d.Workspace)
			obj.UsedBy = by
			errs = append(errs, err)
		}
		if why := o.r.installLost(o.d, obj); why != "" {
			obj.Drift = append(obj.Drift, plan.Reason{Code: plan.CodeMissing, Text: why})
		}
		if obj.State == plan.StateExists {
			current[madeAs(obj.ID, plan.Generation(obj.Digest, obj.Inputs))] = obj.Handle
		}
		o.out.Objects = append(o.out.Objects, obj)
	}
	for i, obj := range o.out.Objects {
		on := plan.ID{Kind: plan.Image, Namespace: obj.ID.Namespace, Name: obj.ID.Name}
		gen := obj.Inputs[plan.Input{Kind: plan.InputNeed, Name: on.String()}.String()]
		want := current[madeAs(on, gen)]
		if gen == "" || want == "" || obj.Image == "" || want == obj.Image || hasDrift(obj, plan.CodeOtherImage) {
			continue
		}
		o.out.Objects[i].Drift = append(obj.Drift, plan.Reason{Code: plan.CodeOtherImage, Text: "runs another image than its install hook made last"})
	}
	return errors.Join(errs...)
}

func madeAs(id plan.ID, generation string) string { return id.String() + "@" + generation }

func hasDrift(obj plan.Object, code plan.Code) bool {
	return slices.ContainsFunc(obj.Drift, func(r plan.Reason) bool { return r.Code == code })
}

// imageFor is the image that a container is made of: what the spec names, or what
// the install hook made of that. Before a prepare step that may not be there yet.
func (r *Runtime) imageFor(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource) (image, error) {
	c := res.Spec.Container
	if !c.Installed {
		return r.ensure(ctx, s, c.Image)
	}
	ref, err := derivedRef(s, d, res)
	if err != nil && s.Op != plan.OpPrepare {
		return image{}, err
	}
	if err == nil {
		img, found, err := r.derivedImage(ctx, ref, s, d)
		if found || err != nil {
			return img, err
		}
	}
	if s.Op == plan.OpPrepare {
		return r.ensure(ctx, s, c.Image)
	}
	return image{}, fmt.Errorf("image %s, which the install hook made, is not on this host any more", ref)
}

// derivedRef is the reference of the derived image that the step is bound to.
func derivedRef(s plan.Step, d plan.Desired, res plan.Resource) (string, error) {
	for _, n := range res.Needs {
		if n.On.Kind != plan.Image || !n.Bound {
			continue
		}
		i := slices.IndexFunc(d.Resources, func(o plan.Resource) bool { return o.ID.Compare(n.On) == 0 })
		gen := s.Bound[plan.Input{Kind: plan.InputNeed, Name: n.On.String()}.String()]
		if i < 0 || len(gen) < tagLen {
			return "", fmt.Errorf("%s, which it is made of, is not there", n.On)
		}
		return d.Resources[i].Name + ":" + gen[:tagLen], nil
	}
	return "", errors.New("nothing says which image its install hook makes")
}

// derivedImage is the derived image with the reference, if it is here and ours.
func (r *Runtime) derivedImage(ctx context.Context, ref string, s plan.Step, d plan.Desired) (_ image, found bool, err error) {
	got, err := images.GetImage(ctx, ref, nil)
	if notFound(err) {
		return image{}, false, nil
	}
	if err != nil {
		return image{}, false, r.explain("image "+ref, err)
	}
	obj, ok := plan.ParseImageLabels(got.Labels)
	if _, _, current := derivedName(obj, []string{ref}); !ok || !current || obj.Workspace != d.Workspace || obj.Root != d.Root {
		return image{}, false, fmt.Errorf("image %s was not made for this workspace; it is left alone", ref)
	}
	img := imageOfReport(got)
	return r.images.put("derived "+img.id, img), true, nil
}

// deleteImage removes a derived image, but not what somebody else calls it. One
// that a container uses stays, which is an error: whoever decides was told of
// containers that are not ours, see plan.Object.UsedBy.
func (r *Runtime) deleteImage(ctx context.Context, s plan.Step, d plan.Desired) error {
	if err := r.sweepHooks(ctx, d); err != nil {
		return err
	}
	got, err := images.GetImage(ctx, bareID(s.Object), nil)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return r.explain("inspect image "+s.Name, err)
	}
	obj, ok := plan.ParseImageLabels(got.Labels)
	if err := r.checkObject(obj, ok, s, d, s.Object); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	_, ours, _ := derivedName(obj, got.RepoTags)
	for _, name := range ours {
		// By name and without force: other names of the image are not ours, nor is
		// what is made of it.
		_, errs := images.Remove(ctx, []string{name}, new(images.RemoveOptions).WithNoPrune(true))
		err := errors.Join(errs...)
		switch {
		case err == nil, notFound(err):
		case says(err, "in use by"):
			return fmt.Errorf("%s stays, since a container uses it: %w", name, err)
		default:
			return r.explain("delete image "+name, err)
		}
	}
	r.images.forgetID(s.Object)
	return nil
}

// userOf names a container that uses the image and is not of the workspace; "" =
// there is none.
func (r *Runtime) userOf(ctx context.Context, handle, workspace string) (string, error) {
	filter := map[string][]string{"ancestor": {bareID(handle)}}
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(filter))
	if err != nil {
		return "", r.explain("list containers of an image", err)
	}
	for _, c := range list {
		if imageID(c.ImageID) == handle && c.Labels[plan.LabelWorkspace] != workspace {
			return strings.Join(c.Names, ", "), nil
		}
	}
	return "", nil
}

// unixTime is a time in seconds; zero stays zero.
func unixTime(seconds int64) time.Time {
	if seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

func bareID(handle string) string { return strings.TrimPrefix(handle, "sha256:") }
