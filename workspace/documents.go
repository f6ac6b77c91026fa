// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"slices"
	"strings"

	"reconcile/schema"
)

// decodeDocuments reads the objects of the workspace that are neither its file
// nor manifests.
func (t *Tree) decodeDocuments(ctx context.Context, objects []schema.EvalObject) {
	skip := t.repoFolders()
	for _, name := range t.scan.documents {
		if ctx.Err() != nil {
			return
		}
		if below(name, skip) {
			continue
		}
		src, ok := t.read(t.files, name, name, false)
		if !ok {
			continue
		}
		f, ds := schema.DecodeFile(name, src, schema.Options{Cache: t.opt.Cache, Unified: t.policyCUE})
		t.report.add(ds...)
		t.ignored = append(t.ignored, f.Ignored...)
		for _, doc := range f.Documents {
			t.addDocument(doc)
			if s, ok := doc.Object.(*schema.Secret); ok && s.SOPS {
				t.keepSOPS(name, src)
			}
		}
	}
	for _, o := range objects {
		if o.Kind == schema.KindManifest || below(o.File, skip) {
			continue
		}
		doc, ds := schema.DecodeNode(o.Node, schema.Options{Cache: t.opt.Cache, Unified: t.policyCUE})
		t.report.add(ds...)
		switch {
		case doc.Kind != "":
			t.addDocument(doc)
		case !ds.HasErrors():
			t.ignored = append(t.ignored, schema.Ignored{Pos: o.Node.Pos, Why: "another API group"})
		}
	}
}

// addDocument keeps a document. A second workspace file is an error wherever
// it lies.
func (t *Tree) addDocument(doc schema.Document) {
	if doc.Kind == schema.KindWorkspace {
		t.report.fail(doc.Pos, "workspace file in the wrong place", "put it into workspace.yaml at the root of the workspace", "an object of kind Workspace is only read there")
		return
	}
	t.documents = append(t.documents, doc)
}

// keepSOPS keeps a file for sops, which decrypts files as a whole.
func (t *Tree) keepSOPS(name string, src []byte) {
	if t.sopsFiles == nil {
		t.sopsFiles = map[string][]byte{}
	}
	t.sopsFiles[name] = src
}

// settleRepos reads the objects and agents of the workspace and follows its
// enable entries. Where a manifest names a folder of the workspace as a repo,
// nothing in it is the workspace's own, and all is looked at again without it:
// what is found does not depend on when it is known.
func (t *Tree) settleRepos(ctx context.Context, objects []schema.EvalObject) {
	for {
		before := *t
		t.decodeDocuments(ctx, objects)
		t.findContexts()
		t.openWorkspaceRepos(ctx)
		t.discoverAgents(objects)
		t.follow(ctx)
		late := t.readTooEarly()
		if len(late) == 0 || ctx.Err() != nil {
			return
		}
		closers, answers := t.closer, t.git
		*t = before
		t.closer, t.git, t.lateRepos = closers, answers, append(slices.Clip(t.lateRepos), late...)
	}
}

// readTooEarly returns the folders that manifests name as repos and that were
// taken for parts of the workspace.
func (t *Tree) readTooEarly() []string {
	known := t.repoFolders()
	var late []string
	for _, name := range t.order {
		dir, inside := t.insideFolder(t.repos[name].decl)
		if inside && !below(dir+"/", known) && t.scan.holds(dir) {
			late = append(late, dir)
		}
	}
	return late
}

// holds reports whether anything in the folder dir was found.
func (s *scan) holds(dir string) bool {
	inside := func(name string) bool { return below(name, []string{dir}) }
	for agent := range s.manifests {
		if inside(agent + "/") {
			return true
		}
	}
	return slices.ContainsFunc(s.documents, inside) || slices.ContainsFunc(s.cueFiles, inside)
}

// repoFolders are the folders of the workspace that are repos of their own, as
// far as that is known.
func (t *Tree) repoFolders() []string {
	dirs := slices.Clone(t.lateRepos)
	for _, decl := range t.file.Repos {
		if dir, ok := t.insideFolder(decl); ok {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func below(name string, dirs []string) bool {
	for _, dir := range dirs {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}
