// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"reconcile/helper"
)

// writeOutcome writes the end of a task to the file path, so that a reader finds
// all of it or none. What the command has put in its place gives way.
func writeOutcome(path string, end helper.Outcome) error {
	b, err := json.Marshal(end)
	if err != nil {
		return err
	}
	part := path + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	// Whoever reads it need not be the container's user.
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if errors.Is(err, fs.ErrExist) { // a folder has the name
		err = errors.Join(os.RemoveAll(path), os.Rename(part, path))
	}
	if err != nil {
		_ = os.Remove(part)
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // not every file system can
		dir.Close()
	}
	return nil
}
