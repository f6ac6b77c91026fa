// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"reconcile/control"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// The values of --require-approval.
const (
	approvalNone      = "none"
	approvalAuthority = "authority"
)

func newApproveCommand(a *app) *cobra.Command {
	var opt approveOptions
	cmd := &cobra.Command{
		Use:   "approve NAME... | --all",
		Short: "Approve what agents can do, in workspace.lock",
		Long: `Shows what the named agents, or all, can do beyond what every agent can: folders of
the host, ports beyond this host, capabilities, secrets, images of a registry,
limits and so on, and the text of hooks that run on the host, beside the text that
was approved before. Asks, unless --yes is given, and records it in workspace.lock,
which is to be committed; what an agent cannot do any more is taken out.

With --host-hooks locked, the default, a hook on the host runs only when it is
approved: its commands, and what is in the files that these name.

With --require-approval authority, or a policy that says requireApproval:
authority, changes that let an agent do what is neither approved nor new to it
are held. Where an agent can write workspace.lock, what it says approves nothing:
approve also records on this host, and only that counts then.`,
		Example: `  reconcile approve explorer`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			if opt.all == (len(names) > 0) {
				return errors.New("approve: give the names of agents, or --all")
			}
			opt.names = names
			return a.approve(cmd.Context(), opt)
		},
	}
	cmd.Flags().BoolVar(&opt.all, "all", false, "approve what all agents can do, and forget what is gone")
	cmd.Flags().BoolVarP(&opt.yes, "yes", "y", false, "do not ask")
	return cmd
}

type approveOptions struct {
	names    []string
	all, yes bool
}

// approving is one run of approve.
type approving struct {
	a   *app
	opt approveOptions
	at  location
	src source

	old     []byte // the lock file, nil when there is none
	lock    *schema.Lock
	records plan.Records

	writers []plan.ID // can write the lock file
	held    []plan.ID // could, as far as is known
	agents  []approvedAgent
	// hooksOnly: of what is not approved yet only hooks are to be.
	hooksOnly bool
}

// approvedAgent is what changes about the approvals of one agent.
type approvedAgent struct {
	id     plan.ID
	names  []string // of its entries in the lock file, the first is to be kept
	grants []plan.Grant
	fresh  []plan.Grant // that are not approved yet
	gone   []string     // keys of what it cannot do any more
	edit   bool         // the lock file says something else
	record bool         // and so does the host
	hook   approvedHook
}

func (a *app) approve(ctx context.Context, opt approveOptions) error {
	at, err := locate(a.workspace)
	if err != nil {
		return err
	}
	if at.git != nil {
		return fmt.Errorf("%s is a git repository, and approvals are committed there in %s: approve in a clone (reconcile approve -C DIR), then commit and push", at.root(), schema.LockFile)
	}
	r := &approving{a: a, opt: opt, at: at, lock: &schema.Lock{}}
	if err := r.load(ctx); err != nil {
		return err
	}
	if err := r.choose(); err != nil {
		return err
	}
	if len(r.agents) > 0 && !opt.yes {
		r.print(a.std.err)
		if err := a.confirm("Approve this? Type yes: ", "approved"); err != nil {
			return err
		}
	}
	if err := r.write(ctx); err != nil {
		return err
	}
	r.tellDaemon(ctx)
	why, err := r.release(ctx)
	if err != nil {
		return err
	}
	return r.report(why)
}

func (r *approving) path() string { return filepath.Join(r.at.dir, schema.LockFile) }

// load reads the workspace, its lock file and what is recorded on this host.
func (r *approving) load(ctx context.Context) (err error) {
	if r.src, err = r.a.load(ctx, reachFetch); err != nil {
		return err
	}
	r.a.printDiagnostics(r.src.Diagnostics)
	if r.src.Fatal {
		fmt.Fprintln(r.a.std.err, "nothing was approved")
		return exitWith(plan.ExitFault)
	}
	if r.src.NameUnknown || !schema.IsName(r.src.name) {
		return errors.New("the workspace has no name that is known, so that nothing can be recorded for it: mend its file")
	}
	return r.read()
}

// read reads the lock file, and what is recorded on this host.
func (r *approving) read() (err error) {
	r.old, err = os.ReadFile(r.path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if r.old != nil {
		r.lock, _ = schema.DecodeLock(schema.LockFile, r.old) // loading has said what is wrong with it
	}
	archive, err := reconcile.OpenArchive(r.a.workspaceDir(r.src.name))
	if err != nil {
		return err
	}
	if r.records, err = archive.Load(); err != nil {
		return err
	}
	r.writers = plan.Approvers(r.src.Desired)
	r.held = plan.FormerApprovers(r.records)
	return nil
}

// choose finds out which agents are meant, and what there is to do about them.
func (r *approving) choose() error {
	wanted := map[plan.ID]bool{}
	var ids []plan.ID
	for _, res := range r.src.Desired.Resources {
		if res.Spec.Container != nil {
			ids = append(ids, res.ID)
			wanted[res.ID] = r.opt.all
		}
	}
	for _, name := range r.opt.names {
		id, err := findID(name, ids)
		if err != nil {
			return err
		}
		wanted[id] = true
	}
	grants := map[plan.ID][]plan.Grant{}
	for _, g := range plan.Standing(r.src.Desired, r.records) {
		grants[g.ID] = append(grants[g.ID], g)
	}
	entries := r.entries()
	for _, id := range ids {
		if !wanted[id] {
			continue
		}
		if r.hooksOnly {
			grants[id] = slices.DeleteFunc(grants[id], func(g plan.Grant) bool { return !g.Approved && g.Kind != plan.GrantHostHook })
		}
		r.consider(approvedAgent{id: id, grants: grants[id]}, entries[id])
	}
	// What is not known to be gone is not forgotten.
	if r.opt.all && len(r.src.Desired.Partial) == 0 {
		for _, id := range slices.SortedFunc(maps.Keys(entries), plan.ID.Compare) {
			if !slices.ContainsFunc(r.src.Desired.Resources, func(res plan.Resource) bool { return res.ID.Compare(id) == 0 }) {
				r.consider(approvedAgent{id: id}, entries[id])
			}
		}
	}
	return nil
}

// entries are those of the lock file, by ID; those that name none are under the
// zero one.
func (r *approving) entries() map[plan.ID][]schema.Approval {
	out := map[plan.ID][]schema.Approval{}
	for _, e := range r.lock.Approvals {
		id := r.idOf(e.Name.V)
		out[id] = append(out[id], e)
	}
	for _, h := range r.lock.Hooks {
		if id := r.idOf(h.Name.V); out[id] == nil {
			out[id] = nil // there may be nothing else of it
		}
	}
	return out
}

// consider adds an agent when something is to be changed about it.
func (r *approving) consider(x approvedAgent, entries []schema.Approval) {
	x.hook = r.considerHook(x.id, x.grants)
	keys, here := map[string]bool{}, map[string]bool{}
	for _, g := range x.grants {
		here[g.Key] = true
		if g.Kind == plan.GrantHostHook {
			continue // which has a section of its own
		}
		keys[g.Key] = true
		if !g.Approved {
			x.fresh = append(x.fresh, g)
		}
	}
	locked := map[string]bool{}
	for _, e := range entries {
		x.names = append(x.names, e.Name.V)
		for _, k := range e.Keys {
			locked[k.V] = true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(locked)) {
		if !keys[k] {
			x.gone = append(x.gone, k)
		}
	}
	x.edit = !maps.Equal(keys, locked) || len(entries) > 1 || len(entries) == 1 && len(keys) == 0
	if r.hooksOnly {
		x.gone, x.edit = nil, false
	}
	if len(r.writers)+len(r.held) > 0 {
		recorded := map[string]bool{}
		for _, k := range plan.ApprovedHere(r.records, x.id) {
			recorded[k] = true
		}
		x.record = !maps.Equal(here, recorded)
	}
	if x.edit || x.record || x.hook.edit {
		r.agents = append(r.agents, x)
	}
}

// write records what is approved, on the host first: the lock file is what a
// daemon notices.
func (r *approving) write(ctx context.Context) error {
	edit := schema.LockChanges{Approvals: map[string][]string{}, Hooks: map[string]*schema.HookEntry{}}
	var records []plan.Record
	for _, x := range r.agents {
		if x.record {
			records = append(records, plan.Approval(x.id, x.grants, time.Now()))
		}
		if x.edit {
			x.editLock(edit.Approvals)
		}
		x.hook.editLock(x.id, edit.Hooks)
	}
	content, err := schema.EditLock(r.old, edit)
	if err != nil {
		return err
	}
	if len(records) > 0 {
		if err := reconcile.Approve(ctx, r.a.workspaceDir(r.src.name), records...); err != nil {
			return err
		}
	}
	if bytes.Equal(content, r.old) {
		return nil
	}
	return replaceLock(r.path(), r.old, content)
}

// tellDaemon has a daemon look: what is recorded on the host is nothing that it
// watches. One that does not answer looks before long by itself.
func (r *approving) tellDaemon(ctx context.Context) {
	if c, err := r.a.dialDaemon(ctx, r.at.root()); c != nil && err == nil {
		_ = c.Refresh(ctx, control.RefreshRequest{Cause: string(reconcile.CauseCommand)})
	}
}

// editLock sets what the lock file says of x. Of several entries the first
// stays.
func (x approvedAgent) editLock(approvals map[string][]string) {
	for _, name := range x.names {
		approvals[name] = nil
	}
	name := x.id.String()
	if len(x.names) > 0 {
		name = x.names[0]
	}
	for _, g := range x.grants {
		if g.Kind != plan.GrantHostHook {
			approvals[name] = append(approvals[name], g.Key)
		}
	}
}

// release has the lock file count again that an agent could write once, now that
// none can and somebody has looked at all of it. It returns why it does not
// count yet; "" = it does, or did before.
func (r *approving) release(ctx context.Context) (string, error) {
	if !r.opt.all || len(r.held) == 0 || len(r.writers) > 0 || len(r.src.Desired.Partial) > 0 {
		return "", nil
	}
	p, _, err := r.a.planOnly(ctx, r.src.Desired)
	if err != nil {
		return "what runs could not be looked at: " + err.Error(), nil
	}
	if len(p.Incomplete)+len(p.Refused) > 0 {
		return "what runs could not be told", nil
	}
	for _, c := range slices.Concat(p.Changes, p.Held) {
		if slices.ContainsFunc(r.held, func(id plan.ID) bool { return id.Compare(c.ID) == 0 }) {
			return c.ID.String() + " does not run as it should yet", nil
		}
	}
	var records []plan.Record
	for _, id := range r.held {
		records = append(records, plan.ApproverReleased(id, time.Now()))
	}
	r.held = nil
	return "", reconcile.Approve(ctx, r.a.workspaceDir(r.src.name), records...)
}
