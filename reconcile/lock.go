// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// Holder is who holds a workspace's lock.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// LockedError says that somebody else reconciles the workspace.
type LockedError struct {
	Workspace string
	Holder    Holder // zero: it could not be read
}

func (e *LockedError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("workspace %s is being reconciled by another process", e.Workspace)
	}
	return fmt.Sprintf("workspace %s is being reconciled by pid %d (%s) since %s",
		e.Workspace, e.Holder.PID, e.Holder.Command, e.Holder.Since.Format(time.RFC3339))
}

// Lock is the right to write to a workspace and its record store. It ends with
// the process, however that ends.
type Lock struct{ file *flock.Flock }

// TakeLock takes the lock of the workspace whose state is in dir, making dir
// if need be. It does not wait: a lock that is held is a *LockedError.
func TakeLock(dir, workspace string, self Holder) (*Lock, error) {
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("lock workspace %s: %w", workspace, err)
	}
	path := lockFile(dir)
	file := flock.New(path, flock.SetPermissions(0o600))
	ok, err := file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock workspace %s: %w", workspace, err)
	}
	if !ok {
		return nil, &LockedError{Workspace: workspace, Holder: readHolder(path)}
	}
	l := &Lock{file: file}
	b, err := json.Marshal(self)
	if err == nil {
		// In place: a lock belongs to the file, not to its name.
		err = os.WriteFile(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		_ = l.Release()
		return nil, fmt.Errorf("lock workspace %s: %w", workspace, err)
	}
	return l, nil
}

// Release gives the lock back. The file stays: were it removed, two processes
// could hold locks of two files of one name.
func (l *Lock) Release() error {
	if err := os.Truncate(l.file.Path(), 0); err != nil {
		_ = l.file.Unlock()
		return fmt.Errorf("release lock: %w", err)
	}
	if err := l.file.Unlock(); err != nil {
		return fmt.Errorf("release lock: %w", err)
	}
	return nil
}

// LookHolder says who holds the lock of the workspace whose state is in dir, as
// far as that can be told without trying to take it. False: nobody does, or who did
// is not alive.
func LookHolder(dir string) (Holder, bool) {
	h, ok := holderIn(lockFile(dir))
	if !ok {
		return Holder{}, false
	}
	p, err := os.FindProcess(h.PID)
	if err != nil {
		return Holder{}, false
	}
	err = p.Signal(syscall.Signal(0))
	return h, err == nil || errors.Is(err, fs.ErrPermission)
}

// readHolder reads who holds the lock; zero while the holder has not said so
// yet, which is for less than a moment.
func readHolder(path string) Holder {
	for range 20 {
		if h, ok := holderIn(path); ok {
			return h
		}
		time.Sleep(5 * time.Millisecond)
	}
	return Holder{}
}

// holderIn reads who has said in the file that they hold the lock.
func holderIn(path string) (Holder, bool) {
	var h Holder
	b, err := readSmall(path, maxRecordFile)
	if err != nil || json.Unmarshal(b, &h) != nil || h.PID <= 0 {
		return Holder{}, false
	}
	return h, true
}

func lockFile(dir string) string { return filepath.Join(dir, "lock") }
