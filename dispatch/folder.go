// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"reconcile/atomicfile"
	"reconcile/reconcile/plan"
)

// The files of a [Folder].
const (
	executionFile = "execution.json" // an Execution
	logFile       = "log"
	cronFile      = "cron.json" // a CronState
)

// Folder is a [Journal] on disk. There is one process at a time that has it.
//
//	NAMESPACE/NAME/cron.json
//	NAMESPACE/NAME/KEY/execution.json
//	NAMESPACE/NAME/KEY/log
//
// It keeps the last 50 executions of an agent, and those that go on.
type Folder struct {
	dir string

	mu     sync.Mutex
	agents map[plan.ID][]Execution // the oldest first; nil = not read yet
}

// OpenFolder returns the journal in a folder, which is made when it is written to.
func OpenFolder(dir string) *Folder {
	return &Folder{dir: dir, agents: map[plan.ID][]Execution{}}
}

// Dir is the folder of an agent: with a folder for each execution that is kept,
// named by its key, in which the file log is.
func (f *Folder) Dir(agent plan.ID) string {
	return filepath.Join(f.dir, namespaceOf(agent), agent.Name)
}

// Begin implements [Journal].
func (f *Folder) Begin(e Execution) (Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, err := f.read(e.Agent)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(f.Dir(e.Agent), e.Key)
	if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o700), os.Mkdir(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("keep execution %s: %w", e.ID, err)
	}
	if err := writeFile(filepath.Join(dir, executionFile), e, false); err != nil {
		return nil, errors.Join(fmt.Errorf("keep execution %s: %w", e.ID, err), os.RemoveAll(dir))
	}
	log, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keep the log of execution %s: %w", e.ID, err), os.RemoveAll(dir))
	}
	f.agents[canonical(e.Agent)] = append(list, e)
	return &folderEntry{f, log, dir}, f.prune(e.Agent)
}

type folderEntry struct {
	*Folder
	log *os.File
	dir string
}

func (x *folderEntry) Write(p []byte) (int, error) { return x.log.Write(p) }

func (x *folderEntry) End(e Execution) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	list := x.agents[canonical(e.Agent)]
	for i := range list {
		if list[i].Key == e.Key {
			list[i] = e
		}
	}
	return errors.Join(x.log.Close(), writeFile(filepath.Join(x.dir, executionFile), e, false))
}

// Recent implements [Journal].
func (f *Folder) Recent(agent plan.ID) ([]Execution, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, err := f.read(agent)
	if err != nil {
		return nil, err
	}
	list = slices.Clone(list)
	slices.Reverse(list)
	return slices.DeleteFunc(list, func(e Execution) bool { return e.Outcome == Running }), nil
}

// folderKey is what the folder of an execution is named.
func folderKey(name string) bool {
	return len(name) == 16 && strings.Trim(name, "0123456789abcdef") == ""
}

// read returns the executions of an agent. What was going on when they are read
// first is lost.
func (f *Folder) read(agent plan.ID) ([]Execution, error) {
	agent = canonical(agent)
	if list, ok := f.agents[agent]; ok {
		return list, nil
	}
	dir := f.Dir(agent)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the executions of %s: %w", agent, err)
	}
	list := []Execution{}
	for _, entry := range entries {
		if !folderKey(entry.Name()) {
			continue
		}
		path := filepath.Join(dir, entry.Name(), executionFile)
		var e Execution
		err := readFile(path, &e)
		if errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(filepath.Dir(path)) // it was never begun, if it is empty
		}
		if err != nil || e.Key != entry.Name() {
			continue // it stays for people to look at
		}
		e.Agent = agent
		if e.Outcome == Running {
			e.Outcome, e.Reason = Lost, "the daemon was killed while it ran"
			if err := writeFile(path, e, false); err != nil {
				return nil, err
			}
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Execution) int { return a.Accepted.Compare(b.Accepted) })
	f.agents[agent] = list
	return list, f.prune(agent)
}

// prune drops the oldest of those that have ended.
func (f *Folder) prune(agent plan.ID) error {
	list := f.agents[canonical(agent)]
	for i := 0; len(list) > kept && i < len(list); {
		if list[i].Outcome == Running {
			i++
			continue
		}
		if err := os.RemoveAll(filepath.Join(f.Dir(agent), list[i].Key)); err != nil {
			return fmt.Errorf("drop an old execution: %w", err)
		}
		list = slices.Delete(list, i, i+1)
	}
	f.agents[canonical(agent)] = list
	return nil
}

// Cron implements [Journal].
func (f *Folder) Cron(agent plan.ID) (CronState, error) {
	var s CronState
	err := readFile(filepath.Join(f.Dir(agent), cronFile), &s)
	if errors.Is(err, fs.ErrNotExist) {
		return CronState{}, nil
	}
	return s, err
}

// PutCron implements [Journal].
func (f *Folder) PutCron(agent plan.ID, s CronState) error {
	if err := os.MkdirAll(f.Dir(agent), 0o700); err != nil {
		return fmt.Errorf("keep the slot of %s: %w", agent, err)
	}
	return writeFile(filepath.Join(f.Dir(agent), cronFile), s, true)
}

func writeFile(path string, v any, sync bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(b, '\n'), atomicfile.Options{Perm: 0o600, Sync: sync})
}

func readFile(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
