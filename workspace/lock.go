// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// The summaries about the lock file.
const (
	summaryOtherURL   = "lock entry is for another url"
	summaryOtherRef   = "lock entry is for another ref"
	summaryNotLocked  = "not in the lock file"
	summaryUnusedLock = "lock entry is not used"
	summaryOffRef     = "locked commit is no longer on ref"
	summaryUnchecked  = "locked commit is not checked"
	summaryLockedHook = "lock entry contradicts itself"
	summaryNoApproval = "lock entry approves nothing"
)

// loadLock reads the lock file. One that is there and cannot be read is fatal:
// without it refs would be followed that somebody has pinned.
func (t *Tree) loadLock() {
	if _, err := fs.Lstat(t.files, schema.LockFile); isNotExist(err) {
		return
	}
	src, ok := t.read(t.files, schema.LockFile, schema.LockFile, true)
	if !ok {
		return
	}
	lock, ds := schema.DecodeLock(schema.LockFile, src)
	t.report.add(ds...)
	t.lock = lock
}

// isUnlocked reports whether the entry of a repo, context or image is not to
// count.
func (t *Tree) isUnlocked(name string) bool { return t.opt.Unlocked != nil && t.opt.Unlocked(name) }

// pin makes a request for the locked commit, if there is one. False: the entry
// is about something else, which blocks the repo.
func (t *Tree) pin(r *repo, q *GitRequest) bool {
	if t.isUnlocked(r.name) {
		return true
	}
	e, ok := t.lock.Repo(r.name)
	if !ok {
		if t.opt.Locked {
			t.report.fail(r.decl.URL.Pos, summaryNotLocked, updateHint(r.name), "the repo %s has no entry in %s", r.name, schema.LockFile)
		}
		return true
	}
	switch {
	case e.URL.V != q.URL:
		t.misfit(r, r.decl.URL.Pos, summaryOtherURL, "%s locks %s at %s; here it is %s", e.Name.Pos, r.name, safeURL(e.URL.V), safeURL(q.URL))
		return false
	case e.Ref.V != q.Ref:
		pos := r.decl.URL.Pos
		if r.decl.Ref.IsSet() {
			pos = r.decl.Ref.Pos
		}
		t.misfit(r, pos, summaryOtherRef, "%s locks %s at %s; here it is %s", e.Name.Pos, r.name, refText(e.Ref.V), refText(q.Ref))
		return false
	}
	q.Commit, r.locked = e.Commit.V, e
	return true
}

// misfit blocks a repo whose entry is about something else; with Options.Locked
// it is fatal.
func (t *Tree) misfit(r *repo, pos schema.Pos, summary, format string, args ...any) {
	t.block(r, pos, plan.CodeInvalid, summary, updateHint(r.name), format, args...)
	t.fatalIfLocked()
}

// fatalIfLocked makes the last problem fatal with Options.Locked.
func (t *Tree) fatalIfLocked() {
	if t.opt.Locked {
		t.report.problems[len(t.report.problems)-1].fatal = true
	}
}

func refText(ref string) string {
	if ref == "" {
		return "the default branch"
	}
	return "the ref " + ref
}

func updateHint(name string) string { return fmt.Sprintf("run `reconcile update %s`", name) }

// checkPinned reports a locked commit that its ref has lost, or for which that
// could not be found out: what runs is what was locked all the same. key is what
// `reconcile update` calls it.
func (t *Tree) checkPinned(key, name string, e schema.LockedRef, res GitResult) {
	if res.Err != nil {
		t.report.warn(e.Commit.Pos, summaryUnchecked, "", "whether %.12s of %s is still on %s is not known%s: %v",
			e.Commit.V, name, refText(e.Ref.V), since(res.Since, " since "), res.Err)
	}
	if !res.OffRef {
		return
	}
	report := t.report.warn
	if t.opt.Locked {
		report = t.report.fail
	}
	report(e.Commit.Pos, summaryOffRef, "find out why, then "+updateHint(key),
		"%.12s of %s is not on %s any more: it was rewritten, or the lock file was", e.Commit.V, name, refText(e.Ref.V))
}

// Image is a reference that the lock file can pin.
type Image struct {
	Ref    string     // in full
	Digest string     // that it is pinned to; "" = none
	Pos    schema.Pos // of its first use
}

// pinned returns the reference full with the digest that is locked for it, when
// images are to be pinned. The tag stays, for people and as a name for what is
// pulled.
func (r *resolver) pinned(full string, pos schema.Pos) string {
	t := r.tree
	if !t.file.ImagesPin.V || strings.Contains(full, "@") || strings.HasPrefix(full, "localhost/") {
		return full
	}
	e, ok := t.lock.Image(full)
	ok = ok && !t.isUnlocked(full)
	r.useImage(Image{Ref: full, Digest: e.Digest.V, Pos: pos})
	if ok {
		return full + "@" + e.Digest.V
	}
	if t.isUnlocked(full) {
		return full
	}
	report := r.report.warn
	if t.opt.Locked {
		report = r.report.fail
	}
	report(pos, summaryNotLocked, updateHint(full), "images are pinned, and %s has no entry in %s", full, schema.LockFile)
	return full
}

func (r *resolver) useImage(img Image) {
	for i, known := range r.images {
		if known.Ref == img.Ref {
			if img.Pos.Compare(known.Pos) < 0 {
				r.images[i].Pos = img.Pos
			}
			return
		}
	}
	r.images = append(r.images, img)
}

// checkUnused finds the entries that nothing needs, unless something that may
// need them is not known, and warns of them when the lock file counts.
func (r *resolver) checkUnused() {
	t := r.tree
	if t.lock == nil || t.report.fatal() || r.report.fatal() || len(t.partial) > 0 {
		return
	}
	for _, repo := range t.repos {
		if repo.blocked != nil {
			return
		}
	}
	unused := func(kind string, name schema.Str, format string, args ...any) {
		r.unusedLock = append(r.unusedLock, kind+name.V)
		if t.opt.Unlocked == nil {
			r.report.warn(name.Pos, summaryUnusedLock, "`reconcile update` removes it", format, args...)
		}
	}
	for _, e := range t.lock.Repos {
		if known, ok := t.repos[e.Name.V]; !ok || known.request == nil {
			unused("", e.Name, "no repo in git is called %s", e.Name.V)
		}
	}
	for _, e := range t.lock.Contexts {
		if !slices.ContainsFunc(t.contexts, func(c *gitContext) bool { return c.name == e.Name.V }) {
			unused(ContextKind, e.Name, "no context in git is called %s", e.Name.V)
		}
	}
	for _, e := range t.lock.Images {
		used := slices.ContainsFunc(r.images, func(img Image) bool { return img.Ref == e.Name.V })
		switch {
		case !used && !t.file.ImagesPin.V:
			unused("", e.Name, "images are not pinned: spec.images.pin is not set")
		case !used:
			unused("", e.Name, "nothing uses the image %s", e.Name.V)
		}
	}
}
