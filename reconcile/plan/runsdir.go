// SPDX-License-Identifier: Apache-2.0

package plan

import "path/filepath"

// RunsDir is the folder of the host with what the runs of a Task or a CronTask
// leave there, one folder for each, named by its key: the TaskSpec.Dir of id in a
// workspace whose files are below the state directory stateDir.
func RunsDir(stateDir, workspace string, id ID) string {
	return filepath.Join(stateDir, "workspaces", workspace, "data", "runs", filepath.FromSlash(id.String()))
}
