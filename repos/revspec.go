// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Resolve returns the commit that a revision names: whatever [Repo.Commit]
// knows, HEAD or @, the branch of a remote such as origin/main, and these with
// ~N, ^N and ^{commit} after them, as git has it. The history that it leads
// through must be here.
//
// go-git's own ResolveRevision takes HEAD@{9} and v1^{tree} for HEAD and v1.
func (r *Repo) Resolve(rev string) (commit string, err error) {
	name, steps := rev, ""
	if i := strings.IndexAny(rev, "~^"); i >= 0 {
		name, steps = rev[:i], rev[i:]
	}
	if steps != "" && (name == "" || !revisionSteps.MatchString(steps)) {
		return "", r.noRevision(rev, "write BRANCH, TAG or COMMIT, and ~N or ^N after it")
	}
	if commit, err = r.named(name); err != nil {
		return "", err
	}
	for _, step := range revisionStep.FindAllString(steps, -1) {
		if commit, err = r.step(commit, step); err != nil {
			return "", r.noRevision(rev, err.Error())
		}
	}
	return commit, nil
}

var (
	revisionStep  = regexp.MustCompile(`[~^][0-9]{0,9}(\{(commit)?\})?`)
	revisionSteps = regexp.MustCompile(`^(~[0-9]{0,9}|\^[0-9]{0,9}|\^\{(commit)?\})*$`)
)

func (r *Repo) noRevision(rev, why string) error {
	return &pastError{fmt.Sprintf("repository %q: no revision %q: %s", r.path, rev, why), ErrNoRef}
}

func (r *Repo) named(name string) (string, error) {
	if name == "HEAD" || name == "@" {
		name = ""
	}
	commit, err := r.Commit(name)
	if err == nil || !strings.Contains(name, "/") {
		return commit, err
	}
	if ref, e := r.git.Reference(plumbing.ReferenceName("refs/remotes/"+name), true); e == nil {
		return r.peel(name, ref.Hash())
	}
	return "", err
}

// step follows ~N, the Nth ancestor by first parents, or ^N, the Nth parent.
func (r *Repo) step(commit, step string) (string, error) {
	if strings.HasSuffix(step, "}") {
		return commit, nil
	}
	n := 1
	if len(step) > 1 {
		n, _ = strconv.Atoi(step[1:]) // has at most nine digits
	}
	if n == 0 {
		return commit, nil
	}
	parent, times := n, 1
	if step[0] == '~' {
		parent, times = 1, n
	}
	h := newHistory(r.git)
	for range times {
		c, err := h.commit(plumbing.NewHash(commit))
		if err != nil {
			return "", err
		}
		parents := h.parents(c)
		if len(parents) < parent {
			return "", fmt.Errorf("commit %s has %d parents here", commit, len(parents))
		}
		commit = parents[parent-1].String()
	}
	return commit, nil
}
