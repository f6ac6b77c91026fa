// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
	"reconcile/tree"
)

// The summaries about manifests.
const (
	summaryTwoManifests = "two manifests"
	summaryAgentName    = "invalid agent name"
)

// agent is a folder with a manifest.
type agent struct {
	repo  *repo
	name  string
	files []string // its manifests, in the repo; one, or it is an error
	dir   string   // its folder in the repo

	read     bool // manifest and ds are set
	manifest *schema.Manifest
	doc      schema.Document
	ds       schema.Diagnostics // of reading it
	partial  []plan.Reason      // of reading it
	enabled  bool
	copied   bool // an instance gets a copy of its folder

	tree   string // hash of its folder
	source string // of a copy of its folder

	hookFiles map[string]string // that preinstall names → the digest of what is in them
	blocked   []plan.Reason     // what its hooks and probes name and cannot have
}

// pos is the manifest.
func (a *agent) pos() schema.Pos { return at(a.repo.display(a.files[0])) }

func manifestNames() []string { return []string{"manifest.json", "manifest.yaml", "manifest.cue"} }

// isAgentFolder reports whether a folder of a repo can be an agent's.
func isAgentFolder(dir string) bool {
	parent, base := path.Split(dir)
	return base != "." && base != "" && (parent == "" || parent == "agents/")
}

// find returns the agent name of r, or nil. Two folders of one name are one
// agent with two manifests.
func (r *repo) find(name string) *agent {
	if a, ok := r.agents[name]; ok || r.files == nil || r.name == ownRepo {
		return a
	}
	var files []string
	for _, dir := range []string{name, path.Join("agents", name)} {
		for _, base := range manifestNames() {
			file := path.Join(dir, base)
			_, err := fs.Lstat(r.files, file)
			hidden := errors.Is(err, fs.ErrPermission) && len(files) == 0 // reading it says so
			if err == nil || hidden {
				files = append(files, file)
			}
		}
	}
	r.agents[name] = newAgent(r, name, files)
	return r.agents[name]
}

func newAgent(r *repo, name string, files []string) *agent {
	if len(files) == 0 {
		return nil
	}
	return &agent{repo: r, name: name, files: files, dir: path.Dir(files[0])}
}

// names lists the agents of r.
func (r *repo) names() []string {
	var names []string
	if r.name != ownRepo && r.files != nil {
		for _, dir := range []string{".", "agents"} {
			entries, err := fs.ReadDir(r.files, dir)
			if err != nil {
				continue
			}
			for _, e := range entries {
				if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
					r.find(e.Name())
				}
			}
		}
	}
	for name, a := range r.agents {
		if a != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// discoverAgents finds the workspace's own agents and reads their manifests,
// enabled or not.
func (t *Tree) discoverAgents(objects []schema.EvalObject) {
	own := t.repos[ownRepo]
	byName := map[string][]string{}
	repos := t.repoFolders()
	for dir, files := range t.scan.manifests {
		if below(dir+"/", repos) || below(t.scan.linked[dir]+"/", repos) {
			continue
		}
		byName[path.Base(dir)] = append(byName[path.Base(dir)], files...)
	}
	for name, files := range byName {
		slices.Sort(files)
		own.agents[name] = newAgent(own, name, files)
	}
	nodes := map[string]*schema.Node{}
	for _, o := range objects {
		if o.Kind == schema.KindManifest {
			nodes[o.File] = o.Node
		}
	}
	t.takeCUEProblems()
	for _, name := range own.names() {
		a := own.agents[name]
		if n, ok := nodes[a.files[0]]; ok {
			t.decodeManifestNode(a, n)
		}
	}
}

// readManifest reads an agent's manifest, once.
func (t *Tree) readManifest(ctx context.Context, a *agent) {
	if a.read {
		return
	}
	a.read = true
	// What reading reports is the agent's own until it is known to be enabled.
	outer, partial := t.report, t.partial
	t.report, t.partial = report{}, nil
	defer func() {
		a.ds = append(a.ds, t.report.diagnostics()...)
		a.partial = t.partial
		t.report, t.partial = outer, partial
	}()
	t.checkAgent(a)
	file := a.files[0]
	display := a.repo.display(file)
	if path.Ext(file) == ".cue" {
		t.readManifestCUE(ctx, a)
		return
	}
	src, ok := t.read(a.repo.files, file, display, true)
	if !ok {
		return
	}
	f, ds := schema.DecodeFile(display, src, t.manifestOptions())
	t.report.add(ds...)
	if len(f.Documents) > 1 {
		t.report.fail(f.Documents[1].Pos, summaryTwoManifests, "keep one document in the file", "the file already holds one at %s", f.Documents[0].Pos)
	}
	if len(f.Documents) > 0 {
		a.setDocument(f.Documents[0])
	}
}

func (t *Tree) manifestOptions() schema.Options {
	return schema.Options{Kind: schema.KindManifest, Profile: t.profile, Cache: t.opt.Cache, Unified: t.policyCUE}
}

func (a *agent) setDocument(doc schema.Document) {
	a.doc = doc
	if m, ok := doc.Object.(*schema.Manifest); ok {
		a.manifest = m
	}
}

func (t *Tree) checkAgent(a *agent) {
	if !schema.IsName(a.name) {
		t.report.fail(a.pos(), summaryAgentName, renameHint(a.name), "the folder %q is not a DNS label: at most 63 lower-case letters, digits and dashes", a.name)
	}
	for _, other := range a.files[1:] {
		t.report.fail(at(a.repo.display(other)), summaryTwoManifests, "remove one of them", "the agent %s also has %s", a.name, a.pos())
	}
}

func renameHint(name string) string {
	if l := label(name); l != "" {
		return fmt.Sprintf("rename the folder, for example to %q", l)
	}
	return "rename the folder"
}

// warnOfIdleManifests turns what is wrong with the workspace's manifests that
// nothing enables into warnings.
func (t *Tree) warnOfIdleManifests(ctx context.Context) {
	own := t.repos[ownRepo]
	for _, name := range own.names() {
		a := own.agents[name]
		if a.enabled {
			continue
		}
		t.readManifest(ctx, a)
		t.report.add(downgraded(a.ds)...)
	}
}

// hashFolders hashes the folders of enabled agents that are copied.
func (t *Tree) hashFolders(ctx context.Context) {
	hash := t.opt.Hash
	if hash == nil {
		hash = tree.Hash
	}
	for _, a := range t.closure.agents {
		if ctx.Err() != nil {
			return
		}
		if !a.copied || a.manifest == nil || a.doc.Invalid {
			continue
		}
		files, done, err := a.repo.sub(a.dir)
		if err == nil {
			a.tree, err = hash(files)
			err = errors.Join(err, done())
		}
		if err == nil {
			a.source, err = a.repo.source(a.dir)
		}
		if err != nil {
			t.report.fail(a.pos(), "agent's folder cannot be copied", "", "%v", err)
			t.isPartial(a.pos(), "the agent's folder cannot be read")
		}
	}
}

// source is what plan.Mount.From says of a folder.
func (r *repo) source(dir string) (string, error) {
	if s, ok := r.files.(sourcer); ok {
		return s.Source(dir)
	}
	if r.dir == "" {
		return "", fmt.Errorf("the repo %s cannot name its folders", r.name)
	}
	return filepath.Join(r.dir, filepath.FromSlash(dir)), nil
}
