// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"path"
	"strings"
)

// RunsDir is the folder of the host with what the runs of a Task or a CronTask
// leave there, one folder for each, named by its key: the TaskSpec.Dir of id in a
// workspace whose files are below the state directory stateDir. The namespace is
// always in it, so that no such folder is that of a run of another.
func RunsDir(stateDir, workspace string, id ID) string {
	kind := strings.ToLower(string(id.Kind))
	return path.Join(stateDir, "workspaces", workspace, "data", "runs", kind, id.NamespacedName())
}
