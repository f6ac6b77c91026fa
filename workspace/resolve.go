// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// Result is what a workspace asks for.
type Result struct {
	Desired plan.Desired
	Graph   *Graph
	// Diagnostics are what Resolve found; Load has returned its own.
	Diagnostics schema.Diagnostics
	// Fatal: Load or Resolve found errors that stop the whole pass. Desired is
	// then incomplete and must not be acted on.
	Fatal bool
	// NameGuessed: no workspace file says the name, and Desired.Workspace is that of
	// the folder.
	NameGuessed bool
	// NameUnknown: it is guessed, and the workspace file cannot be read, which may say
	// another.
	NameUnknown bool
	// NeedsCheckout: an instance mounts something below Options.Dir, which must
	// be there before anything is started.
	NeedsCheckout bool
	// LookAgain is when to load again although nothing tells of a change, since a
	// file was being written; 0 = never.
	LookAgain time.Duration
	// Images are what the lock file can pin, sorted by reference; none unless the
	// workspace asks for that.
	Images []Image
	// UnusedLock are the repos, by name, contexts, by name with [ContextKind] before
	// it, and images, by reference, of the lock file that nothing needs; none while
	// part of the workspace is not known.
	UnusedLock []string
	// Ignored are documents that are not of a kind known here.
	Ignored []schema.Ignored
	// Enable are the entries of the workspace file, in its order.
	Enable  []schema.Enable
	Vars    []Variable // of the workspace, sorted by name
	Exposed []Exposed  // in the order of the workspace file
	Repos   []RepoPlace
	// TaskFiles says of Tasks and CronTasks what their runs find where, sorted by
	// path.
	TaskFiles map[plan.ID][]TaskFile
}

// lookAgain is how soon a file that is being written is looked at again.
const lookAgain = time.Second

// resolver is one run of Resolve.
type resolver struct {
	tree      *Tree
	report    report
	vars      variables
	resources map[plan.ID]*plan.Resource
	mounts    []mountClaim
	places    []secretPlace // that are never mounted
	ports     []portClaim
	images    []Image
	objects   objects
	// unusedLock are entries of the lock file that nothing needs.
	unusedLock []string
}

// Resolve works out everything that should be, sorted by ID. It reads nothing
// but what the sources of volumes are, links or folders. Each call gives the
// same result.
func (t *Tree) Resolve() Result {
	r := &resolver{tree: t, resources: map[plan.ID]*plan.Resource{}, objects: newObjects()}
	r.vars = t.resolveVars(&r.report)
	r.checkRules()
	for _, i := range t.closure.instances {
		r.addInstance(i)
	}
	r.addDocuments()
	r.checkExpose()
	r.checkMounts()
	r.checkPorts()
	r.checkNames()
	r.blockImages()
	r.addNetwork()
	r.hintAtEnabling()
	r.checkUnused()
	r.checkProfile()
	slices.SortFunc(r.images, func(a, b Image) int { return cmp.Compare(a.Ref, b.Ref) })
	partial := append(slices.Clone(t.partial), r.repoGaps()...)
	partial = append(partial, t.reportUnread(&r.report, r.mounted)...)
	approvals := r.approvals()

	d := plan.Desired{
		Workspace: t.name, Root: cmp.Or(t.opt.Root, t.root), Revision: t.revision,
		Source: r.source().String(), Partial: sortReasons(partial),
		NoFile: !t.fileSeen, Approvals: approvals,
		Contents: r.objects.contents, Sealed: r.objects.sealed,
		Empty: t.fileDoc == nil && len(t.documents) == 0 && !t.fileSeen,
	}
	for _, res := range r.resources {
		res.Blocked = sortReasons(res.Blocked)
		d.Resources = append(d.Resources, *res)
	}
	slices.SortFunc(d.Resources, func(a, b plan.Resource) int { return a.ID.Compare(b.ID) })
	var again time.Duration
	if t.lookAgain {
		again = lookAgain
	}
	guessed := t.opt.Name == "" && !t.file.Name.IsSet()
	return Result{
		Desired: d, LookAgain: again, Graph: t.graph(r.resources), Diagnostics: r.report.diagnostics(),
		NameGuessed: guessed, NameUnknown: guessed && t.fileSeen && !t.fileSound,
		NeedsCheckout: r.mountsOwnFiles(), Images: r.images, UnusedLock: r.unusedLock,
		Enable: t.file.Enable, Vars: r.variables(), Exposed: r.exposures(), Repos: t.places(), TaskFiles: r.objects.files,
		Fatal: t.report.fatal() || r.report.fatal(), Ignored: slices.SortedStableFunc(slices.Values(t.ignored), func(a, b schema.Ignored) int { return a.Pos.Compare(b.Pos) }),
	}
}

// mountsOwnFiles reports whether an instance mounts something of the workspace
// itself, and not a copy.
func (r *resolver) mountsOwnFiles() bool {
	return slices.ContainsFunc(r.mounts, func(c mountClaim) bool { return within(c.mount.Source, r.tree.root) })
}

// hintAtEnabling helps whoever has agents and no workspace file yet.
func (r *resolver) hintAtEnabling() {
	names := r.tree.repos[ownRepo].names()
	if r.tree.fileSeen || len(names) == 0 {
		return
	}
	list := strings.Join(names[:min(5, len(names))], ", ")
	if len(names) > 5 {
		list += ", …"
	}
	r.report.warn(at("."), "nothing is enabled", "write a workspace.yaml with spec.enable",
		"there is no workspace file, and agents run only where one enables them: %s", list)
}

// source is the place to name for what the workspace as a whole asks for.
func (r *resolver) source() schema.Pos {
	if r.tree.fileDoc != nil {
		return r.tree.fileDoc.Pos
	}
	return at(".")
}

// checkRules says where the host allows less than the workspace asks for.
func (r *resolver) checkRules() {
	if r.tree.policy.mountsFromHost {
		p := r.tree.file.Policy.Mounts
		r.report.warn(p.Pos, "narrowed by the host", "", "mounts: %s is asked for; the host allows %s", p.V, r.tree.policy.mounts)
	}
}

func (r *resolver) add(res plan.Resource) *plan.Resource {
	r.resources[res.ID] = &res
	return &res
}

// id is the resource of an instance.
func (i *instance) id() plan.ID { return plan.ID{Kind: plan.Manifest, Name: i.name} }

func (r *resolver) addInstance(i *instance) {
	res := r.add(plan.Resource{
		ID: i.id(), Name: r.tree.name + "-" + i.name, Origin: i.entry.Pos.String(), Want: plan.WantRunning,
	})
	switch {
	case i.agent == nil:
		reason := *i.repo.blocked
		name := "the repo " + i.repo.name
		reason.Text = name + " cannot be had: " + strings.TrimPrefix(reason.Text, summaryRepo+": "+name+": ")
		res.Blocked = append(res.Blocked, reason)
		return
	case i.agent.manifest == nil || i.agent.doc.Invalid:
		res.Blocked = append(res.Blocked, plan.Reason{Code: plan.CodeInvalid, Text: "the manifest has errors", Origin: i.agent.pos().String()})
		return
	}
	res.Needs = needsOf(i)
	res.Needs = append(res.Needs, r.needNetwork(i.entry.Pos))
	spec, blocked := r.containerOf(i)
	res.Spec.Container = &spec
	res.Places = placesOf(i, r.tree.file, spec)
	if i.entry.Mode == schema.EnableLocal {
		res.Own = []string{r.tree.workDir(i)}
	}
	res.Hooks, res.Blocked = r.hooksOf(i, spec.Env)
	res.Blocked = slices.Concat(res.Blocked, blocked, i.agent.blocked, r.tree.refused[i.agent.doc.Pos])
	if spec.Installed {
		res.Needs = append(res.Needs, r.addImage(i, spec))
	}
}

// needsOf turns enable entries into edges, one for each instance.
func needsOf(i *instance) []plan.Need {
	var needs []plan.Need
	for _, e := range i.edges {
		known := slices.ContainsFunc(needs, func(n plan.Need) bool { return n.On == e.to.id() })
		if e.entry.NoWait || e.cycle != nil || known {
			continue
		}
		needs = append(needs, plan.Need{On: e.to.id(), Until: plan.UntilReady, Origin: e.entry.Pos.String()})
	}
	return needs
}

// repoGaps are the repos that cannot be had: what their manifests enable is
// not known.
func (r *resolver) repoGaps() []plan.Reason {
	var gaps []plan.Reason
	for _, i := range r.tree.closure.instances {
		if i.agent == nil {
			gaps = append(gaps, plan.Reason{
				Code: plan.CodePartial, Text: "what " + i.name + " enables is not known: the repo " + i.repo.name + " cannot be had", Origin: i.entry.Pos.String(),
			})
		}
	}
	return gaps
}

// networkName is the workspace's name, but for the words that Podman takes for
// ways of being connected. One with IPv6 is another network: containers move to it
// before the one that they were on goes.
func (t *Tree) networkName() string {
	if t.file.NetworkIPv6.V {
		return t.name + ipv6Suffix
	}
	switch t.name {
	case "podman", "default", "none", "host", "bridge", "private", "container", "ns", "pasta", "slirp4netns":
		return t.name + "-workspace"
	}
	return t.name
}

// ipv6Suffix ends the name of a network with IPv6.
const ipv6Suffix = "-ipv6"

func (r *resolver) networkID() plan.ID {
	id := plan.ID{Kind: plan.Network, Name: r.tree.name}
	if r.tree.file.NetworkIPv6.V {
		id.Name += ipv6Suffix
	}
	return id
}

func (r *resolver) needNetwork(pos schema.Pos) plan.Need {
	return plan.Need{On: r.networkID(), Until: plan.UntilExists, Origin: pos.String()}
}

// addNetwork adds the network when a container is to be on it.
func (r *resolver) addNetwork() {
	for _, res := range r.resources {
		if res.Spec.Container != nil {
			r.add(plan.Resource{
				ID: r.networkID(), Name: r.tree.networkName(), Origin: r.source().String(),
				Spec: plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge", DNS: true, IPv6: r.tree.file.NetworkIPv6.V}},
			})
			return
		}
	}
}

func sortReasons(rs []plan.Reason) []plan.Reason {
	slices.SortFunc(rs, func(a, b plan.Reason) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(rs)
}
