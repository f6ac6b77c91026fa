// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconcile/reconcile/plan"
)

// A name that is no name leads to no folder: it once led out of the state
// directory.
func TestDestroyFollowsNoName(t *testing.T) {
	ws, outside := t.TempDir(), t.TempDir()
	state := filepath.Join(outside, "state")
	work := filepath.Join(outside, "other", "data", "agents", "a")
	for _, dir := range []string{work, filepath.Join(state, "workspaces")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: ../../other}\n"
	if err := os.WriteFile(filepath.Join(ws, "workspace.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"destroy", "--yes", "--data"}, {"status"}, {"logs", "a"}} {
		var out, said bytes.Buffer
		code := run(t.Context(), append(args, "-C", ws, "--state-dir", state), stdio{strings.NewReader(""), &out, &said})
		if code != plan.ExitFault || !strings.Contains(said.String(), "error: the workspace has no name that can be used") {
			t.Errorf("%v: exit code %d, said %q", args, code, said.String())
		}
	}
	if _, err := os.Stat(work); err != nil {
		t.Error(err)
	}
}
