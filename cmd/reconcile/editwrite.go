// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"reconcile/atomicfile"
)

// replaceFile replaces a file of the user, unless it is not old any more; nil =
// there was none. It keeps its owner, as far as that can be, and its permissions.
func replaceFile(path string, old, content []byte) error {
	unlock, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	o := atomicfile.Options{Perm: 0o644, Sync: true}
	if info, err := os.Lstat(path); err == nil {
		if o.Perm = info.Mode().Perm(); !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file: it is not replaced", path)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			o.Fill = func(f *os.File, b []byte) error {
				_ = f.Chown(int(st.Uid), int(st.Gid)) // only root may give files away
				_, err := f.Write(b)
				return err
			}
		}
	}
	now, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(now, old) || (err != nil) != (old == nil) {
		return fmt.Errorf("%s has changed meanwhile; run this again", path)
	}
	return atomicfile.Write(path, content, o)
}

// lockFolder waits until no other command replaces a file in a folder, so that
// none takes away what another has just written.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR { //nolint:errorlint // it is never wrapped
			break
		}
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.ENOLCK) {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
