// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"cmp"
	"context"
	"fmt"
	"maps"
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

// images finds out what every image reference of d stands for now.
func (o *observation) images(ctx context.Context) error {
	refs := imageRefs(o.d)
	o.imageFacts = make(map[string]plan.Fact, len(refs))
	var (
		group sync.WaitGroup
		local imageIndex
		err   error
		asked = make([]lookup, len(refs))
		slots = make(chan struct{}, parallelLookups)
	)
	group.Go(func() { local, o.imageList, err = o.r.localImages(ctx) })
	for i, ref := range refs {
		named, e := parseImage(ref)
		if e != nil || !named.remote() {
			continue
		}
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			asked[i] = o.r.lookUp(ctx, named)
		})
	}
	group.Wait()
	for i, ref := range refs {
		o.imageFacts[ref] = imageFact(ref, local, err, asked[i])
	}
	o.r.mu.Lock()
	maps.Copy(o.r.refs, o.imageFacts)
	o.r.mu.Unlock()
	return err
}

// imageFact combines what this host and the registry say about a reference.
func imageFact(ref string, local imageIndex, localErr error, asked lookup) plan.Fact {
	named, err := parseImage(ref)
	if err != nil {
		return plan.Fact{State: plan.FactMissing, Detail: err.Error()}
	}
	here, found := local.byName[named.name]
	switch {
	case named.local && localErr != nil:
		return plan.Fact{State: plan.FactUnknown, Detail: localErr.Error()}
	case named.local && !found:
		return plan.Fact{State: plan.FactMissing, Detail: fmt.Sprintf("no image %s on this host; build it first", ref)}
	case named.local:
		return plan.Fact{State: plan.FactKnown, Value: imageID(here.ID), Local: true}
	case named.digest != "":
		return plan.Fact{State: plan.FactKnown, Value: named.digest, Local: local.has(named, named.digest)}
	case asked.err == nil:
		return plan.Fact{State: plan.FactKnown, Value: asked.digest, Local: local.has(named, asked.digest)}
	case found:
		return plan.Fact{State: plan.FactUnknown, Value: local.digestOf(named, here), Detail: asked.err.Error(), Local: true}
	case asked.refused && localErr == nil:
		return plan.Fact{State: plan.FactMissing, Detail: asked.err.Error()}
	}
	return plan.Fact{State: plan.FactUnknown, Detail: asked.err.Error()}
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

// remote reports whether a registry has to be asked.
func (n imageName) remote() bool { return !n.local && n.digest == "" }

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

// imageIndex is the host's images by what they are called.
type imageIndex struct {
	byName map[string]*types.ImageSummary // repo:tag and repo@digest
}

const (
	// listTries is how often images are listed, listPause apart, while one of them
	// goes each time.
	listTries = 20
	listPause = 50 * time.Millisecond
	// listTimeout bounds one list: a service that is about to commit and remove
	// images may never answer, and answers the next one.
	listTimeout = 30 * time.Second
)

// listImages lists the images of this host. One that somebody removes meanwhile
// fails the whole list, which is then made again.
func listImages(ctx context.Context) ([]*types.ImageSummary, error) {
	for try := 1; ; try++ {
		once, cancel := context.WithTimeout(ctx, listTimeout)
		list, err := images.List(once, nil)
		late := err != nil && once.Err() != nil
		cancel()
		went := says(err, "retrieving label for image", "checking if image", "locating item named", "image not known", "you may need to remove the image")
		if !late && !went || try == listTries || !pause(ctx, listPause) {
			return list, err
		}
	}
}

func (r *Runtime) localImages(ctx context.Context) (imageIndex, []*types.ImageSummary, error) {
	list, err := listImages(ctx)
	if err != nil {
		return imageIndex{}, nil, r.explain("list images", err)
	}
	x := imageIndex{byName: make(map[string]*types.ImageSummary, 2*len(list))}
	for _, img := range list {
		for _, name := range slices.Concat(img.RepoTags, img.RepoDigests) {
			x.byName[name] = img
		}
	}
	return x, list, nil
}

// has reports whether the very manifest is here. Digests are per repository:
// the same layers under another name may have another manifest.
func (x imageIndex) has(n imageName, digest string) bool {
	_, ok := x.byName[n.repo+"@"+digest]
	return ok
}

// digestOf is the manifest digest under which the repository knows an image.
func (x imageIndex) digestOf(n imageName, img *types.ImageSummary) string {
	if x.has(n, img.Digest) {
		return img.Digest
	}
	for _, d := range img.RepoDigests {
		if repo, digest, ok := strings.Cut(d, "@"); ok && repo == n.repo {
			return digest
		}
	}
	return img.Digest
}
