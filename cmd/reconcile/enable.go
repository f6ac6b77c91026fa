// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

func isEntry(words []string) bool {
	_, ds := schema.ParseEnable(strings.Join(words, " "), schema.Pos{})
	return len(ds) == 0
}

func newEnableCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "enable [agent] REF [global | devel REPO] [no-wait] [as ALIAS]",
		Short: "Have an agent run: add it to the workspace file",
		Long: `Adds an entry to spec.enable of the workspace file and prints the difference.
REF is an agent, repo/agent or repo:agent. Comments and order stay; a file that
would be wrong then is left as it is. What is enabled already is left at that.

Nothing runs before the next pass: that of the daemon, or reconcile.`,
		Example: `  reconcile enable explorer as explorer2
  reconcile enable logger devel utils`,
		ValidArgsFunction: a.completing(1, source.agentNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			if len(args) == 0 {
				return errors.New("enable needs REF: an agent, repo/agent or repo:agent")
			}
			return a.enable(cmd.Context(), strings.Join(afterAgent(args, isEntry), " "))
		},
	}
}

func (a *app) enable(ctx context.Context, text string) error {
	entry, ds := schema.ParseEnable(text, schema.Pos{})
	if len(ds) > 0 {
		said := ds[0].Detail
		if ds[0].Hint != "" {
			said += "; " + ds[0].Hint
		}
		return fmt.Errorf("enable %q: %s", text, said)
	}
	e, err := a.startEditing(ctx, "enable "+entry.String(), reachFetch)
	if err != nil {
		return err
	}
	for _, has := range e.before.Enable {
		if has.String() == entry.String() {
			return e.finish(ctx, fmt.Sprintf("%s is enabled already at %s", entry.String(), has.Pos), false)
		}
	}
	changed, err := e.apply(ctx, schema.Edit{Op: schema.EditAppend, Path: []string{"spec", "enable"}, Value: schema.EditText(entry.String())})
	if err != nil || !changed {
		return err
	}
	if err := e.write(); err != nil {
		return err
	}
	if err := e.recordEnabled(ctx); err != nil {
		return err
	}
	return e.finish(ctx, entry.String()+" is enabled"+e.brought(), true)
}

// brought names the instances that come along with what is enabled.
func (e *editing) brought() string {
	before := e.before.instances()
	var fresh []string
	for _, id := range e.after.instances() {
		if !slices.Contains(before, id) {
			fresh = append(fresh, id.Name)
		}
	}
	if len(fresh) < 2 {
		return ""
	}
	return ", which makes " + strings.Join(fresh, ", ") + " run"
}

func newDisableCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "disable [agent] NAME",
		Short: "Have an agent run no more: take it out of the workspace file",
		Long: `Takes the entry of an instance out of spec.enable of the workspace file and
prints the difference. NAME is the instance's: where it has an alias, that. While
another agent still enables it nothing is written, the exit code is 1, and it says
who does.

What goes then has been asked for by name: it does not count for the limit on
instances that go away in one pass. Work folders and volumes stay.`,
		Example: `  reconcile disable explorer2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			if len(args) == 0 {
				return errors.New("disable needs NAME")
			}
			return a.disable(cmd.Context(), strings.Join(args, " "))
		},
	}
}

func (a *app) disable(ctx context.Context, name string) error {
	name = strings.TrimPrefix(name, "manifest/")
	e, err := a.startEditing(ctx, "disable "+name, reachHost)
	if err != nil {
		return err
	}
	i, err := e.entryOf(name)
	if err != nil {
		return err
	}
	if i < 0 {
		return e.notEnabledHere(ctx, name)
	}
	entry := e.before.Enable[i]
	changed, err := e.apply(ctx, schema.Edit{Op: schema.EditDrop, Path: []string{"spec", "enable"}, Item: i})
	if err != nil || !changed {
		return err
	}
	if why := stillEnabled(e.after, instanceOf(entry)); why != "" {
		return fmt.Errorf("%s would still run: %s; %s is left as it is", instanceOf(entry), why, e.file)
	}
	// Before the file: what a daemon sees of it must not be taken for a mistake.
	if err := e.recordDisabled(ctx); err != nil {
		return err
	}
	if err := e.write(); err != nil {
		return err
	}
	return e.finish(ctx, entry.String()+" is disabled"+e.taken(), true)
}

// instanceOf is the name of the instance that an entry makes.
func instanceOf(e schema.Enable) string {
	if e.Alias != "" {
		return e.Alias
	}
	return e.Agent
}

// entryOf returns which entry of the workspace file makes the instance name; -1 =
// none does. A whole entry will do as well. The name of an agent that runs under
// aliases alone is an error: said twice it would take one of them away each time.
func (e *editing) entryOf(name string) (int, error) {
	entries := e.before.Enable
	if i := slices.IndexFunc(entries, func(x schema.Enable) bool { return instanceOf(x) == name || x.String() == name || x.Text == name }); i >= 0 {
		return i, nil
	}
	var aliases []string
	for i, x := range entries {
		switch {
		case x.Agent != name && x.Repo+"/"+x.Agent != name && x.Repo+":"+x.Agent != name:
		case x.Alias == "":
			return i, nil
		default:
			aliases = append(aliases, x.Alias)
		}
	}
	if len(aliases) > 0 {
		return 0, fmt.Errorf("%s runs as %s; name the instance to disable", name, strings.Join(aliases, ", "))
	}
	return -1, nil
}

// notEnabledHere is the end of disable for what the workspace file does not
// enable.
func (e *editing) notEnabledHere(ctx context.Context, name string) error {
	if e.before.Fatal {
		e.a.printDiagnostics(e.before.Diagnostics)
		return e.refuse()
	}
	if why := stillEnabled(e.before, name); why != "" {
		return fmt.Errorf("%s is not enabled by %s: %s", name, e.file, why)
	}
	for _, r := range e.before.Repos {
		if slices.Contains(r.Agents, name) {
			return e.finish(ctx, name+" is not enabled", false)
		}
	}
	id, err := findID(name, e.before.instances())
	if err == nil && id.Kind != plan.Manifest {
		i := slices.IndexFunc(e.before.Desired.Resources, func(r plan.Resource) bool { return r.ID == id })
		err = fmt.Errorf("%s is not enabled by %s: it is there because of %s; what is taken out there goes", id, e.file, e.before.Desired.Resources[i].Origin)
	}
	return err
}

// stillEnabled says which entries lead to an instance; "" = none does.
func stillEnabled(src source, name string) string {
	var by []string
	for _, edge := range src.Graph.Edges {
		switch {
		case edge.To != name || len(edge.Cycle) > 0:
		case edge.From == "":
			by = append(by, fmt.Sprintf("%s enables it", edge.Origin))
		default:
			by = append(by, fmt.Sprintf("%s enables it at %s", edge.From, edge.Origin))
		}
	}
	return strings.Join(by, ", ")
}

// taken names the instances that go along with what is disabled.
func (e *editing) taken() string {
	var names []string
	for _, id := range e.gone() {
		names = append(names, id.Name)
	}
	if len(names) < 2 {
		return ""
	}
	return ", which takes " + strings.Join(names, ", ") + " away"
}
