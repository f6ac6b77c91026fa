// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// verify compares what is in the files that a hook names with their digests. An
// instance that can write to the folder may have changed them since they were
// looked at, or approved.
func verify(dir string, files map[string]string) error {
	if len(files) == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		got, err := digestOf(root, name)
		if err != nil {
			return fmt.Errorf("the hook names %s: %w", name, err)
		}
		if got != files[name] {
			return fmt.Errorf("%s in %s is not what the plan was made for: it was changed since", name, dir)
		}
	}
	return nil
}

func digestOf(root *os.Root, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
