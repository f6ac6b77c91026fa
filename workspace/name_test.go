// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The name is the folder's where the workspace file says none, and a guess that may
// be wrong where that cannot be read.
func TestName(t *testing.T) {
	const head = "apiVersion: reconcile/v1alpha1\nkind: Workspace\n"
	type verdict struct {
		Name             string
		Guessed, Unknown bool
	}
	tests := []struct {
		name, file, text string
		want             verdict
	}{
		{"no file", "", "", verdict{"folder", true, false}},
		{"a file that says it", "workspace.yaml", head + "metadata: {name: acme}\n", verdict{"acme", false, false}},
		{"a file that says none", "workspace.yaml", head, verdict{"folder", true, false}},
		{"metadata without it", "workspace.yaml", head + "metadata: {}\n", verdict{"folder", true, true}},
		{"CUE that says none", "workspace.cue", "ws: {apiVersion: \"reconcile/v1alpha1\", kind: \"Workspace\"}\n", verdict{"folder", true, false}},
		{"a mistake in a file that says it", "workspace.yaml", head + "metadata: {name: acme}\nspec: {nothing: 1}\n", verdict{"acme", false, false}},
		{"a mistake in a file that says none", "workspace.yaml", head + "metadta: {name: acme}\n", verdict{"folder", true, true}},
		{"nothing that can be read", "workspace.yaml", "metadata: {name: [\n", verdict{"folder", true, true}},
		{"nothing in it", "workspace.yaml", "", verdict{"folder", true, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "folder")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if tt.file != "" {
				if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			tree, _, err := Load(t.Context(), Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			r := tree.Resolve()
			if diff := cmp.Diff(tt.want, verdict{r.Desired.Workspace, r.NameGuessed, r.NameUnknown}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
