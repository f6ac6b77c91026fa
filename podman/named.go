// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"slices"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/reconcile/plan"
)

// WorkspacesAt returns the names of the workspaces that have containers and are
// run from root, sorted. It is for a workspace whose own file cannot be read.
func (r *Runtime) WorkspacesAt(ctx context.Context, root string) ([]string, error) {
	filter := map[string][]string{"label": {plan.LabelRoot + "=" + root}}
	list, err := containers.List(r.with(ctx), new(containers.ListOptions).WithAll(true).WithFilters(filter))
	if err != nil {
		return nil, r.explain("list containers", err)
	}
	var names []string
	for _, c := range list {
		if obj, ok := r.container(c); ok && obj.Root == root {
			names = append(names, obj.Workspace)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
