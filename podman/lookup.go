// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// LookUpOptions say how registries are asked.
type LookUpOptions struct {
	// AuthFile holds registry credentials; "" = where Podman looks for it.
	AuthFile string
}

// LookUp asks registries which digests full image references have now, several
// at a time; no Podman service is needed. digests and errs are in the order of
// refs: for each, one of them is set.
func LookUp(ctx context.Context, refs []string, o LookUpOptions) (digests []string, errs []error) {
	r := &Runtime{opt: Options{AuthFile: o.AuthFile, Digests: new(DigestMemory)}}
	digests, errs = make([]string, len(refs)), make([]error, len(refs))
	slots := make(chan struct{}, parallelLookups)
	var group sync.WaitGroup
	for i, ref := range refs {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			digests[i], errs[i] = r.digestNow(ctx, ref)
		})
	}
	group.Wait()
	return digests, errs
}

func (r *Runtime) digestNow(ctx context.Context, ref string) (string, error) {
	n, err := parseImage(ref)
	switch {
	case err != nil:
		return "", err
	case n.local:
		return "", fmt.Errorf("image %s is in no registry", ref)
	case n.digest != "":
		return n.digest, nil
	}
	asked := r.lookUp(ctx, n)
	if asked.err == nil && !strings.HasPrefix(asked.digest, "sha256:") {
		asked.err = fmt.Errorf("look up %s: %q is no digest that can be kept", n.name, asked.digest)
	}
	return asked.digest, asked.err
}
