// SPDX-License-Identifier: Apache-2.0

package repostest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Started is the time of a repository's first commit, in Unix seconds. Each
// further commit is a minute later.
const Started = 1700000000

// Repo is a bare repository, whose HEAD is main. Its methods may be called
// concurrently.
type Repo struct {
	Dir string // absolute
	URL string // where its server has it; file:// when it is on none

	mu      sync.Mutex
	commits int64
}

// NewRepo makes a bare repository in the folder dir, which must not exist.
func NewRepo(t testing.TB, dir string) *Repo {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	Git(t, "", "init", "-q", "--bare", "--initial-branch=main", dir)
	return &Repo{Dir: dir, URL: "file://" + dir}
}

// Env is the environment of a git process that reads no configuration, never
// asks, and whose commits have a fixed author and date.
func Env(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "GIT_") || strings.HasPrefix(kv, "SSH_")
	})
	env = append(env,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull,
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", fmt.Sprintf("GIT_AUTHOR_DATE=%d +0000", Started),
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org", fmt.Sprintf("GIT_COMMITTER_DATE=%d +0000", Started),
	)
	return append(env, more...)
}

// Git runs the git client in dir, with [Env], and returns what it prints,
// without the last newline. The test fails if git does.
func Git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	return GitWith(t, dir, Env(), "", args...)
}

// GitWith is [Git] with an environment and an input.
func GitWith(t testing.TB, dir string, env []string, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, env, strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return strings.TrimSuffix(string(out), "\n")
}

// Git runs git in the repository.
func (r *Repo) Git(t testing.TB, args ...string) string {
	t.Helper()
	return Git(t, r.Dir, args...)
}

// Commit is what one commit changes. Paths have slashes.
type Commit struct {
	Branch  string // "" = main
	Parent  string // a revision; "" = the tip of the branch, if there is one
	Root    bool   // no parent at all: the branch starts over
	Message string // "" = change N

	Files      map[string]string // path → content; mode 0644
	Scripts    map[string]string // path → content; mode 0755
	Links      map[string]string // path → target
	Submodules map[string]string // path → commit
	Delete     []string          // files or folders
	Clear      bool              // nothing of the parent stays but what is given here
}

// Commit makes a commit and moves the branch to it, forwards or not. It returns
// the commit's hash.
func (r *Repo) Commit(t testing.TB, c Commit) string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	ref := "refs/heads/" + or(c.Branch, "main")
	when := fmt.Sprintf("Ada <ada@example.org> %d +0000", Started+60*r.commits)
	r.commits++

	var in bytes.Buffer
	fmt.Fprintf(&in, "commit %s\nmark :1\nauthor %s\ncommitter %s\n", ref, when, when)
	data(&in, or(c.Message, fmt.Sprintf("change %d", r.commits))+"\n")
	if !c.Root && (c.Parent != "" || r.has(t, ref)) {
		fmt.Fprintf(&in, "from %s^0\n", or(c.Parent, ref))
	}
	if c.Clear {
		in.WriteString("deleteall\n")
	}
	for _, name := range c.Delete {
		fmt.Fprintf(&in, "D %s\n", name)
	}
	entries(&in, "100644", c.Files)
	entries(&in, "100755", c.Scripts)
	entries(&in, "120000", c.Links)
	for _, name := range slices.Sorted(maps.Keys(c.Submodules)) {
		fmt.Fprintf(&in, "M 160000 %s %s\n", c.Submodules[name], name)
	}
	in.WriteString("get-mark :1\n")
	return GitWith(t, r.Dir, Env(), in.String(), "fast-import", "--quiet", "--force", "--date-format=raw")
}

// has reports whether there is a branch. It starts no process: tests make
// hundreds of commits.
func (r *Repo) has(t testing.TB, ref string) bool {
	t.Helper()
	if _, err := os.Stat(filepath.Join(r.Dir, filepath.FromSlash(ref))); err == nil {
		return true
	}
	packed, err := os.ReadFile(filepath.Join(r.Dir, "packed-refs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.Contains(packed, []byte(" "+ref+"\n"))
}

func entries(in *bytes.Buffer, mode string, files map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(in, "M %s inline %s\n", mode, name)
		data(in, files[name])
	}
}

func data(in *bytes.Buffer, content string) {
	fmt.Fprintf(in, "data %d\n%s\n", len(content), content)
}

// Tag makes a tag at a revision, or moves it there; with a message it is an
// annotated tag.
func (r *Repo) Tag(t testing.TB, name, rev, message string) {
	t.Helper()
	args := []string{"tag", "-f"}
	if message != "" {
		args = append(args, "-a", "-m", message)
	}
	r.Git(t, append(args, name, rev)...)
}

// Point moves a whole reference to a revision, forwards or not: a forced push.
func (r *Repo) Point(t testing.TB, ref, rev string) {
	t.Helper()
	r.Git(t, "update-ref", ref, r.Git(t, "rev-parse", rev))
}

// Forget deletes whole references, all when none is given, and every object
// that nothing refers to any more.
func (r *Repo) Forget(t testing.TB, refs ...string) {
	t.Helper()
	if len(refs) == 0 {
		refs = strings.Fields(r.Git(t, "for-each-ref", "--format=%(refname)"))
	}
	for _, ref := range refs {
		r.Git(t, "update-ref", "-d", ref)
	}
	r.Prune(t)
}

// Prune packs the repository and drops objects that nothing refers to.
func (r *Repo) Prune(t testing.TB) {
	t.Helper()
	r.Git(t, "reflog", "expire", "--expire=now", "--all")
	r.Git(t, "gc", "-q", "--prune=now")
}

// Delete removes the repository.
func (r *Repo) Delete(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(r.Dir); err != nil {
		t.Fatal(err)
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
