// SPDX-License-Identifier: Apache-2.0

package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TempPrefix begins the names of the files that are written before they take
// their place. One that is left over was never finished, see [Clean].
const TempPrefix = ".tmp-"

// Options say how a file is written.
type Options struct {
	// Perm are the file's permissions; 0 = those of the file that is there, and
	// 0600 for a new one.
	Perm fs.FileMode
	// Sync: the content would survive a power cut when Write returns. Without it
	// a power cut may leave an empty file.
	Sync bool
	// Fill writes b to f; nil = all of it. A seam for disks that are full.
	Fill func(f *os.File, b []byte) error
}

// Write replaces the file path by one with the content b. The folder must be
// there. Errors name path, never the temporary file.
func Write(path string, b []byte, o Options) error {
	if o.Perm == 0 {
		o.Perm = 0o600
		if info, err := os.Stat(path); err == nil {
			o.Perm = info.Mode().Perm()
		}
	}
	if err := replace(path, b, o); err != nil {
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
		return fmt.Errorf("write %s: %w", path, err)
	}
	if !o.Sync {
		return nil
	}
	return SyncDir(filepath.Dir(path))
}

func replace(path string, b []byte, o Options) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), TempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if o.Fill != nil {
		err = o.Fill(f, b)
	} else {
		_, err = f.Write(b)
	}
	if err != nil {
		return err
	}
	if err := f.Chmod(o.Perm); err != nil {
		return err
	}
	if o.Sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// SyncDir puts the entries of a folder on disk.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// Clean removes what interrupted writes left in dir. Nobody may be writing
// there.
func Clean(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove interrupted write: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), TempPrefix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove interrupted write: %w", err)
		}
	}
	return nil
}
