// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"github.com/distribution/reference"

	"reconcile/reconcile/plan"
)

// facts collects what was found about every input of d.
func (o *observation) facts(ctx context.Context) map[plan.Input]plan.Fact {
	facts := map[plan.Input]plan.Fact{}
	for _, res := range o.d.Resources {
		for _, in := range res.Spec.Inputs() {
			if _, done := facts[in]; done {
				continue
			}
			switch in.Kind {
			case plan.InputImage:
				facts[in] = cmp.Or(o.imageFacts[in.Name], plan.Fact{State: plan.FactUnknown})
			case plan.InputSecret:
				facts[in] = o.secretFact(ctx, in.Name)
			}
		}
	}
	return facts
}

// imageRefs are the references that d has, each once. What only blocked
// resources refer to is not looked up: it may be what policy refuses.
func imageRefs(d plan.Desired) []string {
	refs := map[string]bool{}
	for _, res := range d.Resources {
		if len(res.Blocked) > 0 {
			continue
		}
		for _, in := range res.Spec.Inputs() {
			if in.Kind == plan.InputImage {
				refs[in.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(refs))
}

// images finds out what every image reference of d stands for now, and which
// derived images the workspace has. Only those are asked for: a list of all
// images costs the service more than a millisecond for each of them.
func (o *observation) images(ctx context.Context) error {
	refs := imageRefs(o.d)
	var (
		group sync.WaitGroup
		facts = make([]plan.Fact, len(refs))
		errs  = make([]error, len(refs)+1)
		slots = make(chan struct{}, parallelLookups)
	)
	group.Go(func() { o.derivedList, errs[len(refs)] = o.r.derivedImages(ctx, o.d.Workspace) })
	for i, ref := range refs {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			facts[i], errs[i] = o.r.imageFact(ctx, ref)
		})
	}
	group.Wait()
	o.imageFacts = make(map[string]plan.Fact, len(refs))
	for i, ref := range refs {
		o.imageFacts[ref] = facts[i]
	}
	o.r.mu.Lock()
	maps.Copy(o.r.refs, o.imageFacts)
	o.r.mu.Unlock()
	return cmp.Or(errs...) // a service that does not answer says so to each question
}

// imageFact combines what this host and the registry say about a reference. An
// error is one of this host.
func (r *Runtime) imageFact(ctx context.Context, ref string) (plan.Fact, error) {
	named, err := parseImage(ref)
	if err != nil {
		return plan.Fact{State: plan.FactMissing, Detail: err.Error()}, nil
	}
	here, hereErr := r.localImage(ctx, named.name)
	switch {
	case named.local && hereErr != nil:
		return plan.Fact{State: plan.FactUnknown, Detail: hereErr.Error()}, hereErr
	case named.local && here == nil:
		return plan.Fact{State: plan.FactMissing, Detail: fmt.Sprintf("no image %s on this host; build it first", ref)}, nil
	case named.local:
		return plan.Fact{State: plan.FactKnown, Value: imageID(here.ID), Local: true}, nil
	case named.digest != "":
		return plan.Fact{State: plan.FactKnown, Value: named.digest, Local: here != nil}, hereErr
	}
	asked := r.lookUp(ctx, named)
	switch {
	case asked.err == nil:
		held, err := r.holds(ctx, named, asked.digest, here)
		return plan.Fact{State: plan.FactKnown, Value: asked.digest, Local: held}, cmp.Or(hereErr, err)
	case here != nil:
		return plan.Fact{State: plan.FactUnknown, Value: digestOf(named, here), Detail: asked.err.Error(), Local: true}, nil
	case asked.refused && hereErr == nil:
		return plan.Fact{State: plan.FactMissing, Detail: asked.err.Error()}, nil
	}
	return plan.Fact{State: plan.FactUnknown, Detail: asked.err.Error()}, hereErr
}

// imageName is a parsed image reference.
type imageName struct {
	name   string // the full reference as Podman lists it
	repo   string // registry/repository
	digest string // of a reference by digest, else ""
	tag    string
	local  bool // never looked up or pulled
	named  reference.Named
}

// parseImage reads a reference. A short name means docker.io/library, no tag
// means latest.
func parseImage(ref string) (imageName, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return imageName{}, fmt.Errorf("image %q: %w", ref, err)
	}
	named = reference.TagNameOnly(named)
	n := imageName{repo: named.Name(), local: reference.Domain(named) == "localhost", named: named}
	if t, ok := named.(reference.Tagged); ok {
		n.tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		n.digest = d.Digest().String()
		n.name = n.repo + "@" + n.digest
		return n, nil
	}
	n.name = n.repo + ":" + n.tag
	return n, nil
}

const (
	// imageTries is how often images are asked for, imagePause apart, while one of
	// them goes each time.
	imageTries = 20
	imagePause = 50 * time.Millisecond
	// imageTimeout bounds one question: a service that is about to commit and
	// remove images may never answer, and answers the next one.
	imageTimeout = 30 * time.Second
)

// askImages asks the service about images. One that somebody removes meanwhile
// fails the question, which is then asked again.
func askImages[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	for try := 1; ; try++ {
		once, cancel := context.WithTimeout(ctx, imageTimeout)
		got, err := ask(once)
		late := err != nil && once.Err() != nil
		cancel()
		went := code(err) != http.StatusNotFound &&
			says(err, "retrieving label for image", "checking if image", "locating item named", "image not known", "you may need to remove the image")
		if !late && !went || try == imageTries || !pause(ctx, imagePause) {
			return got, err
		}
	}
}

// localImage is the image of this host with a full name; nil when there is none.
func (r *Runtime) localImage(ctx context.Context, name string) (*types.ImageInspectReport, error) {
	img, err := askImages(ctx, func(ctx context.Context) (*types.ImageInspectReport, error) {
		return images.GetImage(ctx, name, nil)
	})
	if notFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, r.explain("inspect image "+name, err)
	}
	return img, nil
}

// derivedImages lists the images under the names of derived images of the
// workspace.
func (r *Runtime) derivedImages(ctx context.Context, workspace string) ([]*types.ImageSummary, error) {
	opt := new(images.ListOptions).WithAll(true).
		WithFilters(map[string][]string{"reference": {derivedPrefix + workspace + "/*"}})
	list, err := askImages(ctx, func(ctx context.Context) ([]*types.ImageSummary, error) {
		return images.List(ctx, opt)
	})
	if err != nil {
		return nil, r.explain("list images", err)
	}
	return list, nil
}

// holds reports whether the very manifest is on this host, which may have the
// name for another one. Digests are per repository: the same layers under
// another name may have another manifest.
func (r *Runtime) holds(ctx context.Context, n imageName, digest string, here *types.ImageInspectReport) (bool, error) {
	name := n.repo + "@" + digest
	if here != nil && slices.Contains(here.RepoDigests, name) {
		return true, nil
	}
	img, err := r.localImage(ctx, name)
	return img != nil, err
}

// digestOf is the manifest digest under which the repository knows an image.
func digestOf(n imageName, img *types.ImageInspectReport) string {
	digest := img.Digest.String()
	if slices.Contains(img.RepoDigests, n.repo+"@"+digest) {
		return digest
	}
	for _, d := range img.RepoDigests {
		if repo, digest, ok := strings.Cut(d, "@"); ok && repo == n.repo {
			return digest
		}
	}
	return digest
}
