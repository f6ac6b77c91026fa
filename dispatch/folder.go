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
func (f *Folder) Dir(agent plan.ID) string { return Look(f.dir).Dir(agent) }

// Begin implements [Journal].
func (f *Folder) Begin(e Execution) (Entry, error) {
	f.mu.Lock()
	list, err := f.read(e.Agent)
	if err == nil {
		f.agents[e.Agent.Canonical()] = append(list, e)
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	x := &folderEntry{Folder: f, dir: filepath.Join(f.Dir(e.Agent), e.Key), begun: e}
	if err := x.begin(e); err != nil {
		f.update(e.Agent, func(list []Execution) []Execution {
			return slices.DeleteFunc(list, func(o Execution) bool { return o.Key == e.Key && o.Outcome == Running })
		})
		return nil, fmt.Errorf("keep execution %s: %w", e.ID, err)
	}
	return x, nil
}

func (f *Folder) update(agent plan.ID, change func([]Execution) []Execution) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.agents[agent.Canonical()] = change(f.agents[agent.Canonical()])
}

// folderEntry is an execution in its folder.
type folderEntry struct {
	*Folder
	dir   string
	begun Execution // what its file says
	log   *os.File  // nil = nothing was written
}

// begin makes the folder. Whoever is killed meanwhile leaves one without a file, or
// with an empty one.
func (x *folderEntry) begin(e Execution) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.Mkdir(x.dir, 0o700); errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(os.MkdirAll(filepath.Dir(x.dir), 0o700), os.Mkdir(x.dir, 0o700))
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(x.dir, executionFile), append(b, '\n'), 0o600); err != nil {
		return errors.Join(err, os.RemoveAll(x.dir))
	}
	return nil
}

// Write is for one goroutine at a time, and not for one beside End.
func (x *folderEntry) Write(p []byte) (int, error) {
	if x.log == nil {
		log, err := os.OpenFile(filepath.Join(x.dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		x.log = log
	}
	return x.log.Write(p)
}

// End implements [Entry].
func (x *folderEntry) End(e Execution) error {
	var err error
	if x.log != nil {
		err = x.log.Close()
	}
	if x.begun != e {
		err = errors.Join(err, writeFile(filepath.Join(x.dir, executionFile), e, false))
	}
	var old []Execution
	x.update(e.Agent, func(list []Execution) []Execution {
		for i := range list {
			if list[i].Key == e.Key {
				list[i] = e
			}
		}
		list, old = newest(list)
		return list
	})
	return errors.Join(err, x.drop(old))
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
	agent = agent.Canonical()
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
		if unbegun(path) {
			continue
		}
		e, ok := Look(f.dir).Execution(agent, entry.Name())
		if !ok {
			continue // it stays for people to look at
		}
		if e.Outcome == Running {
			e.Outcome, e.Reason = Lost, "the daemon was killed while it ran"
			if err := writeFile(path, e, false); err != nil {
				return nil, err
			}
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Execution) int { return a.Accepted.Compare(b.Accepted) })
	list, old := newest(list)
	f.agents[agent] = list
	return list, f.drop(old)
}

// unbegun removes the folder of what was never begun, and reports whether it is one.
func unbegun(path string) bool {
	info, err := os.Lstat(path)
	if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		err = errors.Join(os.Remove(path), fs.ErrNotExist)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_ = os.Remove(filepath.Dir(path)) // with anything else in it, it stays
	return true
}

// newest parts a list that is too long from the oldest of those that have ended.
func newest(list []Execution) (left, old []Execution) {
	for i := 0; len(list) > kept && i < len(list); {
		if list[i].Outcome == Running {
			i++
			continue
		}
		old = append(old, list[i])
		list = slices.Delete(list, i, i+1)
	}
	return list, old
}

func (f *Folder) drop(old []Execution) error {
	var errs []error
	for _, e := range old {
		errs = append(errs, removeEntry(filepath.Join(f.Dir(e.Agent), e.Key)))
	}
	return errors.Join(errs...)
}

// removeEntry removes the folder of an execution, with what may be in it beside the
// two files.
func removeEntry(dir string) error {
	_ = os.Remove(filepath.Join(dir, logFile))
	_ = os.Remove(filepath.Join(dir, executionFile))
	if os.Remove(dir) == nil {
		return nil
	}
	return os.RemoveAll(dir)
}

// Cron implements [Journal].
func (f *Folder) Cron(agent plan.ID) (CronState, error) { return Look(f.dir).Cron(agent) }

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
