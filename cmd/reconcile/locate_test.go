// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
)

func TestLocate(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(dir, "acme.git")
	_, err = git.PlainInitWithOptions(bare, &git.PlainInitOptions{
		Bare: true, InitOptions: git.InitOptions{DefaultBranch: plumbing.NewBranchReferenceName("trunk")},
	})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "odd#name")
	link := filepath.Join(dir, "link.git")
	for _, err := range []error{os.Mkdir(folder, 0o700), os.Symlink(bare, link)} {
		if err != nil {
			t.Fatal(err)
		}
	}

	for text, want := range map[string]string{
		"https://example.org/org/acme.git":              "https://example.org/org/acme.git",
		"https://Example.org/org/acme.git/#main":        "https://example.org/org/acme.git#main",
		"https://example.org/acme.git#main:teams/a":     "https://example.org/acme.git#main:teams/a",
		"https://example.org/acme.git#:teams/a/":        "https://example.org/acme.git#:teams/a",
		"https://example.org/acme.git#main:.":           "https://example.org/acme.git#main",
		"git@example.org:org/acme.git#v1":               "git@example.org:org/acme.git#v1",
		"ssh://git@example.org:2222/acme.git#refs/tags": "ssh://git@example.org:2222/acme.git#refs/tags",
		bare:                        "file://" + bare + "#trunk",
		link:                        "file://" + bare + "#trunk",
		bare + "#other":             "file://" + bare + "#other",
		bare + "#:sub":              "file://" + bare + "#trunk:sub",
		"file://" + bare:            "file://" + bare + "#trunk",
		"file://" + bare + "#trunk": "file://" + bare + "#trunk",
		folder:                      folder,
	} {
		got, err := locate(text)
		if err != nil || got.root() != want {
			t.Errorf("locate(%q) = %q, %v; want %q", text, got.root(), err, want)
		}
	}

	for text, want := range map[string]string{
		"https://user:hunter2@example.org/acme.git": "credentials",
		"https://example.org/acme.git#main:../up":   "not inside of the repository",
		"https://example.org/acme.git#main:/abs":    "not inside of the repository",
		"https://example.org/acme.git#-x":           "no name of a branch",
		"https://example.org/acme.git#a b":          "no name of a branch",
		"ext::sh -c true":                           "no such file",
		filepath.Join(dir, "none"):                  "no such file",
	} {
		_, err := locate(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("locate(%q): %v; want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("locate(%q) shows the password: %v", text, err)
		}
	}
}

func TestGitWorkspaceName(t *testing.T) {
	for text, want := range map[string]string{
		"https://example.org/org/acme.git":       "acme",
		"https://example.org/org/acme":           "acme",
		"git@example.org:acme.git":               "acme",
		"https://example.org/org/acme.git#x:a/b": "b",
	} {
		g, err := parseGitWorkspace(text)
		if err != nil || g.name() != want {
			t.Errorf("%s is called %q, %v; want %q", text, g.name(), err, want)
		}
	}
}
