// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/workspace"
)

// repoKind stands before the name of a repo that an agent has as well.
const repoKind = "repo/"

// chooseBy finds out what a name of the command line stands for: an entry of the
// lock file, by one of its spellings, or an agent.
func (u *updating) chooseBy(name string, known map[string]bool) error {
	entry, agents := "", []plan.ID(nil)
	plain, onlyRepo := strings.CutPrefix(name, repoKind)
	if known[name] {
		plain, onlyRepo = name, false
	}
	if ofContext := workspace.ContextKind + name; known[ofContext] && !onlyRepo {
		if known[name] {
			return ambiguous(name, name, nil, ofContext)
		}
		plain = ofContext
	}
	for _, spelling := range []string{plain, plain + ":latest", "docker.io/library/" + plain, "docker.io/library/" + plain + ":latest", "docker.io/" + plain, "docker.io/" + plain + ":latest"} {
		if known[spelling] && entry == "" {
			entry = spelling
		}
	}
	repo := ""
	for _, n := range u.before.Graph.Nodes {
		lower := n.ID
		lower.Name = strings.ToLower(lower.Name)
		if n.ID.Kind == plan.Manifest && !onlyRepo && names(lower, strings.ToLower(name)) {
			agents, repo = append(agents, n.ID), n.Repo
		}
	}
	switch {
	case len(agents) > 1 || entry != "" && len(agents) > 0 && entry != repo:
		return ambiguous(name, entry, agents)
	case entry != "" && len(agents) > 0 && len(withUpdateHook(u.before, agents)) > 0:
		return ambiguous(name, entry, agents) // to lock the repo, or to run the hook too
	case entry != "":
		u.chosen[entry] = true
		return nil
	case len(agents) == 0:
		return u.chooseImage(name, known)
	}
	hooked := withUpdateHook(u.before, agents)
	if !known[repo] && len(hooked) == 0 {
		return fmt.Errorf("there is nothing to update about %s: its repo %s is no git repository that can be locked, and it has no update hook", name, repo)
	}
	if known[repo] {
		u.chosen[repo] = true
	}
	u.agents = append(u.agents, agents...)
	return nil
}

// chooseImage has a TaskAgent or DaemonAgent stand for its image.
func (u *updating) chooseImage(name string, known map[string]bool) error {
	var agents []plan.ID
	ref := ""
	for _, r := range u.before.Desired.Resources {
		kind := r.ID.Kind == plan.TaskAgent || r.ID.Kind == plan.DaemonAgent
		if kind && r.Spec.Container != nil && names(r.ID, name) {
			agents = append(agents, r.ID)
			ref, _, _ = strings.Cut(r.Spec.Container.Image, "@")
		}
	}
	switch {
	case len(agents) > 1:
		return ambiguous(name, "", agents)
	case len(agents) == 0:
		return u.unknown(name, known)
	case !known[ref]:
		return fmt.Errorf("there is nothing to update about %s: its image %s is not locked", agents[0], ref)
	}
	u.chosen[ref] = true
	return nil
}

func ambiguous(name, entry string, agents []plan.ID, more ...string) error {
	candidates := more
	switch {
	case strings.HasPrefix(entry, workspace.ContextKind):
		candidates = append(candidates, entry)
	case entry != "":
		candidates = append(candidates, repoKind+entry)
	}
	for _, id := range agents {
		candidates = append(candidates, strings.Replace(id.String(), "manifest/", agentWord+"/", 1))
	}
	return fmt.Errorf("%q is ambiguous: %s", name, strings.Join(candidates, ", "))
}

func (u *updating) unknown(name string, known map[string]bool) error {
	if img := strings.ContainsAny(name, "/:"); img && len(u.before.Images) == 0 {
		return fmt.Errorf("no repo or instance is called %q, and images are locked only where spec.images.pin is true", name)
	}
	return fmt.Errorf("no repo, context, image or instance is called %q; there are %s", name, listed(slices.Sorted(maps.Keys(known))))
}

// withUpdateHook are those of the agents that have an update hook.
func withUpdateHook(src source, agents []plan.ID) []plan.ID {
	var out []plan.ID
	for _, r := range src.Desired.Resources {
		same := func(id plan.ID) bool { return id.Compare(r.ID) == 0 }
		has := func(h plan.Hook) bool { return h.Name == plan.HookUpdate }
		if slices.ContainsFunc(agents, same) && slices.ContainsFunc(r.Hooks, has) {
			out = append(out, r.ID)
		}
	}
	return out
}

// updateHooks runs the update hooks of a workspace in git, whose lock file is
// changed elsewhere, when that is all that the names ask for.
func (a *app) updateHooks(ctx context.Context, names []string) (done bool, err error) {
	if len(names) == 0 {
		return false, nil
	}
	src, err := a.loadHere(ctx)
	if err != nil {
		return false, err
	}
	var agents []plan.ID
	for _, name := range names {
		id, err := findID(name, desiredIDs(src.Desired))
		if err != nil || len(withUpdateHook(src, []plan.ID{id})) == 0 {
			return false, nil
		}
		agents = append(agents, id)
	}
	if a.dryRun {
		return true, errors.New("--dry-run is about the lock file, which a workspace in git has in its repository")
	}
	return true, a.runUpdateHooks(ctx, agents)
}

// runUpdateHooks has the update hooks of the agents run. With -o json what comes
// of it is told on standard error: standard output has its document.
func (a *app) runUpdateHooks(ctx context.Context, agents []plan.ID) error {
	if a.output == formatJSON {
		std := a.std
		a.output, a.std.out = formatText, a.std.err
		defer func() { a.output, a.std = formatJSON, std }()
	}
	src, err := a.loadHere(ctx)
	if err != nil {
		return err
	}
	return a.operate(ctx, src, &wish{verb: verbUpdate, ids: agents})
}
