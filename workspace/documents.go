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

// repoFolders are the folders of the workspace that are repos of their own.
func (t *Tree) repoFolders() []string {
	var dirs []string
	for _, r := range t.repos {
		if dir, ok := t.insideFolder(r.decl); ok {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// dropLateRepos takes out what was read in folders that turned out to be
// repos: those that manifests name.
func (t *Tree) dropLateRepos() {
	skip := t.repoFolders()
	if len(skip) == 0 {
		return
	}
	inside := map[string]bool{}
	for _, name := range t.scan.documents {
		inside[name] = below(name, skip)
	}
	keep := t.documents[:0]
	for _, doc := range t.documents {
		if !inside[doc.Pos.File] && !(strings.HasSuffix(doc.Pos.File, ".cue") && below(doc.Pos.File, skip)) {
			keep = append(keep, doc)
		}
	}
	t.documents = keep
	t.report.problems = slices.DeleteFunc(t.report.problems, func(p problem) bool { return inside[p.Pos.File] })
}

func below(name string, dirs []string) bool {
	for _, dir := range dirs {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}
