// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const ignoreFile = ".reconcileignore"

// scan is what a walk over the workspace found, by slash paths in it.
type scan struct {
	documents []string            // .yaml, .yml and .json files that are no manifests
	cueFiles  []string            // everything that CUE may read
	cueDirs   []string            // folders with a .cue file
	manifests map[string][]string // folder → manifest files in it
	links     []string            // links that have the name of a document
	linked    map[string]string   // agents' folders that are links → where they lead
	seen      map[string]bool     // regular files among the above
}

// walk lists the files that matter: hidden entries, what .reconcileignore
// names, local repos of the workspace file, nested git work trees that are no
// agents, and the state and secrets directories are left out.
func (t *Tree) walk(ctx context.Context) {
	t.scan.manifests = map[string][]string{}
	t.scan.seen, t.scan.linked = map[string]bool{}, map[string]string{}
	w := walker{t: t, ctx: ctx, skip: map[string]bool{}, submodules: t.submodules()}
	for _, r := range t.file.Repos {
		if dir, ok := t.insideFolder(r); ok {
			w.skip[dir] = true
		}
	}
	for _, own := range []string{t.opt.StateDir, t.opt.SecretsDir} {
		if dir, ok := t.inside(own); ok {
			w.skip[dir] = true
		}
	}
	w.folder(".", nil)
	for _, link := range t.scan.links {
		w.link(link)
	}
	slices.Sort(t.scan.documents)
}

type walker struct {
	t    *Tree
	ctx  context.Context //nolint:containedctx // lives for one walk
	skip map[string]bool
	// submodules of a commit, which have no .git as they would have in a work tree.
	submodules map[string]bool
}

func (w *walker) folder(dir string, patterns []gitignore.Pattern) {
	if w.ctx.Err() != nil {
		return
	}
	entries, err := fs.ReadDir(w.t.files, dir)
	if err != nil {
		w.t.unread = append(w.t.unread, unread{dir, err})
		return
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return slices.Contains(names, e.Name()) })
	}
	// An agent may be a submodule.
	if dir != "." && (has(".git") || w.submodules[dir]) && !(isAgentFolder(dir) && has(manifestNames()...)) {
		w.t.ignored = append(w.t.ignored, schema.Ignored{Pos: at(dir), Why: "a git work tree of its own"})
		return
	}
	if has(ignoreFile) {
		patterns = append(slices.Clip(patterns), w.t.ignorePatterns(dir)...)
	}
	hasCUE := false
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."), w.skip[name]:
			continue
		case len(patterns) > 0 && gitignore.NewMatcher(patterns).Match(strings.Split(name, "/"), e.IsDir()):
			continue
		case e.IsDir() && e.Name() == "cue.mod":
			w.module(name)
		case e.IsDir():
			w.folder(name, patterns)
		case e.Type() == fs.ModeSymlink:
			w.t.scan.links = append(w.t.scan.links, name)
		case e.Type().IsRegular():
			hasCUE = w.file(dir, name) || hasCUE
		case isDocument(name):
			w.t.report.warn(at(name), summaryNotRead, "", "it is not a regular file")
		}
	}
	if hasCUE {
		w.t.scan.cueDirs = append(w.t.scan.cueDirs, dir)
	}
}

// file sorts a regular file and reports whether it is CUE.
func (w *walker) file(dir, name string) bool {
	s := &w.t.scan
	base, ext := path.Base(name), path.Ext(name)
	switch {
	case !isDocument(name):
		return false
	case !w.t.goodName(name):
		return false
	}
	s.seen[name] = true
	if slices.Contains(manifestNames(), base) && isAgentFolder(dir) {
		s.manifests[dir] = append(s.manifests[dir], name)
	}
	if ext == ".cue" {
		s.cueFiles = append(s.cueFiles, name)
		return true
	}
	switch {
	case dir == "." && slices.Contains(workspaceNames(), name), slices.Contains(s.manifests[dir], name):
	case base == "manifest.yml" && isAgentFolder(dir):
		w.t.report.warn(at(name), summaryNotRead, "rename it to manifest.yaml", "a manifest is called manifest.json, manifest.yaml or manifest.cue")
	default:
		s.documents = append(s.documents, name)
	}
	return false
}

// module collects the files of a CUE module.
func (w *walker) module(dir string) {
	err := fs.WalkDir(w.t.files, dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && path.Ext(name) == ".cue" {
			w.t.scan.cueFiles = append(w.t.scan.cueFiles, name)
		}
		return err
	})
	if err != nil {
		w.t.unread = append(w.t.unread, unread{dir, err})
	}
}

// link looks at a symbolic link. One to a file of the workspace that is read
// at its own place is nothing; one to a hidden or ignored file of the workspace
// is read here, and so is the manifest in a folder of it; one that leads out is
// reported.
func (w *walker) link(name string) {
	required := slices.Contains(workspaceNames(), name) ||
		slices.Contains(manifestNames(), path.Base(name)) && isAgentFolder(path.Dir(name))
	info, err := fs.Stat(w.t.files, name)
	switch {
	case err != nil && required && path.Base(name) != name:
		w.t.scan.manifests[path.Dir(name)] = append(w.t.scan.manifests[path.Dir(name)], name) // reading it says why
	case err != nil && escapes(err):
		if required || isDocument(name) || w.t.leadsToFolder(name) {
			w.t.linkLeaves(name, required)
		}
	case err != nil && isDocument(name):
		w.t.linkBroken(name, required, err)
	case err == nil && info.IsDir():
		w.agentLink(name)
	case err != nil || !isDocument(name):
	case !info.Mode().IsRegular():
		w.t.report.warn(at(name), summaryNotRead, "", "it is not a regular file")
	case w.t.scan.seen[w.t.resolved(name)] && !required:
	default:
		if w.file(path.Dir(name), name) && !slices.Contains(w.t.scan.cueDirs, path.Dir(name)) {
			w.t.scan.cueDirs = append(w.t.scan.cueDirs, path.Dir(name))
		}
	}
}

// agentLink looks for the manifest of an agent whose folder is a link to a
// folder of the workspace. Other documents are read at their own place.
func (w *walker) agentLink(dir string) {
	if !isAgentFolder(dir) {
		return
	}
	for _, base := range manifestNames() {
		name := path.Join(dir, base)
		if _, err := fs.Lstat(w.t.files, name); err == nil {
			w.t.scan.linked[dir] = w.t.resolved(dir)
			w.link(name)
		}
	}
}

func isDocument(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json", ".cue":
		return true
	}
	return false
}

// goodName reports names that could not be shown or compared.
func (t *Tree) goodName(name string) bool {
	if utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsControl) < 0 {
		return true
	}
	t.report.fail(at(strings.ToValidUTF8(name, "\uFFFD")), "invalid file name", "rename the file", "the path %q holds control characters or is not valid UTF-8", name)
	return false
}

func (t *Tree) ignorePatterns(dir string) []gitignore.Pattern {
	src, ok := t.read(t.files, path.Join(dir, ignoreFile), path.Join(dir, ignoreFile), false)
	if !ok {
		return nil
	}
	var domain []string
	if dir != "." {
		domain = strings.Split(dir, "/")
	}
	return parseIgnore(src, domain)
}

// parseIgnore reads a .reconcileignore of the folder that domain names.
func parseIgnore(src []byte, domain []string) []gitignore.Pattern {
	var patterns []gitignore.Pattern
	for line := range strings.Lines(string(src)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, gitignore.ParsePattern(line, domain))
		}
	}
	return patterns
}

// reportUnread reports the folders that could not be read, but for those that
// instances mount: an instance may have made them its own.
func (t *Tree) reportUnread(r *report, mounted func(dir string) bool) []plan.Reason {
	var partial []plan.Reason
	for _, u := range t.unread {
		if mounted(u.dir) {
			continue
		}
		r.fail(at(u.dir), summaryUnreadable, "make it readable, or name it in "+ignoreFile, "the folder cannot be read: %v", cause(u.err))
		partial = append(partial, plan.Reason{Code: plan.CodePartial, Text: "the folder cannot be read", Origin: at(u.dir).String()})
	}
	return partial
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
