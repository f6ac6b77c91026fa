// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/system"

	"reconcile/reconcile/plan"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// infoTimeout bounds the question what a host is.
	infoTimeout = 20 * time.Second
)

// cgroups is what a service says of the control groups of its host.
type cgroups struct {
	version     string   // "v1" or "v2"
	controllers []string // that its user may use
	rootless    bool     // who runs Podman is not root
}

// unenforced says which limits no container can be given, and why. Podman leaves
// them out itself, with v1, or cannot start what has one, with v2.
func (c cgroups) unenforced() map[plan.Limit]string {
	vain := map[plan.Limit]string{}
	for _, l := range []plan.Limit{plan.LimitMemory, plan.LimitCPU, plan.LimitPids} {
		controller := string(l)
		switch has := slices.Contains(c.controllers, controller); {
		case c.version == "v1" && c.rootless:
			vain[l] = "with cgroup v1, Podman limits no container of a user who is not root"
		case !has && c.rootless:
			vain[l] = "the cgroup controller " + controller + " is not delegated to the user who runs Podman"
		case !has:
			vain[l] = "this host has no cgroup controller " + controller
		}
	}
	return vain
}

// hostMemory remembers what a service says of its host: it does not change while it
// runs.
type hostMemory struct {
	mu    sync.Mutex
	known bool
	host  cgroups
}

// unenforced returns which limits the host cannot enforce.
func (r *Runtime) unenforced(ctx context.Context) (map[plan.Limit]string, error) {
	host, err := r.host(ctx)
	if err != nil {
		return nil, err
	}
	return host.unenforced(), nil
}

// host is that of the service. It is asked about once, unless it does not answer.
func (r *Runtime) host(ctx context.Context) (cgroups, error) {
	l := r.link.Load()
	l.host.mu.Lock()
	defer l.host.mu.Unlock()
	if l.host.known {
		return l.host.host, nil
	}
	host, err := r.cgroups(bound{ctx, l.conn})
	if err != nil {
		return cgroups{}, err
	}
	l.host.known, l.host.host = true, host
	return host, nil
}

// cgroups finds out what the service can limit. Where it is root's on this host, a
// look at the file system says so: to answer takes a service a tenth of a second, and
// with v1 it does not notice what is not mounted.
func (r *Runtime) cgroups(ctx context.Context) (cgroups, error) {
	if here := mounted(os.DirFS(cgroupRoot)); ofRoot(r.url) && len(here.controllers) > 0 {
		return here, nil
	}
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := system.Info(ctx, nil)
	if err != nil {
		return cgroups{}, r.explain("ask Podman about its host", err)
	}
	if info.Host == nil {
		return cgroups{}, errors.New("ask Podman about its host: it says nothing of that")
	}
	return cgroups{info.Host.CgroupsVersion, info.Host.CgroupControllers, info.Host.Security.Rootless}, nil
}

// vainLimits are those of the limits in d that the host cannot enforce. That they are
// not known, as when the service is lost, is for whatever else is asked of it to say.
func (r *Runtime) vainLimits(ctx context.Context, d plan.Desired) map[plan.Limit]string {
	asked := map[plan.Limit]bool{}
	for _, res := range d.Resources {
		if c := res.Spec.Container; c != nil {
			for _, l := range c.Limits() {
				asked[l] = true
			}
		}
	}
	if len(asked) == 0 {
		return nil
	}
	vain, err := r.unenforced(ctx)
	if err != nil {
		return nil
	}
	out := map[plan.Limit]string{}
	for l, why := range vain {
		if asked[l] {
			out[l] = why
		}
	}
	return out
}

// enforceable is c without the limits that would be in vain. When that cannot be
// told, Podman says so where it matters.
func (r *Runtime) enforceable(ctx context.Context, c plan.ContainerSpec) plan.ContainerSpec {
	if len(c.Limits()) == 0 {
		return c
	}
	vain, err := r.unenforced(ctx)
	if err != nil {
		return c
	}
	return c.Without(vain)
}

// ofRoot reports whether a service is one of this host that runs as its root: the
// socket is root's.
func ofRoot(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "unix" {
		return false
	}
	info, err := os.Stat(u.Path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == 0
}

// mounted is what root may use, by the file system of control groups.
func mounted(fsys fs.FS) cgroups {
	if list, err := fs.ReadFile(fsys, "cgroup.controllers"); err == nil {
		return cgroups{version: "v2", controllers: strings.Fields(string(list))}
	}
	c := cgroups{version: "v1"}
	for _, file := range []string{"memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us", "pids/cgroup.procs"} {
		if _, err := fs.Stat(fsys, file); err == nil {
			c.controllers = append(c.controllers, path.Dir(file))
		}
	}
	return c
}
