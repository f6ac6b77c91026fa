// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"reconcile/podman"
	"reconcile/reconcile/plan"
)

func newLogsCommand(a *app) *cobra.Command {
	var opt podman.LogOptions
	var since time.Duration
	var hooks bool
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what an instance wrote, running or not",
		Example: `  reconcile logs -f --tail 20 explorer
  reconcile logs --hooks explorer`,
		Args: oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			formats := []string{"text"}
			if hooks {
				formats = append(formats, "json")
			}
			if err := a.check(formats...); err != nil {
				return err
			}
			if opt.Tail < 0 {
				return fmt.Errorf("--tail: %d is negative", opt.Tail)
			}
			if hooks {
				for _, f := range []string{"follow", "since", "timestamps"} {
					if cmd.Flags().Changed(f) {
						return fmt.Errorf("--hooks: --%s is for what instances write", f)
					}
				}
				return a.printHookLogs(cmd.Context(), args[0], opt.Tail)
			}
			if since < 0 {
				return fmt.Errorf("--since: %v is negative", since)
			}
			if since > 0 {
				opt.Since = time.Now().Add(-since)
			}
			return a.printLogs(cmd.Context(), args[0], opt)
		},
	}
	cmd.Flags().BoolVar(&hooks, "hooks", false, "what its hooks wrote when they ran last, instead")
	cmd.Flags().BoolVarP(&opt.Follow, "follow", "f", false, "go on printing until interrupted")
	cmd.Flags().IntVar(&opt.Tail, "tail", 0, "only the last `N` lines (0: all)")
	cmd.Flags().DurationVar(&since, "since", 0, "only what was written in the last `DURATION`")
	cmd.Flags().BoolVar(&opt.Timestamps, "timestamps", false, "begin each line with its time")
	return cmd
}

func (a *app) printLogs(ctx context.Context, name string, opt podman.LogOptions) error {
	src, archive, err := a.loadToLook(ctx)
	if err != nil {
		return err
	}
	r, err := podman.OpenReader(ctx, a.podmanOptions(archive.Owner()))
	if err != nil {
		return err
	}
	defer r.Close()
	// What exists is asked for, not what should: logs work in a workspace that
	// has mistakes.
	o, err := r.Observe(ctx, plan.Desired{Workspace: src.name, Root: src.root})
	if err != nil {
		return err
	}
	obj, err := newestObject(name, o.Objects, desiredIDs(src.Desired))
	if err != nil {
		if id, idErr := findID(name, desiredIDs(src.Desired)); idErr == nil {
			a.hintAtHooks(src.name, id, true)
		}
		return err
	}
	defer a.hintAtHooks(src.name, obj.ID, false)
	err = r.Logs(ctx, obj.Handle, opt, a.std.out, a.std.err)
	if opt.Follow && ctx.Err() != nil {
		return nil
	}
	return err
}

// newestObject finds the container that NAME means; of several generations the
// newest.
func newestObject(name string, objects []plan.Object, desired []plan.ID) (plan.Object, error) {
	var ids []plan.ID
	for _, o := range objects {
		if o.Role == plan.RoleInstance {
			ids = append(ids, o.ID)
		}
	}
	id, err := findID(name, ids)
	if err != nil {
		if wanted, wantErr := findID(name, desired); wantErr == nil {
			return plan.Object{}, fmt.Errorf("%s has no container yet", wanted)
		}
		return plan.Object{}, err
	}
	i := -1
	for j, o := range slices.All(objects) {
		if o.ID == id && (i < 0 || o.Created.After(objects[i].Created)) {
			i = j
		}
	}
	return objects[i], nil
}
