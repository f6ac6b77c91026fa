// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TaskAgents are offered to who makes requests, and their executions to who reads
// what they wrote. To who enters a container they are not: they have none that stays.
func TestCompletionOfTaskAgents(t *testing.T) {
	dir := t.TempDir()
	const kept = "state/workspaces/acme/data/executions/default/words/"
	for name, text := range map[string]string{
		"ws/workspace.yaml":                      "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec: {enable: [web]}\n",
		"ws/agents/web/manifest.yaml":            "container: localhost/x\n",
		"ws/words.yaml":                          "apiVersion: clrk.apoxy.dev/v1alpha1\nkind: TaskAgent\nmetadata: {name: words}\nspec: {workerPoolRef: default, template: {spec: {image: localhost/x}}}\n",
		kept + "aa00000000000000/execution.json": `{"key":"aa00000000000000","id":"one"}`,
		kept + "bb00000000000000/execution.json": `{"key":"bb00000000000000","id":"two"}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RECONCILE_STATE_DIR", filepath.Join(dir, "state"))
	t.Setenv("RECONCILE_WORKSPACE", filepath.Join(dir, "ws"))
	for _, tt := range []struct{ args, want string }{
		{"invoke ", "words"},
		{"invoke w", "words"},
		{"logs ", "web words"},
		{"stop ", "web words"},
		{"exec ", "web"},
		{"exec w", "web"},
		{"shell ", "web"},
		{"shell agent ", "web"},
		{"cli ", "web"},
		{"logs words --execution ", "one two"},
		{"logs words --execution t", "two"},
		{"logs web --execution ", ""},
		{"logs --execution ", ""},
	} {
		got, files := complete(t, strings.Split(tt.args, " ")...)
		if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" || files {
			t.Errorf("%s: files %v (-want +got)\n%s", tt.args, files, diff)
		}
	}
}
