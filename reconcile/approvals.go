// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"

	"reconcile/reconcile/plan"
)

// Approve records what somebody has approved on this host, in the record store
// in dir, which is made when it is missing. Unlike everything else that is
// written there it needs no lock on the workspace: a daemon holds that for as
// long as it lives, and no pass writes a [plan.RecordApprovals]. A store that is
// opened at the same moment may make it fail; records before the one that failed
// are then on disk.
func Approve(ctx context.Context, dir string, records ...plan.Record) error {
	s := &Store{dir: dir}
	if err := makeDir(s.recordsDir()); err != nil {
		return err
	}
	for _, r := range records {
		if r.Kind != plan.RecordApprovals && r.Kind != plan.RecordApprover && r.Kind != plan.RecordDisabled {
			return fmt.Errorf("approve %s: a record of %s is no approval", r.ID, r.Kind)
		}
		if err := s.Put(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
