// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// mountClaim is a folder of the host that an instance gets.
type mountClaim struct {
	by     plan.ID
	mount  plan.Mount
	pos    schema.Pos
	volume bool
}

// volume turns an entry of volumes into a mount. Its source must be where
// policy allows it, be reached through no symbolic link, and be none of our own
// places. The mount is zero when its target is taken.
func (r *resolver) volume(i *instance, v schema.Volume, others []plan.Mount) (plan.Mount, []plan.Reason) {
	t := r.tree
	source := filepath.FromSlash(v.Host.V)
	if !filepath.IsAbs(source) {
		source = filepath.Join(t.root, source)
	}
	source = filepath.Clean(source)
	m := plan.Mount{Type: plan.MountDir, Source: source, Target: v.Container, ReadOnly: v.ReadOnly, Relabel: r.relabel()}
	taken := within(m.Target, helperPath) || slices.ContainsFunc(others, func(o plan.Mount) bool { return o.Target == m.Target })
	if taken {
		r.report.fail(v.Host.Pos, "container path is taken", "mount it elsewhere", "%s is where %s has something of its own", v.Container, i.name)
		return plan.Mount{}, nil
	}
	for _, option := range v.Options {
		if m.Relabel != "" && strings.EqualFold(option, "z") {
			m.Relabel = option
			continue
		}
		r.report.warn(v.Host.Pos, "field has no effect", "", "the mount option %s", option)
	}
	hint := ""
	refuse := func(format string, args ...any) []plan.Reason {
		return []plan.Reason{r.report.block(v.Host.Pos, plan.CodePolicy, summaryPolicy, hint, format, args...)}
	}
	switch inside := within(source, t.root); {
	case t.policy.mounts == "none":
		return m, refuse("%s: mounts are not allowed by %s", v.Host.V, t.policy.mountsAt)
	case t.policy.mounts == "workspace" && !inside:
		if t.policy.mountsAt.File == "" {
			hint = "other folders need a policy of the host (--policy FILE) that says mounts: any"
		}
		return m, refuse("%s is outside of the workspace%s", v.Host.V, forbids(t.policy.mountsAt))
	case inside:
		if link, err := t.link(t.root, source); err != nil {
			return m, []plan.Reason{r.report.block(v.Host.Pos, plan.CodeInvalid, "invalid volume", "", "%s: %v", v.Host.V, cause(err))}
		} else if link != "" {
			return m, refuse("%s leads through the symbolic link %s", v.Host.V, t.labelOf(link))
		}
	default:
		if link, err := firstLink(string(filepath.Separator), source); err != nil {
			return m, []plan.Reason{r.report.block(v.Host.Pos, plan.CodeInvalid, "invalid volume", "", "%s: %v", v.Host.V, cause(err))}
		} else if link != "" {
			return m, refuse("%s leads through the symbolic link %s", v.Host.V, link)
		}
	}
	if reasons := r.forbidden(source, v.Host.Pos); len(reasons) > 0 {
		return m, reasons
	}
	r.mounts = append(r.mounts, mountClaim{by: i.id(), mount: m, pos: v.Host.Pos, volume: true})
	return m, nil
}

// firstLink returns the first symbolic link on the way from the folder top to
// path, which is below it. What does not exist yet is no link.
func firstLink(top, path string) (string, error) {
	rel, err := filepath.Rel(top, path)
	if err != nil || rel == "." {
		return "", err
	}
	at := top
	for part := range strings.SplitSeq(rel, string(filepath.Separator)) {
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case err != nil:
			return "", err
		case info.Mode()&fs.ModeSymlink != 0:
			return at, nil
		}
	}
	return "", nil
}

// forbidden refuses to mount our own places: the state and secrets folders,
// the host's policy, Podman's socket, and whatever holds one of them.
func (r *resolver) forbidden(source string, pos schema.Pos) []plan.Reason {
	root := r.tree.root
	for _, place := range r.secretPlaces() {
		// A workspace may be checked out below the state directory.
		if place.state && within(root, place.path) && within(source, root) {
			continue
		}
		if within(source, place.path) || within(place.path, source) {
			return []plan.Reason{r.report.block(pos, plan.CodePolicy, summaryPolicy, "", "%s would give away %s", source, place.what)}
		}
	}
	return nil
}

type secretPlace struct {
	path, what string
	state      bool // the state directory
}

const stateDirectory = "the state directory"

func (r *resolver) secretPlaces() []secretPlace {
	if r.places != nil {
		return r.places
	}
	o := r.tree.opt
	add := func(path, what string) {
		if path == "" {
			return
		}
		path = filepath.Clean(path)
		state := what == stateDirectory
		r.places = append(r.places, secretPlace{path, what, state})
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
			r.places = append(r.places, secretPlace{real, what, state})
		}
	}
	add(o.StateDir, stateDirectory)
	add(o.SecretsDir, "the secrets directory")
	if o.HostPolicy != nil && o.HostPolicy.Pos.File != "" {
		if file, err := filepath.Abs(o.HostPolicy.Pos.File); err == nil {
			add(file, "the host's policy")
		}
	}
	const socket = "Podman's socket"
	add("/run/podman", socket)
	if o.LookupEnv != nil {
		if dir, ok := o.LookupEnv("XDG_RUNTIME_DIR"); ok && filepath.IsAbs(dir) {
			add(filepath.Join(dir, "podman"), socket)
		}
		if url, ok := o.LookupEnv("CONTAINER_HOST"); ok {
			if path, ok := strings.CutPrefix(url, "unix://"); ok && filepath.IsAbs(path) {
				add(path, socket)
			}
		}
	}
	for _, path := range o.NeverMounted {
		add(path, "what must never be mounted")
	}
	return r.places
}

// checkMounts refuses volumes with a part of their path that another instance
// can write, and so replace by a link.
func (r *resolver) checkMounts() {
	writers := map[string][]mountClaim{}
	for _, c := range r.mounts {
		if !c.mount.ReadOnly {
			writers[c.mount.Source] = append(writers[c.mount.Source], c)
		}
	}
	for _, c := range r.mounts {
		if !c.volume {
			continue
		}
		for dir := filepath.Dir(c.mount.Source); ; dir = filepath.Dir(dir) {
			i := slices.IndexFunc(writers[dir], func(w mountClaim) bool { return w.by != c.by })
			if i >= 0 {
				w := writers[dir][i]
				res := r.resources[c.by]
				res.Blocked = append(res.Blocked, r.report.block(c.pos, plan.CodePolicy, summaryPolicy, "mount a folder that only this instance can write to",
					"%s is inside of %s, which %s can write to (%s)", c.mount.Source, dir, w.by.Name, w.pos))
				break
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
}

// mounted reports whether a folder of the workspace is part of a volume.
func (r *resolver) mounted(dir string) bool {
	path := filepath.Join(r.tree.root, filepath.FromSlash(dir))
	return slices.ContainsFunc(r.mounts, func(c mountClaim) bool { return c.volume && within(path, c.mount.Source) })
}
