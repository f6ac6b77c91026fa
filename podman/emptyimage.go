// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"

	"github.com/containers/podman/v5/pkg/bindings/images"
)

// MakeEmptyImage gives Podman a local image with nothing in it, as
// `FROM scratch` makes one, unless it has an image of that name. It reports
// whether there was none.
func (r *Runtime) MakeEmptyImage(ctx context.Context, ref string) (made bool, err error) {
	ctx = r.with(ctx)
	has, err := images.Exists(ctx, ref, nil)
	if err != nil {
		return false, r.explain("look for image "+ref, err)
	}
	if has {
		return false, nil
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	// Some services refuse an archive without any entry.
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, Format: tar.FormatPAX}); err != nil {
		return false, fmt.Errorf("make image: %w", err)
	}
	if err := w.Close(); err != nil {
		return false, fmt.Errorf("make image: %w", err)
	}
	opt := new(images.ImportOptions).WithReference(ref).WithChanges([]string{`LABEL about="nothing but what reconcile brings"`})
	_, err = images.Import(ctx, &layer, opt)
	return true, r.explain("make image "+ref, err)
}
