// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"hash/maphash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"

	"reconcile/tree"
)

// view is what a Watcher knows of the file system.
type view struct {
	folders map[string]*folder // by path without links
	// gates are the entries by which the roots are reached, links on the way
	// included: folder → names. What happens to one may make a root another folder.
	gates map[string]map[string]bool
}

// folder is a folder that is watched, with a digest of its entries.
type folder struct {
	only  map[string]bool     // the entries that matter; nil = all, and folders below
	rules []gitignore.Pattern // of .reconcileignore files, relative to root
	root  string
	id    uint64 // tells it from another one of its name
	sum   uint64
	blind bool // it cannot be read
}

// sameFolders reports whether v holds the very folders of o.
func (v view) sameFolders(o view) bool {
	if len(v.folders) != len(o.folders) {
		return false
	}
	for dir, f := range v.folders {
		if was := o.folders[dir]; was == nil || was.id != f.id || was.blind != f.blind {
			return false
		}
	}
	return true
}

// differs returns the folders of either that are not the same in both.
func (v view) differs(o view) []string {
	var dirs []string
	for dir, f := range v.folders {
		if was := o.folders[dir]; was == nil || was.id != f.id || was.sum != f.sum {
			dirs = append(dirs, dir)
		}
	}
	for dir := range o.folders {
		if v.folders[dir] == nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// count is the number of folders that are watched for what they hold.
func (v view) count() int {
	n := 0
	for _, f := range v.folders {
		if f.only == nil {
			n++
		}
	}
	return n
}

// viewer reads folders into a view.
type viewer struct {
	seed    maphash.Seed
	ignored func(path string, dir bool) bool // nil = nothing
	add     func(dir string) error           // is called before a folder is read; nil = nobody
	err     error                            // the first of add that is a limit of the system
	added   []string                         // the folders that are new in view
	view    view
}

// viewOf reads everything that matters for roots.
func (r *viewer) viewOf(roots []string) view {
	r.view = view{folders: map[string]*folder{}, gates: map[string]map[string]bool{}}
	for _, root := range roots {
		target, gates := route(root)
		for _, g := range gates {
			r.gate(g)
		}
		if target == "" {
			continue
		}
		r.tree(target, &folder{root: target})
		r.git(target)
	}
	return r.view
}

// gate adds a step of the way to a root.
func (r *viewer) gate(g step) {
	if r.view.gates[g.dir] == nil {
		r.view.gates[g.dir] = map[string]bool{}
	}
	r.view.gates[g.dir][g.name] = true
	r.some(g.dir, g.name)
}

// some adds a folder of which some entries matter.
func (r *viewer) some(dir string, names ...string) {
	f := r.view.folders[dir]
	if f == nil {
		f = &folder{only: map[string]bool{}}
	}
	if f.only != nil { // else all entries matter already
		for _, name := range names {
			f.only[name] = true
		}
		r.put(dir, f)
		r.fill(dir, f)
	}
}

// gitLogs is where git writes down each commit that it checks out or makes.
const gitLogs = "logs"

// git adds the places that tell which commit is checked out in root.
func (r *viewer) git(root string) {
	dir := gitDir(root)
	if dir == "" {
		return
	}
	logs := filepath.Join(dir, gitLogs)
	r.some(dir, "HEAD", gitLogs)
	if info, err := os.Lstat(logs); err == nil && info.IsDir() {
		r.some(logs, "HEAD")
	}
}

// tree adds the folder dir, which f describes but for what is read here, and
// all below it. Nothing that is made in it can be missed: it is watched before it
// is read.
func (r *viewer) tree(dir string, f *folder) {
	if known := r.view.folders[dir]; r.err != nil || known != nil && known.only == nil {
		return
	}
	r.put(dir, f)
	list, err := os.ReadDir(dir)
	if slices.ContainsFunc(list, func(d fs.DirEntry) bool { return d.Name() == ignoreFile }) {
		f.rules = append(slices.Clip(f.rules), r.rules(dir, f.root)...)
	}
	entries := r.choose(dir, f, list)
	r.digest(f, entries, err)
	for _, e := range entries {
		if e.info.IsDir() {
			r.tree(filepath.Join(dir, e.name), &folder{rules: f.rules, root: f.root, id: inode(e.info)})
		}
	}
}

func (r *viewer) rules(dir, root string) []gitignore.Pattern {
	src, err := os.ReadFile(filepath.Join(dir, ignoreFile))
	if err != nil {
		return nil
	}
	return parseIgnore(src, segments(root, dir))
}

// put adds a folder to the view, and begins to watch it.
func (r *viewer) put(dir string, f *folder) {
	r.view.folders[dir] = f
	r.added = append(r.added, dir)
	if r.add != nil && r.err == nil {
		if err := r.add(dir); isLimit(err) {
			r.err = err
		}
	}
	if f.id != 0 {
		return
	}
	if info, err := os.Lstat(dir); err == nil {
		f.id = inode(info)
	}
}

// fill sets the digest of a folder and returns what counts in it, sorted.
func (r *viewer) fill(dir string, f *folder) []entry {
	if f.only != nil {
		entries := r.chosen(dir, f)
		r.digest(f, entries, nil)
		return entries
	}
	list, err := os.ReadDir(dir)
	entries := r.choose(dir, f, list)
	r.digest(f, entries, err)
	return entries
}

func (r *viewer) digest(f *folder, entries []entry, err error) {
	f.blind = err != nil
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, e := range entries {
		h.WriteString(e.name)
		h.WriteByte(0)
		maphash.WriteComparable(&h, e.state())
	}
	f.sum = h.Sum64()
}

type entry struct {
	name string
	info fs.FileInfo
}

// state is by what a change of an entry is known. The size and time of a folder
// say what happened in it, which is its own business.
func (e entry) state() (s struct {
	mode          fs.FileMode
	id            uint64
	size, written int64
},
) {
	s.mode, s.id = e.info.Mode(), inode(e.info)
	if !e.info.IsDir() {
		s.size, s.written = e.info.Size(), e.info.ModTime().UnixNano()
	}
	return s
}

// chosen are the entries that f names, sorted.
func (r *viewer) chosen(dir string, f *folder) []entry {
	var entries []entry
	for _, name := range slices.Sorted(maps.Keys(f.only)) {
		if info, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			entries = append(entries, entry{name, info})
		}
	}
	return entries
}

// choose returns what counts of a list of entries.
func (r *viewer) choose(dir string, f *folder, list []fs.DirEntry) []entry {
	var entries []entry
	for _, d := range list {
		if !r.matters(dir, f, d.Name(), d.IsDir()) {
			continue
		}
		if info, err := d.Info(); err == nil { // else it is gone already
			entries = append(entries, entry{d.Name(), info})
		}
	}
	return entries
}

// matters reports whether an entry of the folder f is one to look at.
func (r *viewer) matters(dir string, f *folder, name string, isDir bool) bool {
	if f.only != nil {
		return f.only[name]
	}
	if name == ".git" || tree.OfEditor(name) {
		return false
	}
	path := filepath.Join(dir, name)
	if len(f.rules) > 0 && gitignore.NewMatcher(f.rules).Match(segments(f.root, path), isDir) {
		return false
	}
	return r.ignored == nil || !r.ignored(path, isDir)
}

// segments are the names on the way from root to path.
func segments(root, path string) []string {
	rel, err := filepath.Rel(root, path)
	if err != nil || rel == "." {
		return nil
	}
	return strings.Split(filepath.ToSlash(rel), "/")
}
