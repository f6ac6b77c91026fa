// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/bindings/volumes"

	"reconcile/reconcile/plan"
)

// namesPerCall bounds the names in one filter, and with it the length of a URL.
const namesPerCall = 300

// foreigners finds who holds a name that d wants and none of our objects has.
func (o *observation) foreigners(ctx context.Context) error {
	held := map[plan.Role]map[string]bool{}
	for _, obj := range o.out.Objects {
		if obj.Role == plan.RoleImage {
			continue
		}
		place := nameSpace(obj.ID.Kind)
		if held[place] == nil {
			held[place] = map[string]bool{}
		}
		held[place][obj.Name] = true
	}
	wanted := map[plan.Role][]plan.Resource{}
	for _, res := range o.d.Resources {
		if res.ID.Kind.Role() == plan.RoleImage {
			continue // its names are in a place of their own
		}
		if place := nameSpace(res.ID.Kind); !held[place][res.Name] {
			wanted[place] = append(wanted[place], res)
		}
	}
	var errs []error
	for place, list := range wanted {
		for chunk := range slices.Chunk(list, namesPerCall) {
			errs = append(errs, o.holders(ctx, place, chunk))
		}
	}
	return errors.Join(errs...)
}

// nameSpace is where Podman keeps the names of a kind: containers, networks,
// volumes and secrets are named apart.
func nameSpace(k plan.Kind) plan.Role {
	if k.Role() == plan.RoleSupport {
		return plan.Role(k)
	}
	return plan.RoleInstance
}

func (o *observation) holders(ctx context.Context, place plan.Role, list []plan.Resource) error {
	byName := map[string]plan.ID{}
	quoted := make([]string, 0, len(list))
	for _, res := range list {
		byName[res.Name] = res.ID
		quoted = append(quoted, regexp.QuoteMeta(res.Name))
	}
	foreign := func(name, handle string, state plan.State) {
		id, ok := byName[name]
		if ok && !slices.ContainsFunc(o.out.Objects, func(x plan.Object) bool { return x.Handle == handle }) {
			o.out.Foreign = append(o.out.Foreign, plan.Object{ID: id, Name: name, Handle: handle, State: state})
		}
	}
	filter := map[string][]string{"name": {"^(" + strings.Join(quoted, "|") + ")$"}}
	switch place {
	case plan.Role(plan.Network):
		found, err := network.List(ctx, new(network.ListOptions).WithFilters(filter))
		for _, n := range found {
			foreign(n.Name, n.ID, plan.StateExists)
		}
		return o.r.explain("look for networks by name", err)
	case plan.Role(plan.Volume):
		found, err := volumes.List(ctx, new(volumes.ListOptions).WithFilters(filter))
		for _, v := range found {
			foreign(v.Name, volumeHandle(v.Name, v.CreatedAt), plan.StateExists)
		}
		return o.r.explain("look for volumes by name", err)
	case plan.Role(plan.Secret):
		for name, s := range o.secretInfos { // listed already
			foreign(name, s.ID, plan.StateExists)
		}
		return nil
	}
	found, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(filter))
	for _, c := range found {
		for _, name := range c.Names {
			foreign(name, c.ID, o.r.state(c))
		}
	}
	return o.r.explain("look for containers by name", err)
}
