// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"reconcile/atomicfile"
)

// replaceFile replaces a file of the user, unless it is not old any more; nil =
// there was none. It keeps its owner, as far as that can be, and its permissions.
func replaceFile(path string, old, content []byte) error {
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
