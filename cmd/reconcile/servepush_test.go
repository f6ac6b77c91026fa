// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/repos/repostest"
)

// servePush runs the command in this process and returns its exit code and
// what it said.
func servePush(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, said bytes.Buffer
	args = append([]string{"serve-push", "--state-dir", "/state/of/tests"}, args...)
	code = run(t.Context(), args, stdio{strings.NewReader(""), &out, &said})
	return code, out.String(), said.String()
}

// contents returns the files of a folder, with their modes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(name)
		all[strings.TrimPrefix(name, dir+"/")] = info.Mode().String() + "\n" + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestServePushMakesARepository(t *testing.T) {
	t.Setenv("CONTAINER_HOST", "unix:///run/test.sock")
	t.Setenv("RECONCILE_PROFILE", "production")
	dir := filepath.Join(t.TempDir(), "of the team's", "acme.git")
	code, out, said := servePush(t, dir, "--branch", "live", "--var", "A=secret-value", "--var", "B=two words", "--policy", "policy.yaml")
	if code != 0 || said != "" {
		t.Fatalf("exit code %d: %s", code, said)
	}
	for _, want := range []string{
		"acme.git made: what is pushed to its branch live deploys\n", "git push deploy live\n",
		"reconcile watch file://", " --var=A=… --var=B=…",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "secret-value") {
		t.Errorf("it shows the value of a variable:\n%s", out)
	}
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	s, err := loadDeploySettings(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"state-dir": {"/state/of/tests"}, "profile": {"production"}, "policy": {filepath.Join(cwd, "policy.yaml")},
		"var": {"A=secret-value", "B=two words"},
	}
	if diff := cmp.Diff(want, s.Flags); diff != "" || s.Branch != "live" {
		t.Errorf("branch %s; flags (-want +got)\n%s", s.Branch, diff)
	}
	if got := s.Environment["CONTAINER_HOST"]; got != "unix:///run/test.sock" {
		t.Errorf("CONTAINER_HOST is recorded as %q", got)
	}
	for file, mode := range map[string]os.FileMode{settingsFile: 0o600, "hooks/pre-receive": 0o755, "hooks/post-receive": 0o755} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", file, info.Mode(), err, mode)
		}
	}
	if got := repostest.Git(t, dir, "symbolic-ref", "HEAD"); got != "refs/heads/live" {
		t.Errorf("HEAD is %s", got)
	}
	if got := repostest.Git(t, dir, "config", "receive.fsckObjects"); got != "true" {
		t.Errorf("receive.fsckObjects is %s", got)
	}

	before := contents(t, dir)
	if code, out, said := servePush(t, dir, "--branch", "live", "--var", "A=secret-value", "--var", "B=two words", "--policy", "policy.yaml"); code != 0 || !strings.Contains(out, "acme.git set up") {
		t.Fatalf("once more: exit code %d: %s%s", code, out, said)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("doing it twice changes something (-once +twice)\n%s", diff)
	}
}

func TestServePushTakesOverARepository(t *testing.T) {
	repo := repostest.NewRepo(t, filepath.Join(t.TempDir(), "acme.git"))
	commit := repo.Commit(t, repostest.Commit{Files: map[string]string{"a": "b"}})
	hook := filepath.Join(repo.Dir, "hooks", "update")
	if err := os.MkdirAll(filepath.Dir(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	code, out, said := servePush(t, repo.Dir, "-o", "json")
	if code != 0 || said != "" {
		t.Fatalf("exit code %d: %s", code, said)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	delete(doc, "remote")
	want := map[string]any{
		"format_version": "1.0", "path": repo.Dir, "branch": "main", "workspace": "file://" + repo.Dir + "#main",
		"created": false, "flags": []any{"state-dir"},
	}
	if diff := cmp.Diff(want, doc); diff != "" {
		t.Errorf("JSON (-want +got)\n%s", diff)
	}
	if got := repo.Git(t, "rev-parse", "main"); got != commit {
		t.Errorf("main is %s", got)
	}
	if _, err := os.Stat(hook); err != nil {
		t.Error(err)
	}
}

func TestServePushRefuses(t *testing.T) {
	dir := t.TempDir()
	sub := func(name string) string { return filepath.Join(dir, name) }
	repostest.Git(t, "", "init", "-q", sub("work"))
	hooked := repostest.NewRepo(t, sub("hooked.git"))
	if err := os.MkdirAll(sub("hooked.git/hooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sub("hooked.git/hooks/post-receive"), []byte("#!/bin/sh\nexec mail\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	elsewhere := repostest.NewRepo(t, sub("elsewhere.git"))
	elsewhere.Git(t, "config", "core.hooksPath", "/etc/hooks")
	if err := os.MkdirAll(sub("full/of"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sub("file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no path":              {nil, "serve-push needs the path of a repository"},
		"a foreign hook":       {[]string{hooked.Dir}, "hooked.git/hooks/post-receive is there already and is not ours; it was left alone, and nothing was set up"},
		"hooks elsewhere":      {[]string{elsewhere.Dir}, "has its hooks in /etc/hooks (core.hooksPath); they were left alone, and nothing was set up"},
		"a work tree":          {[]string{sub("work")}, "work is neither empty nor a bare git repository"},
		"the .git of one":      {[]string{sub("work/.git")}, "has a work tree; only a bare repository can be pushed to"},
		"a folder":             {[]string{sub("full")}, "full is neither empty nor a bare git repository"},
		"a file":               {[]string{sub("file")}, "open repository: "},
		"a path that splits":   {[]string{sub("a#b.git")}, "the path of a repository that deploys has no # and no line break"},
		"a branch that is not": {[]string{sub("new.git"), "--branch", "a..b"}, `--branch: "a..b" is no name of a branch`},
		"a branch before":      {[]string{sub("new.git"), "--branch", "@{-1}"}, `--branch: "@{-1}" is no name of a branch`},
		"a report to nobody":   {[]string{sub("new.git"), "--report", "github", "--report-token-file", secretFile(t, forgeToken)}, "--report-url names the repository at the forge"},
		"a flag of passes":     {[]string{sub("new.git"), "--allow-mass-delete"}, "unknown flag: --allow-mass-delete"},
	} {
		t.Run(name, func(t *testing.T) {
			before := contents(t, dir)
			code, out, said := servePush(t, c.args...)
			if code != 1 || out != "" || !strings.Contains(said, c.want) {
				t.Errorf("exit code %d, said %q%s, want %q", code, out, said, c.want)
			}
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("it changed something (-before +after)\n%s", diff)
			}
		})
	}
}

// A hook runs whatever the path of the program is.
func TestHookScript(t *testing.T) {
	program := filepath.Join(t.TempDir(), "a 'quoted' $HOME; path")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nprintf '%s|' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	hook := filepath.Join(t.TempDir(), "pre-receive")
	if err := os.WriteFile(hook, []byte(hookScript(program, "pre")), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(hook).CombinedOutput()
	if err != nil || string(out) != "receive|pre|" {
		t.Errorf("%v: %s", err, out)
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(hook).Run(); err == nil {
		t.Error("a hook without its program succeeds")
	}
}

func TestQuoteWord(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "''",
		"/srv/git/acme.git":        "/srv/git/acme.git",
		"file:///a.git#main":       "file:///a.git#main",
		"two words":                "'two words'",
		"it's":                     `'it'\''s'`,
		"$HOME":                    "'$HOME'",
		"ssh://root@host:22/x%20y": "ssh://root@host:22/x%20y",
	} {
		if got := quoteWord(in); got != want {
			t.Errorf("quoteWord(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestReadPushed(t *testing.T) {
	zeros, one := strings.Repeat("0", 40), strings.Repeat("1", 40)
	for name, c := range map[string]struct {
		in   string
		want []pushedRef
		fail bool
	}{
		"nothing":           {"", nil, false},
		"two":               {zeros + " " + one + " refs/heads/main\n" + one + " " + zeros + " refs/heads/old\n", []pushedRef{{zeros, one, "refs/heads/main"}, {one, zeros, "refs/heads/old"}}, false},
		"without the end":   {zeros + " " + one + " refs/heads/main", []pushedRef{{zeros, one, "refs/heads/main"}}, false},
		"something else":    {"hello\n", nil, true},
		"a name with space": {zeros + " " + one + " refs/heads/a b\n", []pushedRef{{zeros, one, "refs/heads/a b"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readPushed(strings.NewReader(c.in))
			if (err != nil) != c.fail || !slices.Equal(got, c.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if !(pushedRef{new: zeros}).gone() || (pushedRef{new: one}).gone() {
		t.Error("gone is wrong")
	}
}

// What is under way goes on when the pusher has gone away, or takes nothing.
func TestPusher(t *testing.T) {
	pipe := func() (r, w *os.File) {
		t.Helper()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	t.Run("there", func(t *testing.T) {
		r, w := pipe()
		p := newPusher(w)
		if n, err := io.WriteString(p, "hello"); n != 5 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		w.Close()
		b := make([]byte, 5)
		if _, err := io.ReadFull(r, b); string(b) != "hello" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	})
	t.Run("gone", func(t *testing.T) {
		r, w := pipe()
		p := newPusher(w)
		r.Close()
		if n, err := io.WriteString(p, "hello"); n != 5 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("asleep", func(t *testing.T) {
		_, w := pipe()
		p := newPusher(w).(*pusher)
		p.wait = 10 * time.Millisecond
		for range 5 {
			if n, err := p.Write(make([]byte, 1<<20)); n != 1<<20 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}
		if !p.gone {
			t.Error("it is still waited for")
		}
	})
	t.Run("a file", func(t *testing.T) {
		f, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := io.WriteString(newPusher(f), "hello"); err != nil {
			t.Error(err)
		}
		if b, _ := os.ReadFile(f.Name()); string(b) != "hello" {
			t.Errorf("%q", b)
		}
	})
}

// What a pusher has in the environment must not count, what git and a shell
// need must stay.
func TestReceiveEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"GIT_DIR": ".", "RECONCILE_STATE_DIR": "/elsewhere", "CONTAINER_HOST": "tcp://nowhere", "SSH_CONNECTION": "a b c d",
		"XDG_RUNTIME_DIR": "/run/user/7",
	} {
		t.Setenv(name, value)
	}
	given := map[string]string{"GIT_DIR": ".", "RECONCILE_STATE_DIR": "/elsewhere", "CONTAINER_HOST": "tcp://nowhere", "SSH_CONNECTION": "a b c d", "XDG_RUNTIME_DIR": "/run/user/7"}
	if err := setEnvironment(given, map[string]string{"CONTAINER_HOST": "unix:///recorded"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"GIT_DIR": "", "RECONCILE_STATE_DIR": "", "CONTAINER_HOST": "unix:///recorded", "SSH_CONNECTION": "a b c d", "XDG_RUNTIME_DIR": "",
	} {
		if got := os.Getenv(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
