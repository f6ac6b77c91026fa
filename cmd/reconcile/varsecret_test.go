// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSecretAtTerminal: what is typed does not show, and the terminal is as it
// was, however that ends.
func TestSecretAtTerminal(t *testing.T) {
	for _, tt := range []struct {
		name, keys string
		signal     syscall.Signal
		code       int
		want       string // of the secret's file; "" = there is none
	}{
		{name: "typed", keys: "hunter2x\x7f\r", want: "hunter2\n"},
		{name: "ctrl-c", keys: "hunter2\x03", code: 1},
		{name: "ctrl-d", keys: "\x04", code: 1},
		{name: "nothing", keys: "\r", code: 1},
		{name: "terminated", signal: syscall.SIGTERM, keys: "hunter2\r", code: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, secrets := t.TempDir(), t.TempDir()
			file := filepath.Join(dir, "workspace.yaml")
			const content = "kind: Workspace\nmetadata: {name: typed}\nspec: {}\n"
			if err := os.WriteFile(file, []byte("apiVersion: reconcile/v1alpha1\n"+content), 0o644); err != nil {
				t.Fatal(err)
			}
			env := append(os.Environ(), "CONTAINER_HOST=unix:///nowhere.sock", "RECONCILE_STATE_DIR="+t.TempDir(), "RECONCILE_SECRETS_DIR="+secrets, "NO_COLOR=1")
			p := openPTY(t)
			before := p.state(t)
			cmd := p.sit(t, env, "-C", dir, "var", "TOKEN", "--secret")
			p.await(t, `Value of TOKEN \(it does not show\): `)
			if tt.signal != 0 {
				if err := cmd.Process.Signal(tt.signal); err != nil {
					t.Fatal(err)
				}
				for deadline := time.Now().Add(patience); p.state(t) != before; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatal("the terminal stays raw")
					}
				}
			}
			p.press(t, tt.keys)
			if code := ends(t, cmd); code != tt.code {
				t.Errorf("exit code %d, want %d:\n%s", code, tt.code, p.screen())
			}
			if p.state(t) != before {
				t.Error("the terminal is not as it was")
			}
			if tt.signal == 0 && strings.Contains(p.screen(), "hunter") {
				t.Errorf("the value shows:\n%s", p.screen())
			}
			got, _ := os.ReadFile(filepath.Join(secrets, "typed-token"))
			if string(got) != tt.want {
				t.Errorf("the secret is %q, want %q", got, tt.want)
			}
			after, err := os.ReadFile(file)
			if err != nil || strings.Contains(string(after), "typed-token") != (tt.want != "") {
				t.Errorf("the file is %q, %v", after, err)
			}
		})
	}
}
