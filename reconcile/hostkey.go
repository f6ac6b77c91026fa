// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"reconcile/atomicfile"
)

// hostKeyBytes is the length of the host key.
const hostKeyBytes = 32

// HostKey returns the key that fingerprints of secrets are made with, 32
// random bytes kept in stateDir/data/hostkey and shared by all workspaces of
// this host. With readOnly a key that does not exist is nil and none is made.
func HostKey(stateDir string, readOnly bool) ([]byte, error) {
	path := filepath.Join(stateDir, "data", "hostkey")
	key, err := readHostKey(path)
	if err != nil || key != nil || readOnly {
		return key, err
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	// Several workspaces may start at once: all must end up with one key.
	lock := flock.New(path + ".lock")
	if err := lock.Lock(); err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	if key, err := readHostKey(path); err != nil || key != nil {
		return key, err
	}
	key = make([]byte, hostKeyBytes)
	rand.Read(key) // never fails: crypto/rand ends the program instead
	if err := atomicfile.Write(path, key, atomicfile.Options{Sync: true}); err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	return key, nil
}

func readHostKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read host key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("host key %s can be read by others (mode %04o): make it 0600", path, mode)
	}
	key, err := readSmall(path, hostKeyBytes)
	if err != nil {
		return nil, fmt.Errorf("read host key: %w", err)
	}
	if len(key) != hostKeyBytes {
		return nil, fmt.Errorf("host key %s is damaged: %d bytes, want %d; restore it from a backup, or remove it (secrets then count as changed once)",
			path, len(key), hostKeyBytes)
	}
	return key, nil
}
