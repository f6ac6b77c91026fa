// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// The summaries about contexts in git.
const (
	summaryContext           = "context cannot be had"
	summaryContextStale      = "context is stale"
	summaryContextNotFetched = "context is not fetched yet"
)

// ContextKind stands before the names of contexts in git, where those of repos may
// be as well: in GitRequest.Name, Options.Unlocked and Result.UnusedLock.
const ContextKind = "context/"

// gitContent is what a Git context holds: a folder, or one file.
type gitContent struct {
	Files fs.FS // a folder, without .git; nil = it is a file
	// From and TreeHash name the folder by its content, as in [plan.File].
	From, TreeHash string
	Name           string // of the file
	Content        []byte
	Mode           uint32 // of the file, as in plan.File
}

// gitContext is a Git context of the workspace, and what was made of it.
type gitContext struct {
	src *schema.GitSource
	// name is that of the Context, [NAMESPACE/]NAME, or for one in place
	// [lockNameOf] its source. It is what the lock file calls it.
	name      string
	namespace string
	request   *GitRequest // nil: it may not be asked for
	locked    schema.LockedRef
	files     fs.FS
	commit    string
	content   gitContent
	blocked   *plan.Reason // why there is no content
}

// key is the name among those of repos.
func (c *gitContext) key() string { return ContextKind + c.name }

// lockNameOf is what the lock file calls a context that is written in place: the
// address of its repository, and behind # its ref, if it has one.
func lockNameOf(src *schema.GitSource) string {
	name := safeURL(src.Repository.V)
	if src.Ref.V != "" {
		name += "#" + src.Ref.V
	}
	return name
}

// gitContext returns what a Git context holds, or why that cannot be had, which
// has been reported. pos is the reference to it.
func (t *Tree) gitContext(src *schema.GitSource, pos schema.Pos) (gitContent, *plan.Reason) {
	for _, c := range t.contexts {
		switch {
		case c.src != src:
		case c.blocked != nil:
			reason := *c.blocked
			return gitContent{}, &reason
		default:
			return c.content, nil
		}
	}
	return gitContent{}, &plan.Reason{Code: plan.CodePending, Text: summaryContext, Origin: pos.String()}
}

// findContexts collects the Git contexts of all objects, used or not.
func (t *Tree) findContexts() {
	t.contexts = nil
	for _, doc := range t.documents {
		if doc.Invalid {
			continue
		}
		if c, ok := doc.Object.(*schema.Context); ok {
			t.addContext(doc, displayName(doc), c.Source)
		}
		for _, m := range contextsOf(doc) {
			if m.Source != nil {
				t.addContext(doc, "", *m.Source)
			}
		}
	}
}

// contextsOf are the entries of an object that has contexts.
func contextsOf(doc schema.Document) []schema.ContextMount {
	switch x := doc.Object.(type) {
	case *schema.Agent:
		return x.Contexts
	case *schema.Task:
		return x.Contexts
	case *schema.CronTask:
		return x.Template.Contexts
	}
	return nil
}

// addContext adds a context of doc; without a name it is written in place.
func (t *Tree) addContext(doc schema.Document, name string, s schema.ContextSource) {
	if s.Git == nil || !s.Git.Repository.IsSet() {
		return
	}
	t.contexts = append(t.contexts, &gitContext{
		src: s.Git, name: cmp.Or(name, lockNameOf(s.Git)), namespace: namespaceOf(doc),
	})
}

// requestOfContext is how a context is asked for.
func requestOfContext(c *gitContext) GitRequest {
	q := GitRequest{
		Name: c.key(), URL: c.src.Repository.V, Ref: c.src.Ref.V,
		SecretRef: c.src.SecretRef.V, NoModules: !c.src.RecurseSubmodules,
	}
	switch depth := c.src.Depth; {
	case depth.IsSet() && depth.V == 0:
		q.Depth = -1
	case depth.V > 1:
		q.Depth = int(min(depth.V, maxDepth))
	}
	return q
}

// maxDepth is more history than any repository has.
const maxDepth = 1 << 30

// askContexts returns the contexts that may be asked for, each with its request.
func (t *Tree) askContexts() (asked []*gitContext) {
	for _, c := range t.contexts {
		if !t.mayFetchContext(c) {
			continue
		}
		q := requestOfContext(c)
		if t.useSecret(c, &q) && t.pinContext(c, &q) {
			c.request = &q
			asked = append(asked, c)
		}
	}
	return asked
}

func (t *Tree) blockContext(c *gitContext, pos schema.Pos, code plan.Code, summary, hint, format string, args ...any) {
	reason := t.report.block(pos, code, summary, hint, format, args...)
	c.blocked = &reason
}

func (t *Tree) mayFetchContext(c *gitContext) bool {
	pos := c.src.Repository.Pos
	if no := t.refusesFile(c.src.Repository.V); no != nil {
		if no.code != plan.CodePolicy {
			no.summary = summaryContext
		}
		t.blockContext(c, pos, no.code, no.summary, no.hint, "the context %s%s", c.name, no.text)
		return false
	}
	if t.opt.Git == nil {
		t.blockContext(c, pos, plan.CodeUnsupported, summaryUnsupported, "", "the context %s is in a git repository", c.name)
		return false
	}
	return true
}

// takeContext takes what could be had of a context.
func (t *Tree) takeContext(c *gitContext, res GitResult) {
	pos := c.src.Repository.Pos
	switch {
	case res.Files == nil && res.Pending:
		text := "the context " + c.name + " has not been fetched yet"
		if res.Err != nil {
			text += "; the last time: " + c.errorText(res.Err)
		}
		t.report.warn(pos, summaryContextNotFetched, "", "%s; what it holds is not known", text)
		c.blocked = &plan.Reason{Code: plan.CodePending, Text: text, Origin: pos.String()}
		return
	case res.Files == nil:
		err := res.Err
		if err == nil {
			err = errNoResult
		}
		t.blockContext(c, pos, plan.CodePending, summaryContext, "", "the context %s: %s", c.name, c.errorText(err))
		return
	}
	c.files, c.commit = res.Files, res.Commit
	switch {
	case c.request.Commit != "":
		t.checkPinned(c.key(), c.name, c.locked, res)
	case res.Err != nil:
		t.report.spare(schema.Diagnostic{
			Severity: schema.Error, Summary: summaryContextStale, Pos: pos,
			Detail: fmt.Sprintf("the context %s is used as it was%s: %s", c.name, since(res.Since, " at "), c.errorText(res.Err)),
		})
	}
}

// errorText is an error about the repository, whose address it does not repeat
// where the context is called by that.
func (c *gitContext) errorText(err error) string {
	if url := safeURL(c.src.Repository.V); strings.HasPrefix(c.name, url) {
		return strings.TrimPrefix(err.Error(), url+": ")
	}
	return err.Error()
}

// pinContext is [Tree.pin] for a context.
func (t *Tree) pinContext(c *gitContext, q *GitRequest) bool {
	if t.isUnlocked(c.key()) {
		return true
	}
	e, ok := t.lock.Context(c.name)
	if !ok {
		if t.opt.Locked {
			t.report.fail(c.src.Repository.Pos, summaryNotLocked, updateHint(c.key()), "the context %s has no entry in %s", c.name, schema.LockFile)
		}
		return true
	}
	misfit := func(pos schema.Pos, summary, locked, here string) bool {
		t.blockContext(c, pos, plan.CodeInvalid, summary, updateHint(c.key()), "%s locks %s at %s; here it is %s", e.Name.Pos, c.name, locked, here)
		t.fatalIfLocked()
		return false
	}
	switch {
	case e.URL.V != q.URL:
		return misfit(c.src.Repository.Pos, summaryOtherURL, safeURL(e.URL.V), safeURL(q.URL))
	case e.Ref.V != q.Ref:
		pos := c.src.Repository.Pos
		if c.src.Ref.IsSet() {
			pos = c.src.Ref.Pos
		}
		return misfit(pos, summaryOtherRef, refText(e.Ref.V), refText(q.Ref))
	}
	q.Commit, c.locked = e.Commit.V, e
	return true
}

// where is the place of what is wrong with the files of a context.
func (c *gitContext) where() schema.Pos {
	if c.src.Path.IsSet() {
		return c.src.Path.Pos
	}
	return c.src.Repository.Pos
}

// path is the file or folder of the repository that the context is.
func (c *gitContext) path() string { return path.Clean("./" + c.src.Path.V) }
