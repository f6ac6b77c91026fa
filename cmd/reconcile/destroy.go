// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/render"
)

func newDestroyCommand(a *app) *cobra.Command {
	var opt destroyOptions
	cmd := &cobra.Command{
		Use:   "destroy [WORKSPACE]",
		Short: "Take away everything of the workspace that runs here",
		Long: `Stops and deletes the containers and networks of the workspace, the images that
install hooks made and the secrets that were made for containers. What "var
--secret" stored stays, volumes unless --volumes is given, the agents' private
work folders and the logs of executions unless --data is. Asks first; --yes answers.`,
		Example: `  reconcile destroy --data`,
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.takeWorkspace(cmd, args); err != nil {
				return err
			}
			formats := []string{formatText, formatJSON, formatLines}
			if a.dryRun {
				formats = planFormats()
			}
			if err := a.check(formats...); err != nil {
				return err
			}
			return a.destroy(cmd.Context(), opt)
		},
	}
	cmd.Flags().BoolVarP(&opt.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&opt.volumes, "volumes", false, "delete volumes too")
	cmd.Flags().BoolVar(&opt.data, "data", false, "delete the agents' private work folders too")
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "print the plan and change nothing; -o diff, jsonl, markdown or github as well")
	a.view.addExitZero(cmd.Flags())
	cmd.Flags().BoolVar(&a.acceptLostRecords, "accept-lost-records", false, "take away objects made with other records too")
	cmd.Flags().BoolVar(&a.adopt, "adopt", false, "take away what was run from another path too")
	return cmd
}

type destroyOptions struct{ yes, volumes, data bool }

func (a *app) destroy(ctx context.Context, opt destroyOptions) error {
	// The workspace may have mistakes or be half gone: only its name counts.
	src, err := a.loadHere(ctx)
	if err != nil {
		return err
	}
	if opt.data && src.NameUnknown {
		return errors.New("not destroyed: the workspace file cannot be read, so it is not known whose work folders to delete; mend it, or leave out --data")
	}
	d := plan.Desired{Workspace: src.name, Root: src.root, Revision: src.Desired.Revision, Source: src.Desired.Source, Destroy: true, Volumes: opt.volumes}
	if a.dryRun {
		p, _, err := a.planOnly(ctx, d)
		if err != nil {
			return err
		}
		if err := a.printReport(render.Report{Plan: p}); err != nil {
			return err
		}
		return a.dryRunExit(p.ExitCode(true))
	}
	if st := a.askDaemon(ctx, src.root); st != nil {
		return fmt.Errorf("not destroyed: a daemon (pid %d) keeps workspace %s running; end it first", st.PID, src.name)
	}
	if opt.yes {
		err = a.converge(ctx, d, nil, nil, nil)
	} else {
		err = a.destroyAsking(ctx, d)
	}
	if err != nil || !opt.data {
		return err
	}
	return a.removeWork(ctx, d, src.at)
}

// errNotConfirmed: there is something else to destroy than was confirmed.
var errNotConfirmed = errors.New("not what was confirmed")

// destroyAsking destroys what was shown and confirmed. When that is something else
// by then, nothing is done, and it is asked again.
func (a *app) destroyAsking(ctx context.Context, d plan.Desired) error {
	for {
		shown, _, err := a.planOnly(ctx, d)
		if err != nil {
			return err
		}
		if len(shown.Steps) > 0 {
			if err := render.Text(a.std.err, render.Report{Plan: shown, Mode: plan.ModeLive}, a.renderOptions(a.std.err)); err != nil {
				return err
			}
			if err := a.confirm(fmt.Sprintf("Destroy workspace %s? Type yes: ", escape(d.Workspace)), "destroyed"); err != nil {
				return err
			}
		}
		err = a.convergeAs(ctx, convergence{desired: d, options: a.planOptions(), narrow: onlyShown(shown)})
		if !errors.Is(err, errNotConfirmed) {
			return err
		}
		fmt.Fprintln(a.std.err, "nothing was destroyed: it is not the same any more")
	}
}

// onlyShown lets a plan pass that deletes the very objects that were shown;
// whether they run counts for nothing.
func onlyShown(shown plan.Plan) func(*reconcile.Store, plan.Plan, plan.Observed) (plan.Plan, error) {
	doomed := func(p plan.Plan) []string {
		var ids []string
		for _, s := range p.Steps {
			if s.Op == plan.OpDelete {
				ids = append(ids, s.ID) // which name the object
			}
		}
		slices.Sort(ids)
		return ids
	}
	return func(_ *reconcile.Store, p plan.Plan, _ plan.Observed) (plan.Plan, error) {
		if !slices.Equal(doomed(p), doomed(shown)) {
			return p, errNotConfirmed
		}
		return p, nil
	}
}

// confirm asks on the terminal; without one the answer is no, and the error says
// that it is not done.
func (a *app) confirm(question, done string) error {
	if !isTerminal(a.std.in) {
		return fmt.Errorf("not %s: nobody to ask; --yes answers", done)
	}
	fmt.Fprint(a.std.err, question)
	line, _ := bufio.NewReader(a.std.in).ReadString('\n')
	if strings.TrimSpace(line) != "yes" {
		return fmt.Errorf("not %s", done)
	}
	return nil
}

// removeWork deletes the agents' private work folders and the checkout of a
// workspace in git, unless an instance that stayed works in one of them.
func (a *app) removeWork(ctx context.Context, d plan.Desired, at location) error {
	dir := a.workspaceDir(d.Workspace)
	lock, err := a.takeLock(d.Workspace, "reconcile destroy")
	if err != nil {
		return err
	}
	defer lock.Release()
	p, _, err := a.planOnly(ctx, d)
	if err != nil {
		return fmt.Errorf("the work folders stay: %w", err)
	}
	if len(p.Incomplete) > 0 {
		return fmt.Errorf("the work folders stay: %s", p.Incomplete[0].Text)
	}
	for _, c := range slices.Concat(p.Changes, p.Held) {
		if c.ID.Kind.Role() == plan.RoleInstance {
			return fmt.Errorf("the work folders stay: %s is still there", c.ID)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "data", "agents")); err != nil {
		return fmt.Errorf("delete work folders: %w", err)
	}
	if err := os.RemoveAll(a.executionsDir(d.Workspace)); err != nil {
		return fmt.Errorf("delete logs of executions: %w", err)
	}
	if at.git == nil {
		return nil
	}
	if err := os.RemoveAll(a.checkoutDir(*at.git)); err != nil {
		return fmt.Errorf("delete checkout: %w", err)
	}
	return nil
}
