// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bytes"
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const (
	summaryCUE = "cannot evaluate CUE"
	policyCUE  = "policy.cue"
)

func (t *Tree) hasPolicyCUE() {
	info, err := fs.Lstat(t.files, policyCUE)
	t.policyCUE = err == nil && info.Mode().IsRegular()
}

// loadCUE evaluates the packages of the workspace that hold objects, all in
// one go, and takes the workspace file if it is among them.
func (t *Tree) loadCUE(ctx context.Context) ([]schema.EvalObject, error) {
	for _, name := range t.scan.cueFiles {
		required := path.Base(name) == "manifest.cue" && isAgentFolder(path.Dir(name)) || name == "workspace.cue"
		if src, ok := t.read(t.files, name, name, required); ok {
			t.cue[name] = src
		}
	}
	req := schema.EvalRequest{Files: t.cue}
	for _, dir := range t.scan.cueDirs {
		if t.holdsObjects(dir) {
			req.Dirs = append(req.Dirs, dir)
		}
	}
	if len(req.Dirs) == 0 {
		return nil, nil
	}
	res, err := t.eval(ctx, req, at(req.Dirs[0]))
	if err != nil {
		return nil, err
	}
	objects := slices.DeleteFunc(res.Objects, func(o schema.EvalObject) bool {
		if o.Kind != schema.KindWorkspace {
			return false
		}
		doc, ds := schema.DecodeNode(o.Node, schema.Options{Kind: o.Kind, Cache: t.opt.Cache, Unified: t.policyCUE})
		t.report.add(ds...)
		t.setWorkspace(doc, ds)
		return true
	})
	t.cueProblems = res.Diagnostics
	return objects, nil
}

// holdsObjects reports whether the packages of a folder are worth evaluating.
func (t *Tree) holdsObjects(dir string) bool {
	for name, src := range t.cue {
		if path.Dir(name) != dir || name == policyCUE {
			continue
		}
		if name == "workspace.cue" || bytes.Contains(src, []byte("apiVersion")) || slices.Contains(t.scan.manifests[dir], name) {
			return true
		}
	}
	return false
}

// eval calls the evaluator. That it fails is a problem of the files it was
// given.
func (t *Tree) eval(ctx context.Context, req schema.EvalRequest, pos schema.Pos) (schema.EvalResponse, error) {
	call := t.opt.Eval
	if call == nil {
		call = EvalCUE
	}
	res, err := call(ctx, req)
	if ctx.Err() != nil {
		return res, ctx.Err()
	}
	if err != nil {
		t.report.fail(pos, summaryCUE, "", "%v", err)
		t.isPartial(pos, summaryCUE)
	}
	return res, nil
}

// takeCUEProblems gives each agent what is wrong in its folder and reports the
// rest.
func (t *Tree) takeCUEProblems() {
	ours, skip := t.cueIsOurs(), t.repoFolders()
	for _, d := range t.cueProblems {
		if below(d.Pos.File, skip) {
			continue // reported when the repo's manifest is read
		}
		if !ours {
			d.Severity = schema.Warning
		}
		dir := path.Dir(d.Pos.File)
		a := t.repos[ownRepo].agents[path.Base(dir)]
		if a != nil && a.dir == dir && path.Ext(a.files[0]) == ".cue" {
			a.ds = append(a.ds, d)
			continue
		}
		t.report.add(d)
	}
}

// cueIsOurs reports whether any CUE of the workspace is about us. Packages
// import each other, so that a problem of one may hide objects of another: only
// when none is about us is it none of our business.
func (t *Tree) cueIsOurs() bool {
	for name, src := range t.cue {
		if name == "workspace.cue" || slices.Contains(t.scan.manifests[path.Dir(name)], name) {
			return true
		}
		for _, mark := range []string{"reconcile/v", "kubetask.io/v", "kubeopencode.io/v", "clrk.apoxy.dev/v", schema.SchemaModule} {
			if bytes.Contains(src, []byte(mark)) {
				return true
			}
		}
	}
	return false
}

func (t *Tree) decodeManifestNode(a *agent, n *schema.Node) {
	doc, ds := schema.DecodeNode(n, t.manifestOptions())
	a.ds = append(a.ds, ds...)
	a.setDocument(doc)
}

// readManifestCUE evaluates the manifest.cue of another repo. The workspace's
// own are evaluated together when it is loaded.
func (t *Tree) readManifestCUE(ctx context.Context, a *agent) {
	if a.repo.name == ownRepo {
		return
	}
	files, ok := t.cueOf(a.repo)
	if !ok {
		return
	}
	res, err := t.eval(ctx, schema.EvalRequest{Files: files, Dirs: []string{a.dir}}, a.pos())
	if err != nil {
		return // ctx is done, which Load reports
	}
	for _, d := range res.Diagnostics {
		d.Pos.File = a.repo.display(d.Pos.File)
		t.report.add(d)
	}
	for _, o := range res.Objects {
		if o.Kind == schema.KindManifest && o.File == a.files[0] {
			relabel(o.Node, a.repo)
			doc, ds := schema.DecodeNode(o.Node, t.manifestOptions())
			t.report.add(ds...)
			a.setDocument(doc)
		}
	}
}

// cueOf returns the .cue files of a repo, hidden folders left out.
func (t *Tree) cueOf(r *repo) (map[string][]byte, bool) {
	if r.cue != nil {
		return r.cue, true
	}
	r.cue = map[string][]byte{}
	good := true
	err := fs.WalkDir(r.files, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type().IsRegular() && path.Ext(name) == ".cue":
			src, ok := t.read(r.files, name, r.display(name), true)
			good = good && ok
			r.cue[name] = src
		}
		return nil
	})
	if err != nil {
		t.report.fail(at(r.display(".")), summaryUnreadable, "", "%v", cause(err))
		good = false
	}
	return r.cue, good
}

func relabel(n *schema.Node, r *repo) {
	if n == nil || r.label == "" {
		return
	}
	n.Pos.File = r.display(n.Pos.File)
	for i := range n.Fields {
		n.Fields[i].Pos.File = r.display(n.Fields[i].Pos.File)
		relabel(n.Fields[i].Value, r)
	}
	for _, item := range n.Items {
		relabel(item, r)
	}
}

// applyPolicyCUE unifies every object that is desired with policy.cue.
func (t *Tree) applyPolicyCUE(ctx context.Context) error {
	if !t.policyCUE {
		return nil
	}
	req := schema.EvalRequest{Files: t.cue, Policy: policyCUE}
	var starts []schema.Pos
	add := func(doc schema.Document) {
		if doc.Unified != nil && !doc.Invalid {
			req.Objects = append(req.Objects, schema.PolicyObject{Kind: doc.Kind, Node: doc.Unified})
			starts = append(starts, doc.Pos)
		}
	}
	if t.fileDoc != nil {
		add(*t.fileDoc)
	}
	for _, doc := range t.documents {
		add(doc)
	}
	for _, a := range t.closure.agents {
		add(a.doc)
	}
	res, err := t.eval(ctx, req, at(policyCUE))
	if err != nil {
		return err
	}
	for _, d := range res.Diagnostics {
		start, ok := objectAt(starts, d.Pos)
		if !d.Policy || !ok || t.fileDoc != nil && start == t.fileDoc.Pos {
			t.report.add(d)
			continue
		}
		t.report.spare(d)
		t.refused[start] = append(t.refused[start], plan.Reason{Code: plan.CodePolicy, Text: d.Summary + ": " + strings.ReplaceAll(d.Detail, "\n", "; "), Origin: d.Pos.String()})
	}
	return nil
}

// objectAt returns the object that a place is in: the last one of the file
// that starts before it.
func objectAt(starts []schema.Pos, pos schema.Pos) (schema.Pos, bool) {
	var best schema.Pos
	found := false
	for _, s := range starts {
		if s.File == pos.File && s.Compare(pos) <= 0 && (!found || s.Compare(best) > 0) {
			best, found = s, true
		}
	}
	return best, found
}
