// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reconcile/repos/repostest"
)

// A pre-receive hook is this test binary, started by git.
func hook() int {
	var before, after, ref string
	if _, err := fmt.Scan(&before, &after, &ref); err != nil {
		fmt.Println("no line on standard input:", err)
		return 1
	}
	if err := readPushed(after); err != nil {
		fmt.Println("hook:", err)
		return 1
	}
	return 0
}

func readPushed(commit string) error {
	dir := os.Getenv("GIT_DIR")
	if _, err := os.Stat(filepath.Join(dir, "objects", commit[:2], commit[2:])); err == nil || os.Getenv("GIT_OBJECT_DIRECTORY") == "" {
		return errors.New("the objects are not kept apart: the test says nothing")
	}
	repo, err := OpenReceived(dir, os.LookupEnv)
	if err != nil {
		return err
	}
	if got, err := repo.Commit(commit); err != nil || got != commit {
		return fmt.Errorf("Commit = %s, %w", got, err)
	}
	files, err := repo.FS(commit)
	if err != nil {
		return err
	}
	n := 0
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		_, err = files.ReadFile(name)
		return err
	})
	if err != nil {
		return err
	}
	content, err := files.ReadFile("a")
	if err != nil {
		return err
	}
	if got, err := repo.Resolve(commit + "~1"); err != nil {
		return fmt.Errorf("Resolve = %s, %w", got, err)
	}
	fmt.Printf("%d files, a is %s, main was %t\n", n, content, func() bool { _, err := repo.Commit("main"); return err == nil }())
	return nil
}

func TestReceivedObjects(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		folder string
		files  int
		config string
	}{
		"loose":       {"srv", 3, "receive.unpackLimit=1000"},
		"packed":      {"srv", 150, "receive.unpackLimit=1"},
		"odd folders": {`a:b "c`, 3, "receive.unpackLimit=1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), test.folder)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			r := repostest.NewRepo(t, filepath.Join(dir, "a.git"))
			key, value, _ := strings.Cut(test.config, "=")
			r.Git(t, "config", key, value)
			r.Commit(t, repostest.Commit{Files: map[string]string{"old": "x"}})
			script := "#!/bin/sh\nREPOS_TEST_HOOK=1 exec '" + self + "'\n"
			if err := os.WriteFile(filepath.Join(r.Dir, "hooks/pre-receive"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			work := filepath.Join(t.TempDir(), "work")
			repostest.Git(t, "", "clone", "-q", r.Dir, work)
			for i := range test.files {
				write(t, work, fmt.Sprintf("sub%d/f", i), fmt.Sprint(i))
			}
			write(t, work, "a", "new")
			repostest.Git(t, work, "add", ".")
			repostest.Git(t, work, "commit", "-q", "-m", "second")
			push := exec.Command("git", "push", "-q", "origin", "HEAD:main")
			push.Dir, push.Env = work, repostest.Env()
			out, err := push.CombinedOutput()
			want := fmt.Sprintf("remote: %d files, a is new, main was true", test.files+2)
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("git push: %v\n%s\nwant %q", err, out, want)
			}
			if got, want := r.Git(t, "rev-parse", "main"), repostest.Git(t, work, "rev-parse", "HEAD"); got != want {
				t.Errorf("main is %s, want %s", got, want)
			}
		})
	}
}

func TestReceivedWithoutQuarantine(t *testing.T) {
	r := repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	commit := r.Commit(t, repostest.Commit{Files: map[string]string{"a": "1"}})
	for name, env := range map[string]map[string]string{
		"post-receive": {},
		"folder gone":  {"GIT_OBJECT_DIRECTORY": "/nowhere", "GIT_ALTERNATE_OBJECT_DIRECTORIES": `/nowhere:"/no:where"`},
	} {
		repo, err := OpenReceived(r.Dir, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		files, err := repo.FS(commit)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if b, err := files.ReadFile("a"); string(b) != "1" {
			t.Errorf("%s: a = %q, %v", name, b, err)
		}
		if _, err := repo.FS(strings.Repeat("1", 40)); err == nil {
			t.Errorf("%s: a commit that is nowhere was read", name)
		}
	}
	broken := func(string) (string, bool) { return `"/open`, true }
	if _, err := OpenReceived(r.Dir, broken); err == nil {
		t.Error("a list that cannot be read was read")
	}
}

func TestResolve(t *testing.T) {
	r := repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	first := r.Commit(t, repostest.Commit{})
	second := r.Commit(t, repostest.Commit{})
	merge := plant(t, r, "merge", 9, second, first)
	r.Tag(t, "v1", first, "one")
	r.Point(t, "refs/remotes/origin/next", first)
	repo, err := Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for rev, want := range map[string]string{
		"": second, "HEAD": second, "main": second, "HEAD~1": first, "HEAD^": first, "main~1": first, "HEAD~0": second,
		"v1": first, "v1^{commit}": first, "origin/next": first, first[:7]: first, second + "^": first,
		"@": second, "@~": first, "refs/heads/main^1": first, "HEAD^0~1^{}": first, merge + "^2": first, merge + "^2~0": first, merge + "~1^": first,
	} {
		if got, err := repo.Resolve(rev); err != nil || got != want {
			t.Errorf("Resolve(%q) = %s, %v, want %s", rev, got, err, want)
		}
	}
	for _, rev := range []string{"nope", "HEAD~2", "v1^{tree}", "-x", "HEAD:a", "~", "^{", "@{", "HEAD@{99}", "a..b", "\x00", "HEAD^{/x", ":/x", "HEAD~999999999999999999999", "HEAD~999999999", "HEAD^2", merge + "^3", "HEAD~x", "HEAD~1x"} {
		if got, err := repo.Resolve(rev); err == nil {
			t.Errorf("Resolve(%q) = %s, want an error", rev, got)
		}
	}
}
