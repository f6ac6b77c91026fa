// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// sweepCopies deletes the private copies of agents' folders, dir/INSTANCE/HASH,
// that no container mounts any more. While it is not certain what every
// container mounts, nothing is deleted.
func sweepCopies(dir string, store *reconcile.Store, o plan.Observed) error {
	if len(o.Incomplete) > 0 {
		return nil
	}
	var digests []string
	for _, obj := range o.Objects {
		digests = append(digests, obj.Digest)
	}
	specs := store.Specs(digests)
	used := map[string]bool{}
	for _, obj := range o.Objects {
		var spec plan.Spec
		if json.Unmarshal(specs[obj.Digest], &spec) != nil {
			return nil
		}
		if spec.Container == nil {
			continue
		}
		for _, m := range spec.Container.Mounts {
			used[m.HostPath()] = true
		}
	}
	copies, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		return err
	}
	for _, path := range copies {
		if used[path] {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("delete a copy that nothing uses: %w", err)
		}
		os.Remove(filepath.Dir(path)) // the instance's folder, if it is empty now
	}
	return nil
}
