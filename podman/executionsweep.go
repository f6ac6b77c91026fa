// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"slices"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"reconcile/reconcile/plan"
)

// Sweep removes what other sessions than this have left of this workspace, and
// returns the names. What cannot be removed keeps nothing else from being removed,
// and is an error.
func (x *Executions) Sweep(ctx context.Context, session string) ([]string, error) {
	link := x.rt.link.Load()
	list, err := x.list(ctx)
	if err != nil && x.rt.lost(ctx, link, err) {
		list, err = x.list(ctx)
	}
	if err != nil {
		return nil, oneLine(x.rt.explain("list containers", err))
	}
	var names []string
	var failed error
	for _, c := range list {
		ours, err := x.stale(ctx, c, session)
		if err == nil && ours {
			err = x.remove(ctx, c.ID)
		}
		switch {
		case err != nil && failed == nil:
			failed = oneLine(err)
		case err == nil && ours:
			names = append(names, c.Names[0])
		}
	}
	slices.Sort(names)
	return names, failed
}

// list are the containers of Podman, and those that only its storage knows.
func (x *Executions) list(ctx context.Context) ([]types.ListContainer, error) {
	return containers.List(x.rt.with(ctx), new(containers.ListOptions).WithAll(true).WithExternal(true))
}

// onlyStored reports whether only the storage knows a container of Podman's.
func onlyStored(c types.ListContainer) bool {
	return c.State == "storage" && slices.Equal(c.Command, []string{"storage"})
}

// stale reports whether another session has left a container.
func (x *Executions) stale(ctx context.Context, c types.ListContainer, session string) (bool, error) {
	if len(c.Names) == 0 {
		return false, nil
	}
	if onlyStored(c) {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.marked(c.Names[0]) && !x.making[c.Names[0]], nil
	}
	o, ok := plan.ParseLabels(c.Labels)
	if !ok || o.Workspace != x.opt.Workspace || o.Session == "" || o.Session == session || o.Session == x.relays || o.Owner != x.rt.opt.Owner || o.Root != x.opt.Root {
		return false, nil
	}
	if image := imageID(c.ImageID); c.Labels[labelImage] != image {
		// Somebody may have committed an image from one.
		inherited, err := x.rt.inheritsLabels(x.rt.with(ctx), image)
		return err == nil && !inherited, err
	}
	return true, nil
}
