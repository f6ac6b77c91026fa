// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Of many who edit a file at once, everyone who is told of success has his edit in
// it.
func TestReplaceFileLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var done, refused atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				old, err := os.ReadFile(path)
				if err != nil {
					t.Error(err)
					return
				}
				switch err := replaceFile(path, old, append(old, 'x')); {
				case err == nil:
					done.Add(1)
				case strings.Contains(err.Error(), "has changed meanwhile"):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil || len(got) != int(done.Load()) {
		t.Errorf("%d edits succeeded, %d are in the file (%v)", done.Load(), len(got), err)
	}
	if done.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d succeeded and %d were refused: nobody met another", done.Load(), refused.Load())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has another mode: %v, %v", info.Mode(), err)
	}
}
