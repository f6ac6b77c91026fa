// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// instances are the IDs of all instances of a workspace.
func (s source) instances() []plan.ID {
	var ids []plan.ID
	for _, r := range s.Desired.Resources {
		if r.ID.Kind.Role() == plan.RoleInstance {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// gone are the instances that an edit takes away.
func (e *editing) gone() []plan.ID {
	after := e.after.instances()
	return slices.DeleteFunc(e.before.instances(), func(id plan.ID) bool { return slices.Contains(after, id) })
}

// recordDisabled remembers on this host that what goes has been asked for.
func (e *editing) recordDisabled(ctx context.Context) error {
	var records []plan.Record
	for _, id := range e.gone() {
		records = append(records, plan.Disabled(id, true, time.Now()))
	}
	return e.record(ctx, records)
}

// recordEnabled forgets that what comes was disabled once.
func (e *editing) recordEnabled(ctx context.Context) error {
	archive, err := reconcile.OpenArchive(e.a.workspaceDir(e.after.name))
	if err != nil {
		return err
	}
	known, err := archive.Load()
	if err != nil {
		return err
	}
	var records []plan.Record
	for _, id := range e.after.instances() {
		if plan.DisabledHere(known, id) {
			records = append(records, plan.Disabled(id, false, time.Now()))
		}
	}
	return e.record(ctx, records)
}

func (e *editing) record(ctx context.Context, records []plan.Record) error {
	if len(records) == 0 || e.after.NameUnknown || !schema.IsName(e.after.name) {
		return nil
	}
	if err := reconcile.Approve(ctx, e.a.workspaceDir(e.after.name), records...); err != nil {
		return fmt.Errorf("record what was asked for: %w", err)
	}
	return nil
}
