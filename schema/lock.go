// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// LockFile is the name of the lock file, at the root of a workspace.
const LockFile = "workspace.lock"

const (
	lockVersion = "reconcile/v1alpha1"
	lockKind    = "Lock"
)

// Lock is a lock file: what refs, tags and hooks stand for, as somebody has
// committed it. Entries are in the order of the file, each name once.
type Lock struct {
	Repos []LockedRef
	// Contexts are the Git contexts: [NAMESPACE/]NAME of a Context, or URL[#REF] of
	// one that is written in place.
	Contexts []LockedRef
	Images   []LockedDigest
	// Hooks are those on the host that somebody has approved.
	Hooks []LockedHook
	// Approvals are what somebody has approved of what agents can do.
	Approvals []Approval
}

// LockedRef is the commit that a ref of a repository stands for.
type LockedRef struct {
	Name   Str
	URL    Str
	Ref    Str // unset: the default branch
	Commit Str // 40 hexadecimal digits
}

// LockedDigest is what a reference to an image stands for, or what is in a file.
type LockedDigest struct {
	Name   Str
	Digest Str // sha256: and 64 hexadecimal digits
}

// LockedHook is the hook on the host that is approved for one agent. The digest
// counts; the rest says what it is of, and is missing where only a digest was
// written.
type LockedHook struct {
	Name     Str // kind/[namespace/]name
	Digest   Str // sha256: and 64 hexadecimal digits
	Commands []Str
	Files    []LockedDigest // that the commands name
}

// Approval is what is approved for one agent.
type Approval struct {
	Name Str   // kind/[namespace/]name
	Keys []Str // of grants, one line each
}

// Repo returns the entry of a repo. There is none in a nil Lock.
func (l *Lock) Repo(name string) (LockedRef, bool) {
	if l == nil {
		return LockedRef{}, false
	}
	for _, r := range l.Repos {
		if r.Name.V == name {
			return r, true
		}
	}
	return LockedRef{}, false
}

// Context returns the entry of a context. There is none in a nil Lock.
func (l *Lock) Context(name string) (LockedRef, bool) {
	if l == nil {
		return LockedRef{}, false
	}
	for _, c := range l.Contexts {
		if c.Name.V == name {
			return c, true
		}
	}
	return LockedRef{}, false
}

// Image returns the entry of a full image reference. There is none in a nil
// Lock.
func (l *Lock) Image(ref string) (LockedDigest, bool) {
	if l == nil {
		return LockedDigest{}, false
	}
	for _, d := range l.Images {
		if d.Name.V == ref {
			return d, true
		}
	}
	return LockedDigest{}, false
}

var (
	commitHash  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	imageDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// DecodeLock reads a lock file. The diagnostics hold every problem of it; with
// errors among them the Lock must not be relied on.
func DecodeLock(name string, src []byte) (*Lock, Diagnostics) {
	if pos, found := mergeConflict(name, src); found {
		return &Lock{}, Diagnostics{{
			Severity: Error, Summary: summaryMerge, Pos: pos,
			Detail: "both sides of a merge are in the file",
			Hint:   "keep the entries of both sides, and of one entry that both have the one you want; `reconcile update` brings it up to date",
		}}
	}
	docs, ds := parseYAML(name, src)
	switch {
	case len(docs) == 0 && ds.HasErrors():
		return &Lock{}, ds.Sort()
	case len(docs) == 0 || docs[0].node.Kind == NodeNull:
		d := emptyDocument(Pos{name, 1, 1}, lockKind)
		d.Hint = "remove the file if nothing is to be locked"
		return &Lock{}, append(ds, d).Sort()
	}
	r := &reader{written: docs[0].node}
	for _, more := range docs[1:] {
		r.fail(more.node.Pos, summaryRepeated, "a lock file holds one document", "")
	}
	l := cursor{r, docs[0].node}.lock()
	return l, append(ds, r.ds...).Sort()
}

// mergeConflict finds the marks that git leaves where two changes meet.
func mergeConflict(name string, src []byte) (Pos, bool) {
	n := 0
	for line := range bytes.Lines(src) {
		n++
		for _, mark := range []string{"<<<<<<<", "|||||||", ">>>>>>>"} {
			if bytes.HasPrefix(line, []byte(mark)) {
				return Pos{name, n, 1}, true
			}
		}
	}
	return Pos{}, false
}

func (c cursor) lock() *Lock {
	if !c.is("a map", NodeMap) {
		return &Lock{}
	}
	c.closed("apiVersion", "kind", "repos", "contexts", "images", "hooks", "approvals")
	c.exactly("apiVersion", lockVersion)
	c.exactly("kind", lockKind)
	return &Lock{
		Repos:    c.at("repos").lockedRefs(true),
		Contexts: c.at("contexts").lockedRefs(false),
		Images:   c.at("images").lockedDigests(),
		Hooks:    c.at("hooks").lockedHooks(),

		Approvals: c.at("approvals").approvals(),
	}
}

// closed reports the fields of a map that are none of names.
func (c cursor) closed(names ...string) {
	for _, f := range c.n.Fields {
		known := false
		for _, name := range names {
			known = known || f.Key == name
		}
		if !known {
			c.fail(f.Pos, summaryUnknownField, fmt.Sprintf("there is no field %s", quoteKey(f.Key)), didYouMean(f.Key, names))
		}
	}
}

// exactly reports a field that is missing or has another value.
func (c cursor) exactly(field, value string) {
	switch got := c.at(field); {
	case !got.set():
		c.fail(c.n.Pos, summaryMissing, field+" is required", fmt.Sprintf("write %s: %s", field, value))
	case got.n.Kind != NodeString || got.n.Text != value:
		c.fail(got.n.Pos, summaryInvalid, fmt.Sprintf("expected %q, got %s", value, quoteKey(got.n.Text)), "")
	}
}

// required is a field of the entry e, which must be there.
func (e entry) required(field string) cursor {
	c := e.at(field)
	if !c.set() {
		e.fail(e.key.Pos, summaryMissing, fmt.Sprintf("%s has no %s", e.key.V, field), "")
	}
	return c
}

func (c cursor) lockedRefs(ofRepos bool) []LockedRef {
	if !c.set() || c.n.Kind == NodeNull {
		return nil
	}
	var out []LockedRef
	for _, e := range c.entries() {
		if !e.is("a map of url, ref and commit", NodeMap) {
			continue
		}
		if ofRepos && !repoName(e.key.V) {
			e.fail(e.key.Pos, summaryName, fmt.Sprintf("%s cannot name a repo", quoteKey(e.key.V)), "")
		}
		e.closed("url", "ref", "commit")
		ref := LockedRef{
			Name: e.key, URL: e.required("url").lockedURL(), Ref: e.at("ref").gitRef(),
			Commit: e.required("commit").matching(commitHash, "the hash of a commit: 40 hexadecimal digits"),
		}
		out = append(out, ref)
	}
	return out
}

// lockedURL reads the address of a repository. What is insecure about it is
// said where it is asked for.
func (c cursor) lockedURL() Str {
	quiet := cursor{&reader{written: c.written}, c.n}
	s := quiet.gitURL(false)
	for _, d := range quiet.ds {
		if d.Severity == Error {
			c.ds = append(c.ds, d)
		}
	}
	return s
}

func (c cursor) lockedDigests() []LockedDigest {
	if !c.set() || c.n.Kind == NodeNull {
		return nil
	}
	var out []LockedDigest
	for _, e := range c.entries() {
		out = append(out, LockedDigest{Name: e.key, Digest: e.digest()})
	}
	return out
}

func (c cursor) lockedHooks() []LockedHook {
	if !c.set() || c.n.Kind == NodeNull {
		return nil
	}
	var out []LockedHook
	for _, e := range c.entries() {
		if e.n.Kind != NodeMap {
			out = append(out, LockedHook{Name: e.key, Digest: e.digest()})
			continue
		}
		e.closed("digest", "commands", "files")
		h := LockedHook{Name: e.key, Digest: e.required("digest").digest(), Files: e.at("files").lockedDigests()}
		if list := e.at("commands"); list.set() && list.n.Kind != NodeNull && list.is("a list of commands", NodeList) {
			h.Commands = list.texts()
		}
		out = append(out, h)
	}
	return out
}

func (c cursor) digest() Str {
	return c.matching(imageDigest, "a digest: sha256: and 64 hexadecimal digits")
}

func (c cursor) approvals() []Approval {
	if !c.set() || c.n.Kind == NodeNull {
		return nil
	}
	var out []Approval
	for _, e := range c.entries() {
		if e.n.Kind != NodeNull && e.is("a list of what is approved", NodeList) {
			out = append(out, Approval{Name: e.key, Keys: e.texts()})
		}
	}
	return out
}

// matching reads text of a form, which what describes.
func (c cursor) matching(form *regexp.Regexp, what string) Str {
	if c.set() && (c.n.Kind == NodeInt || c.n.Kind == NodeFloat) {
		c.fail(c.n.Pos, summaryWrongType, fmt.Sprintf("expected text, got %s", c.n.describe()), "write it in quotes")
		return Str{}
	}
	s := c.filled()
	if s.IsSet() && !form.MatchString(s.V) {
		hint := ""
		if form.MatchString(strings.ToLower(strings.TrimSpace(s.V))) {
			hint = "write it in lower case, without spaces"
		}
		c.invalid(fmt.Sprintf("%s is not %s", quoteKey(s.V), what), hint)
	}
	return s
}
