// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// normalize returns the full form of an image reference: a short name is of
// docker.io/library, a missing tag is latest. A digest makes a tag beside it
// irrelevant.
func normalize(image string) (string, error) {
	ref, err := name.ParseReference(image, name.WithDefaultRegistry("docker.io"))
	if err != nil {
		return "", err
	}
	registry, repository := ref.Context().RegistryStr(), ref.Context().RepositoryStr()
	if registry == "index.docker.io" {
		registry = "docker.io"
	}
	if registry == "docker.io" && !strings.Contains(repository, "/") {
		repository = "library/" + repository
	}
	sep := ":"
	if _, ok := ref.(name.Digest); ok {
		sep = "@"
	}
	return registry + "/" + repository + sep + ref.Identifier(), nil
}

// image returns the full reference and what policy has against it.
func (r *resolver) image(image schema.Str) (string, []plan.Reason) {
	if !image.IsSet() {
		return "", nil
	}
	full, err := normalize(image.V)
	if err != nil {
		r.report.fail(image.Pos, "invalid image", "", "%v", err)
		return "", nil
	}
	var blocked []plan.Reason
	for _, rule := range r.tree.policy.registries {
		if !rule.allows(full) {
			blocked = append(blocked, r.report.block(image.Pos, plan.CodePolicy, summaryPolicy, "",
				"the image %s is not from %s, which %s demands", full, rule, rule.pos))
		}
	}
	return r.pinned(full, image.Pos), blocked
}
