// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestASCII(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		flag bool
		want bool
	}{
		"no locale":           {want: false},
		"UTF-8":               {env: map[string]string{"LANG": "de_DE.UTF-8"}},
		"utf8":                {env: map[string]string{"LANG": "C.utf8"}},
		"C":                   {env: map[string]string{"LANG": "C"}, want: true},
		"Latin 1":             {env: map[string]string{"LC_CTYPE": "de_DE.ISO-8859-1", "LANG": "de_DE.UTF-8"}, want: true},
		"LC_ALL counts first": {env: map[string]string{"LC_ALL": "C.UTF-8", "LC_CTYPE": "C", "LANG": "C"}},
		"an empty one is no":  {env: map[string]string{"LC_ALL": "", "LANG": "POSIX"}, want: true},
		"flag":                {env: map[string]string{"LANG": "C.UTF-8"}, flag: true, want: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := &app{view: viewFlags{ascii: tt.flag}, lookupEnv: func(key string) (string, bool) {
				v, ok := tt.env[key]
				return v, ok
			}}
			if got := a.ascii(); got != tt.want {
				t.Errorf("ascii() = %t, want %t", got, tt.want)
			}
			if got, want := a.plainText("a → b"), map[bool]string{false: "a → b", true: "a -> b"}[tt.want]; got != want {
				t.Errorf("plainText = %q, want %q", got, want)
			}
		})
	}
}

// Files are named from the root of the repository that the workspace is in, or
// from the working directory where there is none.
func TestBase(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"repo/.git", "repo/a/b", "worktree/a", "alone/a"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "worktree", ".git"), []byte("gitdir: ../x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(root, "alone"))
	for workspace, want := range map[string]string{
		filepath.Join(root, "repo"):                    "",
		filepath.Join(root, "repo/a/b"):                "a/b",
		filepath.Join(root, "worktree/a"):              "a",
		filepath.Join(root, "alone/a"):                 "a",
		filepath.Join(root, "alone"):                   "",
		root:                                           "",
		filepath.Join(root, "nowhere"):                 "",
		"https://git.example.org/x.git#main:deploy/ws": "deploy/ws",
		"https://git.example.org/x.git":                "",
	} {
		if got := (&app{workspace: workspace}).base(); got != want {
			t.Errorf("base of %s = %q, want %q", workspace, got, want)
		}
	}
}
