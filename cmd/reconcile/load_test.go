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

// The socket in use gives power over the host, wherever it lies.
func TestSocketIsNeverMounted(t *testing.T) {
	ws, sockets := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{
		"workspace.yaml":         "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec: {enable: [a], policy: {mounts: any}}\n",
		"agents/a/manifest.yaml": "container: localhost/a\nvolumes: {" + sockets + ": /host}\n",
		"policy.yaml":            "mounts: any\n",
	} {
		file := filepath.Join(ws, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"validate", ws, "--policy", filepath.Join(ws, "policy.yaml"), "--state-dir", filepath.Join(t.TempDir(), "state")}
	for _, test := range []struct {
		socket string
		want   int
	}{
		{filepath.Join(t.TempDir(), "podman.sock"), plan.ExitDone},
		{filepath.Join(sockets, "podman.sock"), plan.ExitFault},
	} {
		var out, said bytes.Buffer
		code := run(t.Context(), append(args, "--podman", "unix://"+test.socket), stdio{strings.NewReader(""), &out, &said})
		refused := strings.Contains(said.String(), "would give away what must never be mounted")
		if code != test.want || refused != (test.want == plan.ExitFault) {
			t.Errorf("socket %s: exit code %d, said %q", test.socket, code, said.String())
		}
	}
}
