// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"reconcile/schema"
)

// found is what an entry refers to: an agent, or a repo that cannot be had.
type found struct {
	repo  *repo // nil: nothing, which was reported
	agent *agent
	work  *repo // devel: whose checkout is worked in
}

// lookUp resolves the reference of an entry. missing: nothing is found so far;
// it is reported only when last is set.
func (t *Tree) lookUp(p pending, last bool) (f found, missing bool) {
	e := p.entry
	name := e.Repo
	if e.Mode == schema.EnableDevel {
		name = e.Devel
	}
	if name != "" {
		return t.lookUpIn(e, name, last)
	}
	if e.Mode == schema.EnableLocal {
		own := t.repos[ownRepo]
		if p.from != nil {
			own = p.from.repo
		}
		if a := own.find(e.Agent); a != nil {
			return found{repo: own, agent: a}, false
		}
		if own.blocked != nil {
			return found{repo: own}, false
		}
	}
	return t.lookUpEverywhere(e, last)
}

func (t *Tree) lookUpIn(e schema.Enable, name string, last bool) (found, bool) {
	r, ok := t.repos[name]
	if !ok {
		if last {
			t.report.fail(e.Pos, summaryUnknownRepo, nearest(name, t.order), "%q: there is no repo %s; there are %s", e.Text, name, strings.Join(slices.Sorted(slices.Values(t.order)), ", "))
		}
		return found{}, true
	}
	f := found{repo: r, agent: r.find(e.Agent)}
	if e.Mode == schema.EnableDevel {
		f.work = r
	}
	if f.agent == nil && r.blocked == nil {
		if last {
			t.report.fail(e.Pos, summaryUnknownAgent, nearest(e.Agent, r.names()), "%q: the repo %s has no agent %s", e.Text, name, e.Agent)
		}
		return found{}, true
	}
	return f, false
}

func (t *Tree) lookUpEverywhere(e schema.Enable, last bool) (found, bool) {
	candidates := t.candidates(e.Agent)
	switch len(candidates) {
	case 1:
		return found{repo: candidates[0].repo, agent: candidates[0]}, false
	case 0:
		if !last {
			return found{}, true
		}
		for _, name := range t.order {
			if r := t.repos[name]; r.blocked != nil {
				t.report.warn(e.Pos, summaryUnknownAgent, nearest(e.Agent, t.allNames()),
					"%q: no repo that can be had has an agent %s; it may be in %s", e.Text, e.Agent, name)
				return found{repo: r}, false
			}
		}
		t.report.fail(e.Pos, summaryUnknownAgent, nearest(e.Agent, t.allNames()), "%q: no repo has an agent %s", e.Text, e.Agent)
		return found{}, true
	}
	t.ambiguous(e, candidates)
	return found{}, false
}

func (t *Tree) ambiguous(e schema.Enable, candidates []*agent) {
	names := make([]string, len(candidates))
	for i, a := range candidates {
		names[i] = a.repo.name + "/" + a.name
	}
	slices.Sort(names)
	t.report.fail(e.Pos, summaryAmbiguous, fmt.Sprintf("write %q", strings.Replace(e.String(), e.Agent, names[0], 1)),
		"%q: %s is in several repos: %s", e.Text, e.Agent, strings.Join(names, ", "))
}

// candidates are the agents of one name, in all repos.
func (t *Tree) candidates(name string) []*agent {
	var all []*agent
	for _, r := range t.order {
		if a := t.repos[r].find(name); a != nil {
			all = append(all, a)
		}
	}
	return all
}

// checkAmbiguity looks again at entries that were unambiguous when they were
// resolved: repos may have been added since.
func (c *closure) checkAmbiguity(t *Tree) {
	for _, e := range c.edges {
		everywhere := e.entry.Repo == "" && e.entry.Mode != schema.EnableDevel && e.to.agent != nil
		if !everywhere {
			continue
		}
		if e.entry.Mode == schema.EnableLocal {
			own := t.repos[ownRepo]
			if e.from != nil {
				own = e.from.repo
			}
			if e.to.repo == own {
				continue
			}
		}
		if candidates := t.candidates(e.entry.Agent); len(candidates) > 1 {
			t.ambiguous(e.entry, candidates)
		}
	}
}

func (t *Tree) allNames() []string {
	var all []string
	for _, name := range t.order {
		all = append(all, t.repos[name].names()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// nearest hints at the names that are spelled nearly like name.
func nearest(name string, among []string) string {
	type near struct {
		name     string
		distance int
	}
	var best []near
	limit := max(len(name)/3, 1) + 2
	for _, n := range among {
		if d := schema.EditDistance(strings.ToLower(name), strings.ToLower(n), limit); d < limit {
			best = append(best, near{n, d})
		}
	}
	if len(best) == 0 {
		return ""
	}
	slices.SortFunc(best, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	quoted := make([]string, 0, 3)
	for _, b := range best[:min(3, len(best))] {
		quoted = append(quoted, fmt.Sprintf("%q", b.name))
	}
	return "did you mean " + strings.Join(quoted, " or ") + "?"
}
