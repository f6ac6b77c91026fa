// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The state directory is known in the workspace however it is named, and before
// it is made.
func TestIsStateDir(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	state, link := filepath.Join(dir, "ws", "state"), filepath.Join(dir, "link")
	if err := os.MkdirAll(state, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("ws", link); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, stateDir, path string
		dir, want            bool
	}{
		{"itself", state, state, true, true},
		{"by a link", filepath.Join(link, "state"), state, true, true},
		{"by a link, before it is made", filepath.Join(link, "later"), filepath.Join(dir, "ws", "later"), true, true},
		{"another", state, state + "s", true, false},
		{"the workspace", state, filepath.Dir(state), true, false},
		{"a file", state, state, false, false},
	} {
		if got := (&app{stateDir: tc.stateDir}).isStateDir()(tc.path, tc.dir); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
