// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"slices"
	"time"
)

// approverHeld is the key of a [RecordApprover].
const approverHeld = "held"

// Approval is the record that somebody approved gs of id on this host, and
// nothing else.
func Approval(id ID, gs []Grant, at time.Time) Record {
	r := Record{ID: id, Kind: RecordApprovals, At: at, Data: map[string]string{}}
	for _, g := range gs {
		r.Data[g.Key] = "approved"
	}
	return r
}

// ApprovedHere returns the keys of the grants that were approved on this host,
// sorted.
func ApprovedHere(rs Records, id ID) []string {
	for _, r := range rs.Records {
		if r.Kind == RecordApprovals && r.ID.Canonical() == id.Canonical() {
			return slices.Sorted(maps.Keys(r.Data))
		}
	}
	return nil
}

// FormerApprovers returns the IDs of which it is recorded that they could write
// the lock file, sorted; some of them still can.
func FormerApprovers(rs Records) []ID {
	ids := map[ID]bool{}
	for _, r := range rs.Records {
		if r.Kind == RecordApprover && r.Data[approverHeld] == "true" {
			ids[r.ID.Canonical()] = true
		}
	}
	return sortedIDs(maps.Keys(ids))
}

// ApproverReleased is the record that somebody has looked at everything that the
// lock file approves since id could last write it.
func ApproverReleased(id ID, at time.Time) Record {
	return Record{ID: id, Kind: RecordApprover, At: at, Data: map[string]string{approverHeld: "false"}}
}
