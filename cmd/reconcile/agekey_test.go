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

// ageWorkspace is a workspace that mounts a folder, with the key in it, and the
// arguments that validate it.
func ageWorkspace(t *testing.T) (key string, args []string) {
	t.Helper()
	ws, keys := t.TempDir(), t.TempDir()
	key = filepath.Join(keys, "age.key")
	for name, content := range map[string]string{
		filepath.Join(ws, "workspace.yaml"):         "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec: {enable: [a], policy: {mounts: any}}\n",
		filepath.Join(ws, "agents/a/manifest.yaml"): "container: localhost/a\nvolumes: {" + keys + ": /host}\n",
		filepath.Join(ws, "policy.yaml"):            "mounts: any\n",
		key:                                         "# a key\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key, []string{"validate", ws, "--policy", filepath.Join(ws, "policy.yaml"), "--state-dir", filepath.Join(t.TempDir(), "state")}
}

// Whoever has the key can open every secret, so no container gets it.
func TestAgeKeyIsNeverMounted(t *testing.T) {
	key, args := ageWorkspace(t)
	for name, set := range map[string]func(t *testing.T) []string{
		"nobody's":     func(*testing.T) []string { return nil },
		"a flag":       func(*testing.T) []string { return []string{"--age-key", key} },
		"ours":         func(t *testing.T) []string { t.Setenv("RECONCILE_AGE_KEY", key); return nil },
		"that of sops": func(t *testing.T) []string { t.Setenv("SOPS_AGE_KEY_FILE", key); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			var out, said bytes.Buffer
			code := run(t.Context(), append(args[:len(args):len(args)], set(t)...), stdio{strings.NewReader(""), &out, &said})
			want := plan.ExitFault
			if name == "nobody's" {
				want = plan.ExitDone
			}
			refused := strings.Contains(said.String(), "would give away what must never be mounted")
			if code != want || refused != (want == plan.ExitFault) {
				t.Errorf("exit code %d, said %q", code, said.String())
			}
		})
	}
}

func TestAgeKeyReadableByOthers(t *testing.T) {
	_, args := ageWorkspace(t)
	key := filepath.Join(t.TempDir(), "age.key")
	if err := os.WriteFile(key, []byte("# a key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: true, 0o604: true} {
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		var out, said bytes.Buffer
		code := run(t.Context(), append(args[:len(args):len(args)], "--age-key", key), stdio{strings.NewReader(""), &out, &said})
		warned := strings.Contains(said.String(), key+":1:1: warning: the key of secrets can be read by others") && strings.Contains(said.String(), "hint: chmod 600 "+key)
		if code != plan.ExitDone || warned != want {
			t.Errorf("mode %04o: exit code %d, said %q", mode, code, said.String())
		}
	}
}
