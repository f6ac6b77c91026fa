// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const (
	summaryMountConflict = "mount path conflict"
	summaryOverride      = "agent context overridden"
	summaryReservedPath  = "reserved path"
)

const taskFile = "task.md"

// TaskFile says where something comes from that a run of a Task finds in its
// container.
type TaskFile struct {
	Path   string     // absolute; that of a folder stands for all in it
	From   string     // such as "the description, context a", "the Task's context b" or "the credential c"
	Origin schema.Pos // of what puts it there
	// Unknown: something that it is made of is missing, so that there is nothing of
	// it in the spec. Partial is then what is known of a task.md.
	Unknown bool
	Partial []byte
}

// claim is something with a path in the container.
type claim struct {
	path  string // absolute and clean
	pos   schema.Pos
	what  string // for messages
	from  string // for TaskFile; "" = what
	owner owner
	// One of these is set.
	file    *blob
	content *content
	secrets []plan.SecretFile

	partial []byte // for TaskFile
}

// owner is what makes a claim.
type owner int

const (
	ofAgent owner = iota // its contexts
	ofTask               // its contexts
	ofOther
)

func (c claim) String() string { return fmt.Sprintf("%s at %s", c.what, c.pos) }

// placedAt is an absolute mountPath.
func placedAt(workspaceDir, mountPath string) string {
	if path.IsAbs(mountPath) {
		return path.Clean(mountPath)
	}
	return path.Join(workspaceDir, mountPath)
}

// kernelPaths are where every container has something that is not its own.
func kernelPaths() []string { return []string{"/proc", "/sys", "/dev"} }

// reservedPaths are where a container has something that is not the Task's.
func reservedPaths() []string {
	return append(kernelPaths(), helperPath, "/run/reconcile", "/run/reconcile-task")
}

// reservedBy returns which of the places, which nothing may hide, is at p, above or
// below it; "" = none.
func reservedBy(p string, places []string) string {
	for _, place := range places {
		if within(p, place) || within(place, p) {
			return place
		}
	}
	return ""
}

// layout puts what a Task claims into mounts and files of secrets.
type layout struct {
	*resolver
	workspaceDir string
	mounts       []plan.Mount // sorted by target
	secrets      []plan.SecretFile
	files        []TaskFile
	places       map[string]string
	blocked      []plan.Reason
}

// layOut places claims: one writable folder for all in workspaceDir, one mount
// for each other path. A claim that is reported is left out.
func (r *resolver) layOut(workspaceDir string, claims []claim) *layout {
	l := &layout{resolver: r, workspaceDir: workspaceDir, places: map[string]string{}}
	work := plan.Mount{Type: plan.MountFiles, Target: workspaceDir}
	for _, c := range l.settle(claims) {
		unknown := c.content != nil && len(c.content.blocked) > 0
		l.files = append(l.files, TaskFile{Path: c.path, From: cmp.Or(c.from, c.what), Origin: c.pos, Unknown: unknown, Partial: c.partial})
		switch {
		case unknown:
		case c.file == nil && c.content == nil:
			l.secrets = append(l.secrets, c.secrets...)
		case within(c.path, workspaceDir):
			work.Files = append(work.Files, l.put(c, strings.TrimPrefix(c.path, strings.TrimSuffix(workspaceDir, "/")+"/"))...)
		default:
			l.places["mounts."+c.path] = c.pos.String()
			l.mounts = append(l.mounts, plan.Mount{Type: plan.MountFiles, Target: c.path, ReadOnly: true, Files: l.put(c, "")})
		}
	}
	slices.SortFunc(work.Files, func(a, b plan.File) int { return cmp.Compare(a.Path, b.Path) })
	l.mounts = append(l.mounts, work, plan.Mount{Type: plan.MountHelper, Target: helperPath, ReadOnly: true})
	slices.SortFunc(l.mounts, func(a, b plan.Mount) int { return cmp.Compare(a.Target, b.Target) })
	slices.SortFunc(l.secrets, func(a, b plan.SecretFile) int { return cmp.Compare(a.Target, b.Target) })
	return l
}

// put returns what is at the path p of a mount.
func (l *layout) put(c claim, p string) []plan.File {
	if c.file != nil {
		return []plan.File{{Path: p, Digest: l.keep(c.file), Mode: c.file.mode}}
	}
	switch x := c.content; {
	case x.file != nil:
		return []plan.File{{Path: p, Digest: l.keep(x.file), Mode: x.file.mode}}
	case x.from != "":
		return []plan.File{{Path: p, From: x.from, TreeHash: x.tree}}
	case len(x.folder) > 0:
		var files []plan.File
		for _, name := range slices.Sorted(maps.Keys(x.folder)) {
			files = append(files, plan.File{Path: path.Join(p, name), Digest: l.keep(x.folder[name])})
		}
		return files
	case p != "":
		return []plan.File{{Path: p}} // an empty folder
	}
	return nil
}

// keep adds content to what is desired and returns its digest.
func (r *resolver) keep(b *blob) string {
	digest := b.sum()
	r.objects.contents[digest] = b.data
	return digest
}

// settle returns the claims that hold, by path: a context of the Task takes the
// place of the Agent's; two other claims of one path, and one inside of another,
// are reported.
func (l *layout) settle(claims []claim) []claim {
	slices.SortStableFunc(claims, func(a, b claim) int { return cmp.Compare(a.path, b.path) })
	var settled []claim
	holders := map[string]claim{}
	for i := 0; i < len(claims); {
		end := i + 1
		for end < len(claims) && claims[end].path == claims[i].path {
			end++
		}
		c := l.contest(claims[i:end])
		i = end
		if !l.free(c, holders) {
			continue
		}
		holders[c.path] = c
		settled = append(settled, c)
	}
	return settled
}

// contest settles who of several has their common path.
func (l *layout) contest(rivals []claim) claim {
	agents := slices.IndexFunc(rivals, func(c claim) bool { return c.owner == ofAgent })
	task := slices.IndexFunc(rivals, func(c claim) bool { return c.owner == ofTask })
	many := slices.ContainsFunc(rivals[agents+1:], func(c claim) bool { return c.owner == ofAgent })
	if agents >= 0 && task >= 0 && !many {
		winner, loser := rivals[task], rivals[agents]
		l.report.warn(winner.pos, summaryOverride, "", "%s: it overrides agent %s at %s", winner.path, strings.TrimPrefix(loser.what, "the Agent's "), loser.pos)
		rivals = slices.Delete(slices.Clone(rivals), agents, agents+1)
	}
	if len(rivals) > 1 {
		l.conflict(rivals[0].path, rivals[0], rivals[1])
	}
	return rivals[0]
}

// conflict reports two claims at the one that was made for fewer tasks.
func (l *layout) conflict(p string, a, b claim) {
	pos := b.pos
	if a.owner == ofTask && b.owner != ofTask {
		pos = a.pos
	}
	l.blocked = append(l.blocked, l.blockOnce(pos, plan.CodeInvalid, summaryMountConflict, "", "%q is used by both %s and %s", p, a, b))
}

// free reports whether c is neither inside of a holder nor where it must not be.
func (l *layout) free(c claim, holders map[string]claim) bool {
	if c.path == "/" {
		return false // which the schema reports
	}
	if place := reservedBy(c.path, reservedPaths()); place != "" {
		why := "the container has " + place + " for itself"
		l.blocked = append(l.blocked, l.blockOnce(c.pos, plan.CodeInvalid, summaryReservedPath, "mount it elsewhere", "%s: %s cannot be there: %s", c.path, c.what, why))
		return false
	}
	if within(l.workspaceDir, c.path) {
		l.blocked = append(l.blocked, l.blockOnce(c.pos, plan.CodeInvalid, summaryMountConflict, "give a path below it", "%q is used by both %s and the workspace %s itself", c.path, c, l.workspaceDir))
		return false
	}
	for dir := path.Dir(c.path); dir != "/"; dir = path.Dir(dir) {
		if outer, taken := holders[dir]; taken {
			l.conflict(c.path, outer, c)
			return false
		}
	}
	return true
}
