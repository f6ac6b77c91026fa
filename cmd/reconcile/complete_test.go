// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// Whoever asks for help gets what to type, of every command that takes something.
func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(c *cobra.Command)
	seen := 0
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.Hidden || !strings.Contains(c.Use, " ") {
			return
		}
		seen++
		if !strings.Contains(c.Example, c.CommandPath()+" ") && c.HasParent() {
			t.Errorf("%s has no example", c.CommandPath())
		}
	}
	walk(newRootCommand(&app{}))
	if seen < 25 {
		t.Errorf("only %d commands were looked at", seen)
	}
}

// The table of the README has every command, and no other.
func TestReadmeHasEveryCommand(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Commands\n")
	section, _, _ = strings.Cut(section, "\n## ")
	got := map[string]bool{}
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| `reconcile") {
			continue
		}
		parent := ""
		for i, quoted := range strings.Split(strings.Split(line, "|")[1], "`") {
			words := strings.Fields(strings.TrimPrefix(quoted, "reconcile"))
			if i%2 == 0 || len(words) == 0 || strings.ContainsAny(words[0], "[-") && words[0] != "serve-push" {
				continue
			}
			if words[0] == "client" {
				parent, words = "client ", words[1:]
			}
			if words[0] == "list" {
				words[0] = "list tools"
			}
			got[parent+words[0]] = true
		}
	}
	want := map[string]bool{"completion": true} // which comes with the first use
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Runnable() && !sub.HasSubCommands() && !sub.Hidden {
				want[strings.TrimPrefix(sub.CommandPath(), "reconcile ")] = true
			}
			walk(sub)
		}
	}
	walk(newRootCommand(&app{}))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table of commands in README.md (-want +has)\n%s", diff)
	}
}

// complete returns what the shell is offered, and whether files are too.
func complete(t *testing.T, args ...string) (words []string, files bool) {
	t.Helper()
	var out, said bytes.Buffer
	if code := run(t.Context(), append([]string{"__complete"}, args...), stdio{strings.NewReader(""), &out, &said}); code != 0 {
		t.Fatalf("%q: exit code %d: %s", args, code, &said)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1] == ":0"
}

func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"workspace.yaml":              "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec: {enable: [web, web as web2], vars: {LOG: x}}\n",
		"agents/web/manifest.yaml":    "container: localhost/x\nenable: [worker]\n",
		"agents/worker/manifest.yaml": "container: localhost/x\n",
		"agents/idle/manifest.yaml":   "container: localhost/x\n",
		"broken/workspace.yaml":       "{{{",
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
	all := []string{"web", "web2", "worker"}
	for name, c := range map[string]struct {
		args  []string
		want  []string
		files bool
	}{
		"stop":            {[]string{"stop", ""}, all, false},
		"the second":      {[]string{"stop", "web", ""}, []string{"web2", "worker"}, false},
		"behind agent":    {[]string{"stop", "agent", ""}, all, false},
		"logs":            {[]string{"logs", "-f", ""}, all, false},
		"no second":       {[]string{"logs", "web", ""}, nil, true},
		"begun":           {[]string{"disable", "wo"}, []string{"worker"}, false},
		"client":          {[]string{"client", "tool", ""}, all, false},
		"exec":            {[]string{"exec", ""}, all, false},
		"enable":          {[]string{"enable", ""}, []string{"idle", "web", "worker"}, false},
		"var":             {[]string{"var", ""}, []string{"LOG"}, false},
		"broken":          {[]string{"stop", "-C", filepath.Join(dir, "broken"), ""}, nil, false},
		"no such folder":  {[]string{"stop", "-C", filepath.Join(dir, "none"), ""}, nil, false},
		"by RECONCILE_…":  {[]string{"cli", ""}, all, false},
		"what cli is for": {[]string{"cli", "web", ""}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("RECONCILE_WORKSPACE", dir)
			got, files := complete(t, c.args...)
			for i, word := range got {
				got[i], _, _ = strings.Cut(word, "\t")
			}
			if diff := cmp.Diff(c.want, got, cmp.Transformer("set", func(s []string) string { return strings.Join(s, " ") })); diff != "" || files != c.files {
				t.Errorf("%q: files %v (-want +got)\n%s", c.args, files, diff)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("completion wrote something")
	}
}

// The word agent may stand before a name, unless it is one itself.
func TestWordAgent(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"agent web", "web"},
		{"agent", "agent"},
		{"agent agent", "agent"},
		{"web agent", "web agent"},
		{`agent {"q":1}`, `agent {"q":1}`},
		{"agent -", "agent -"},
	} {
		if got := strings.Join(withoutWord(strings.Fields(c.in)), " "); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}
