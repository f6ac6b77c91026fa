// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"reconcile/atomicfile"
	"reconcile/reconcile/plan"
)

// state is what a file of the folder of results says.
type state struct {
	ID      plan.ID            `json:"id"`
	Hook    plan.HookName      `json:"hook"`
	Digest  string             `json:"digest"`
	State   plan.HostHookState `json:"state"`
	Code    int                `json:"code,omitempty"`
	At      time.Time          `json:"at"`
	Detail  string             `json:"detail,omitempty"`
	Run     string             `json:"run"`               // marks the processes of the run
	Process *process           `json:"process,omitempty"` // of the child; running
}

const (
	stateSuffix  = ".json"
	lockSuffix   = ".lock"
	folderSuffix = ".folder" // locks of folders
	maxState     = 64 << 10
)

// stateFile is where the state of a resource's hook is in dir.
func stateFile(dir string, id plan.ID) string {
	return filepath.Join(dir, url.PathEscape(id.String())+stateSuffix)
}

// Look returns what became of the hooks that ran, by resource, dir being the
// Dir of the Runner that ran them. One that says it runs, and whose process is
// gone, did not run. The error joins one error for each file that cannot be
// read; the map holds all others. Nothing is written.
func Look(dir string) (map[plan.ID]plan.HostHook, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at hooks: %w", err)
	}
	all := map[plan.ID]plan.HostHook{}
	var errs []error
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), stateSuffix) || strings.HasPrefix(e.Name(), atomicfile.TempPrefix) {
			continue
		}
		st, err := readState(filepath.Join(dir, e.Name()))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if h, ok := st.fact(); ok {
			all[st.ID] = h
		}
	}
	return all, errors.Join(errs...)
}

// fact is what the planner is told; nothing of a run that was cut off.
func (st state) fact() (plan.HostHook, bool) {
	if st.State == plan.HookRunning && !st.Process.alive() {
		return plan.HostHook{}, false
	}
	return plan.HostHook{Digest: st.Digest, State: st.State, Code: st.Code, At: st.At, Detail: st.Detail}, true
}

// readState reads a file. Its error is fs.ErrNotExist when there is none.
func readState(path string) (state, error) {
	f, err := os.Open(path)
	if err != nil {
		return state{}, fmt.Errorf("read the result of a hook: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return state{}, fmt.Errorf("read the result of a hook: %w", err)
	}
	var st state
	switch err := json.Unmarshal(b, &st); {
	case len(b) > maxState:
		return state{}, fmt.Errorf("result of a hook %s is damaged: larger than %d bytes", path, maxState)
	case err != nil:
		return state{}, fmt.Errorf("result of a hook %s is damaged: %w; remove it, and the hook runs again", path, err)
	case st.ID.Name == "" || st.State == "":
		return state{}, fmt.Errorf("result of a hook %s is damaged: it names no id or no state; remove it, and the hook runs again", path)
	}
	return st, nil
}

// write is on disk before it returns.
func (st state) write(path string) error {
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(b, '\n'), atomicfile.Options{Perm: 0o600, Sync: true})
}
