// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// The summaries about repos in git.
const (
	summaryStale      = "repo is stale"
	summaryNotFetched = "repo is not fetched yet"
)

// GitRequest asks for the files of a git repository.
type GitRequest struct {
	Name      string // of the repo; of a context, with [ContextKind] before it
	URL       string
	Ref       string // branch, tag or commit; "" = the default branch
	Commit    string // pinned by the lock file; "" = follow Ref
	Depth     int    // 0 = the newest commit only, -1 = all history
	Exec      bool   // use the git binary
	NoModules bool   // submodules are empty folders
	SecretRef string // names the credentials; "" = the host's own
	// Sealed are the credentials, when a Secret document of the workspace has them.
	// SecretRef is then its namespace and name.
	Sealed *GitSecret
}

// GitSecret are the values of a Secret document, by key.
type GitSecret struct{ Keys map[string]plan.Sealed }

// GitResult is what could be had of a GitRequest.
type GitResult struct {
	// Files are those of Commit; nil = nothing can be had. The method
	// Source(dir string) (string, error) names a folder of it by content for
	// plan.Mount.From, and so does that of each fs.Sub of it.
	Files  fs.FS
	Commit string
	// Err says why Files is nil, or why it may not be what the remote has now.
	Err error
	// Since is when the remote was last asked with success; zero = never.
	Since time.Time
	// Pending: the repository was not looked at yet, since it is being fetched or
	// since this command does not use the network. It is nobody's fault. Err is then
	// why the last look failed, if there was one.
	Pending bool
	// OffRef: the pinned commit is no longer on its ref.
	OffRef bool
}

// sourcer names a folder of a git repository by its content.
type sourcer interface {
	Source(dir string) (string, error)
}

// gitAnswers are the results of every request so far: what is looked at again
// is not asked for again.
type gitAnswers map[GitRequest]GitResult

// ask returns the results of requests.
func (t *Tree) ask(ctx context.Context, requests []GitRequest) []GitResult {
	if t.git == nil {
		t.git = gitAnswers{}
	}
	var fresh []GitRequest
	for _, q := range requests {
		if _, known := t.git[q]; !known && !slices.Contains(fresh, q) {
			fresh = append(fresh, q)
		}
	}
	if len(fresh) > 0 {
		results := t.opt.Git(ctx, fresh)
		for i, q := range fresh {
			t.git[q] = GitResult{Err: errNoResult}
			if i < len(results) {
				t.git[q] = results[i]
			}
		}
	}
	out := make([]GitResult, len(requests))
	for i, q := range requests {
		out[i] = t.git[q]
	}
	return out
}

// requestOf is how a repo is asked for.
func requestOf(decl schema.Repo) GitRequest {
	q := GitRequest{
		Name: decl.Name.V, URL: decl.URL.V, Ref: decl.Ref.V,
		Exec: decl.Git.V == "exec", SecretRef: decl.SecretRef.V,
	}
	if decl.Depth.IsSet() && decl.Depth.V == 0 {
		q.Depth = -1
	}
	return q
}

// mayFetch reports whether a repo in git may be asked for, and blocks it when
// not. by is the agent whose manifest names it, nil for the workspace file.
func (t *Tree) mayFetch(r *repo, by *agent) bool {
	pos := r.decl.URL.Pos
	if no := t.refusesFile(r.decl.URL.V); no != nil {
		if no.code == plan.CodePolicy {
			no.hint += ", or give the path of a folder"
		}
		t.block(r, pos, no.code, no.summary, no.hint, "the repo %s%s", r.name, no.text)
		return false
	}
	if strings.HasPrefix(r.decl.URL.V, "file://") && by != nil && by.repo.dir == "" && !t.policy.fileURLsAsked {
		t.block(r, pos, plan.CodePolicy, summaryPolicy, "name it in the workspace file, or allow it there by policy.fileUrls: true",
			"the manifest of a git repository may not name the repository %s of this host", r.decl.URL.V)
		return false
	}
	if t.opt.Git == nil {
		t.block(r, pos, plan.CodeUnsupported, summaryUnsupported, "", "the repo %s is a git repository", r.name)
		return false
	}
	return true
}

// refusesFile says why a repository that is a file:// URL may not be asked for;
// nil = it may, or is none.
func (t *Tree) refusesFile(address string) *refusal {
	where, isFile := strings.CutPrefix(address, "file://")
	if !isFile {
		return nil
	}
	u, err := url.Parse("file://" + where)
	switch {
	case !t.policy.fileURLs:
		return &refusal{plan.CodePolicy, summaryPolicy, "allow fileUrls", " is a file:// repository" + forbids(t.policy.fileURLsAt)}
	case err != nil || u.Host != "" && u.Host != "localhost" || !path.IsAbs(u.Path):
		return &refusal{plan.CodeInvalid, summaryRepo, "write file:///absolute/path", fmt.Sprintf(": %q has no absolute path", address)}
	}
	return nil
}

// openGit asks for repos and contexts in one go, and takes what can be had of them.
func (t *Tree) openGit(ctx context.Context, repos []*repo, contexts []*gitContext) {
	var asked []*repo
	var requests []GitRequest
	for _, r := range repos {
		q := requestOf(r.decl)
		if t.pin(r, &q) {
			r.request = &q
			asked, requests = append(asked, r), append(requests, q)
		}
	}
	for _, c := range contexts {
		requests = append(requests, *c.request)
	}
	if len(requests) == 0 {
		return
	}
	results := t.ask(ctx, requests)
	for i, r := range asked {
		t.takeGit(r, results[i])
	}
	for i, c := range contexts {
		t.takeContext(c, results[len(asked)+i])
	}
}

func (t *Tree) takeGit(r *repo, res GitResult) {
	pos := r.decl.URL.Pos
	switch {
	case res.Files == nil && res.Pending:
		text := "the repo " + r.name + " has not been fetched yet"
		t.report.warn(pos, summaryNotFetched, "", "%s; what it holds is not known", text)
		r.blocked = &plan.Reason{Code: plan.CodeUnknown, Text: text, Origin: pos.String()}
		return
	case res.Files == nil:
		err := res.Err
		if err == nil {
			err = errNoResult
		}
		t.block(r, pos, plan.CodeUnknown, summaryRepo, "", "the repo %s: %v", r.name, err)
		return
	}
	files, err := res.Files, error(nil)
	if r.decl.Path.IsSet() {
		files, err = subFolder(files, path.Clean(r.decl.Path.V))
	}
	if err != nil {
		t.block(r, pos, plan.CodeUnknown, summaryRepo, "", "the repo %s: %v", r.name, err)
		return
	}
	r.files, r.commit, r.label = files, res.Commit, fmt.Sprintf("%s@%.12s", r.name, res.Commit)
	switch {
	case r.request.Commit != "":
		t.checkPinned(r.name, r.name, r.locked, res)
	case res.Err != nil:
		t.report.spare(schema.Diagnostic{
			Severity: schema.Error, Summary: summaryStale, Pos: pos,
			Detail: fmt.Sprintf("the repo %s is used as it was%s: %v", r.name, since(res.Since, " at "), res.Err),
		})
	}
}

// GitRequests are how the repos in git were asked for, in the order in which
// they were found, and then contexts, each of one way once.
func (t *Tree) GitRequests() []GitRequest {
	var all []GitRequest
	for _, name := range t.order {
		if q := t.repos[name].request; q != nil {
			all = append(all, *q)
		}
	}
	for _, c := range t.contexts {
		if c.request != nil && !slices.Contains(all, *c.request) {
			all = append(all, *c.request)
		}
	}
	return all
}

// since says when a remote was last asked with success.
func since(at time.Time, before string) string {
	if at.IsZero() {
		return ""
	}
	return before + at.UTC().Format(time.RFC3339)
}
