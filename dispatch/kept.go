// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"reconcile/reconcile/plan"
)

// Kept is what a [Folder] has on disk, for looking only: it writes nothing, and
// another process may have the folder meanwhile. What cannot be understood is left
// out, since it may be on its way.
type Kept struct{ dir string }

// Look returns what is kept in a folder, which need not be there.
func Look(dir string) Kept { return Kept{dir} }

// Dir is [Folder.Dir].
func (k Kept) Dir(agent plan.ID) string {
	return filepath.Join(k.dir, agent.NamespacedName())
}

// Agents are those of which something is kept, sorted.
func (k Kept) Agents() ([]plan.ID, error) {
	namespaces, err := folders(k.dir)
	if err != nil {
		return nil, fmt.Errorf("list what is kept of executions: %w", err)
	}
	var out []plan.ID
	for _, namespace := range namespaces {
		names, err := folders(filepath.Join(k.dir, namespace))
		if err != nil {
			return nil, fmt.Errorf("list what is kept of executions: %w", err)
		}
		for _, name := range names {
			if isName(namespace) && isName(name) {
				out = append(out, plan.ID{Kind: plan.TaskAgent, Namespace: namespace, Name: name}.Canonical())
			}
		}
	}
	slices.SortFunc(out, plan.ID.Compare)
	return out, nil
}

// Executions are those of an agent that are kept, the newest first. One that is
// [Running] goes on, unless nobody lives any more who had it go on.
func (k Kept) Executions(agent plan.ID) ([]Execution, error) {
	names, err := folders(k.Dir(agent))
	if err != nil {
		return nil, fmt.Errorf("read the executions of %s: %w", agent, err)
	}
	var out []Execution
	for _, name := range names {
		if e, ok := k.Execution(agent, name); ok {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b Execution) int { return b.Accepted.Compare(a.Accepted) })
	return out, nil
}

// Execution is the one of an agent that has the key. False: it is not kept.
func (k Kept) Execution(agent plan.ID, key string) (Execution, bool) {
	var e Execution
	if !folderKey(key) || readFile(filepath.Join(k.Dir(agent), key, executionFile), &e) != nil || e.Key != key {
		return Execution{}, false
	}
	e.Agent = agent.Canonical()
	return e, true
}

// Cron is what is kept of the schedule of an agent.
func (k Kept) Cron(agent plan.ID) (CronState, error) {
	var s CronState
	err := readFile(filepath.Join(k.Dir(agent), cronFile), &s)
	if errors.Is(err, fs.ErrNotExist) {
		return CronState{}, nil
	}
	return s, err
}

// folders are the names of those in a folder, which need not be there.
func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out, nil
}
