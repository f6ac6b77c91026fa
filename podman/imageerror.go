// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"

	"github.com/distribution/reference"

	"reconcile/reconcile/plan"
)

// forGood marks an error that is the image's own: there is none, or nothing can be
// run in it, however often that is tried.
func forGood(err error) error {
	if err == nil {
		return nil
	}
	return &plan.ImageError{Err: err}
}

// pullFailed is the error of a pull, marked when the registry itself says that
// there is no such image for us, or that it has none for this platform. What Podman
// says of a registry does not tell that from a network that is down.
func (r *Runtime) pullFailed(ctx context.Context, w wantedImage, err error) error {
	said := r.explain("pull "+w.name, err)
	if says(err, "no image found in manifest list", "no image found in image index", "choosing an image from manifest list") {
		return forGood(said)
	}
	if ctx.Err() == nil && r.refused(ctx, w) {
		return forGood(said)
	}
	return said
}

// refused asks every place that an image may come from whether it says no.
func (r *Runtime) refused(ctx context.Context, w wantedImage) bool {
	ctx, cancel := context.WithTimeoutCause(ctx, lookupTimeout, errTooLong)
	defer cancel()
	named, err := reference.ParseNamed(w.key())
	if err != nil {
		return false
	}
	sources, err := pullSources(named)
	if err != nil || len(sources) == 0 {
		return false
	}
	for _, s := range sources {
		if _, err := r.ask(ctx, s); err == nil || !saidNo(err) {
			return false
		}
	}
	return true
}
