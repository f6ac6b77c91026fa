// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/dispatch"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// agentWord may stand before the name of an agent.
const agentWord = "agent"

// afterAgent drops the word agent, which may stand before what a command is about,
// from the arguments, as long as something is left that fits.
func afterAgent(args []string, fits func([]string) bool) []string {
	if len(args) > 1 && args[0] == agentWord && fits(args[1:]) {
		return args[1:]
	}
	return args
}

// takeNames has commands that are about instances take the word agent before NAME,
// and complete names, up to most of them; 0 = any number.
func (a *app) takeNames(most int, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		rewriteArgs(c, withoutWord)
		c.ValidArgsFunction = a.completing(most, source.instanceNames)
	}
	return commands
}

// takeTaskNames is takeNames for commands that are about one Task or CronTask.
func (a *app) takeTaskNames(commands ...*cobra.Command) []*cobra.Command {
	for _, c := range a.takeNames(1, commands...) {
		c.ValidArgsFunction = a.completing(1, source.taskNames)
	}
	return commands
}

// takeAgentNames is takeNames for commands that are about one TaskAgent.
func (a *app) takeAgentNames(commands ...*cobra.Command) []*cobra.Command {
	for _, c := range a.takeNames(1, commands...) {
		c.ValidArgsFunction = a.completing(1, source.taskAgentNames)
	}
	return commands
}

func withoutWord(args []string) []string {
	return afterAgent(args, func(rest []string) bool { return !isDocument(rest[0]) })
}

// isDocument reports whether an argument is no name but JSON, or - for such.
func isDocument(arg string) bool {
	return arg != "" && strings.ContainsAny(arg[:1], `-{["`)
}

// rewriteArgs has a command see its arguments as rewrite makes them.
func rewriteArgs(c *cobra.Command, rewrite func([]string) []string) {
	check, run := c.Args, c.RunE
	if check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error { return check(cmd, rewrite(args)) }
	}
	c.RunE = func(cmd *cobra.Command, args []string) error { return run(cmd, rewrite(args)) }
}

// completing offers names of a workspace on this host for the first arguments of a
// command, most of them; 0 = for all. What follows may be a file.
func (a *app) completing(most int, names func(source) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if args = withoutWord(append(args, "")); most > 0 && len(args) > most {
			return nil, cobra.ShellCompDirectiveDefault
		}
		at, err := a.completionPlace(cmd)
		if err != nil || at.git != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		src, err := a.loadFiles(cmd.Context(), loadOptions{at: at, git: a.newGitSources(reachHost), reach: reachHost})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if a.stateDir == "" {
			a.stateDir = a.defaultStateDir()
		}
		out := slices.DeleteFunc(names(src), func(n string) bool {
			return slices.Contains(args, n) || !strings.HasPrefix(n, begun)
		})
		slices.Sort(out)
		return slices.Compact(out), cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) completionPlace(cmd *cobra.Command) (location, error) {
	if err := a.fromEnvironment(cmd); err != nil {
		return location{}, err
	}
	return locate(a.workspace)
}

func (s source) instanceNames() []string {
	var out []string
	for _, id := range s.instances() {
		out = append(out, id.Name)
	}
	return out
}

// containerNames are the names of instances that have a container to enter.
func (s source) containerNames() []string {
	var out []string
	for _, id := range s.instances() {
		if id.Kind != plan.TaskAgent {
			out = append(out, id.Name)
		}
	}
	return out
}

// namesAndRuns are the names of instances, and those of runs that have begun here.
func (a *app) namesAndRuns(s source) []string {
	out := s.instanceNames()
	archive, err := reconcile.OpenArchive(a.workspaceDir(s.name))
	if err != nil {
		return out
	}
	records, err := archive.Load()
	if err != nil {
		return out
	}
	for _, run := range runsHere(records, nil) {
		out = append(out, run.state.Name)
	}
	return out
}

// completeExecutions offers the ids of the last executions of the TaskAgent that the
// command is about.
func (a *app) completeExecutions(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	args = withoutWord(args)
	ids := func(src source) []string {
		if len(args) == 0 {
			return nil
		}
		id, ok, err := a.namedAgent(src, args[0])
		if err != nil || !ok {
			return nil
		}
		list, err := dispatch.Look(a.executionsDir(src.name)).Executions(id)
		if err != nil {
			return nil
		}
		var out []string
		for _, e := range list {
			out = append(out, e.ID)
		}
		return out
	}
	return a.completing(0, ids)(cmd, nil, begun)
}

func (s source) taskNames() []string {
	var out []string
	for _, id := range s.tasks() {
		out = append(out, id.Name)
	}
	return out
}

func (s source) taskAgentNames() []string {
	var out []string
	for _, id := range desiredIDs(s.Desired) {
		if id.Kind == plan.TaskAgent {
			out = append(out, id.Name)
		}
	}
	return out
}

func (s source) agentNames() []string {
	var out []string
	for _, r := range s.Repos {
		out = append(out, r.Agents...)
	}
	return out
}

func (s source) variableNames() []string {
	var out []string
	for _, v := range s.Vars {
		out = append(out, v.Name)
	}
	return out
}
