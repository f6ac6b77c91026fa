// SPDX-License-Identifier: Apache-2.0

package repostest

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// client runs the git client and returns its output, errors among it.
func client(env []string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestRepo(t *testing.T) {
	r := NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	first := r.Commit(t, Commit{
		Message: "start", Files: map[string]string{"a": "1\n", "sub/b": "2"},
		Scripts: map[string]string{"run.sh": "#!/bin/sh\n"}, Links: map[string]string{"l": "sub/b"},
	})
	second := r.Commit(t, Commit{Files: map[string]string{"a": "3\n"}, Delete: []string{"sub"}, Submodules: map[string]string{"mod": first}})
	want := "100644 a\n120000 l\n160000 mod\n100755 run.sh"
	if got := r.Git(t, "ls-tree", "-r", "--format=%(objectmode) %(path)", "main"); got != want {
		t.Errorf("files are\n%s\nwant\n%s", got, want)
	}
	if got := r.Git(t, "show", "main:a"); got != "3" {
		t.Errorf("a = %q", got)
	}
	if got, want := r.Git(t, "log", "--format=%H %ct %s", "main"), second+" 1700000060 change 2\n"+first+" 1700000000 start"; got != want {
		t.Errorf("log is\n%s\nwant\n%s", got, want)
	}
	other := r.Commit(t, Commit{Root: true, Files: map[string]string{"x": ""}})
	if got := r.Git(t, "log", "--format=%H", "main"); got != other {
		t.Errorf("log of the branch that started over is\n%s\nwant\n%s", got, other)
	}
	r.Point(t, "refs/heads/main", second)
	r.Tag(t, "v1", first, "one")
	r.Commit(t, Commit{Branch: "next", Parent: first})
	r.Forget(t, "refs/heads/main")
	if out, err := client(Env(), "-C", r.Dir, "cat-file", "-t", second); err == nil {
		t.Errorf("a forgotten commit is still there: %s", out)
	}
	if got, want := r.Git(t, "for-each-ref", "--format=%(refname)"), "refs/heads/next\nrefs/tags/v1"; got != want {
		t.Errorf("references are\n%s\nwant\n%s", got, want)
	}
	r.Forget(t)
	if got := r.Git(t, "for-each-ref"); got != "" {
		t.Errorf("references are left: %s", got)
	}
}

func TestHTTP(t *testing.T) {
	s := HTTP(t, HTTPOptions{User: "ada", Password: "pw", Token: "tok", Push: true})
	r := s.Repo(t, "a")
	commit := r.Commit(t, Commit{Files: map[string]string{"a": strings.Repeat("text ", 1000)}})
	basic := Env("GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic YWRhOnB3")
	bearer := Env("GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Bearer tok")

	if out, err := client(Env(), "ls-remote", r.URL); err == nil {
		t.Errorf("a stranger was let in:\n%s", out)
	}
	s.Requests()
	for _, env := range [][]string{basic, bearer} {
		out, err := client(env, "ls-remote", r.URL)
		if err != nil || !strings.Contains(out, commit+"\trefs/heads/main") {
			t.Errorf("git ls-remote: %v\n%s", err, out)
		}
	}
	if got := s.Requests(); Listings(got) != 2 || got[0].Authorization != "Basic YWRhOnB3" {
		t.Errorf("requests of two listings: %+v", got)
	}
	work := filepath.Join(t.TempDir(), "work")
	if out, err := client(basic, "clone", "-q", r.URL, work); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	if got := s.Requests(); Packs(got) == 0 {
		t.Errorf("requests of a clone: %+v", got)
	}
	Git(t, work, "commit", "-q", "--allow-empty", "-m", "second")
	if out, err := client(basic, "-C", work, "push", "-q", "origin", "HEAD:main"); err != nil {
		t.Fatalf("git push: %v\n%s", err, out)
	}

	for name, f := range map[string]Fault{
		"status": {Status: http.StatusInternalServerError}, "truncate": {Truncate: 100}, "web page": {HTML: true},
	} {
		s.Break(f)
		if out, err := client(basic, "clone", "-q", "--bare", r.URL, filepath.Join(t.TempDir(), "x")); err == nil {
			t.Errorf("%s: a broken server was cloned: %s", name, out)
		}
	}
	s.Break(Fault{Status: http.StatusBadGateway, Times: 1})
	if out, err := client(basic, "ls-remote", r.URL); err == nil {
		t.Errorf("the fault was forgotten: %s", out)
	}
	if out, err := client(basic, "ls-remote", r.URL); err != nil {
		t.Errorf("the fault stayed: %v\n%s", err, out)
	}
	other := HTTP(t, HTTPOptions{})
	s.Break(Fault{Redirect: other.URL})
	_, _ = client(basic, "ls-remote", r.URL)
	if got := other.Requests(); len(got) == 0 {
		t.Error("the redirect led nowhere")
	}
}

func TestHTTPStall(t *testing.T) {
	s := HTTP(t, HTTPOptions{TLS: true})
	r := s.Repo(t, "a")
	r.Commit(t, Commit{})
	env := Env("GIT_SSL_CAINFO=" + s.Certificate)
	if out, err := client(env, "ls-remote", r.URL); err != nil {
		t.Fatalf("git ls-remote over TLS: %v\n%s", err, out)
	}
	s.Break(Fault{Stall: true})
	cmd := exec.Command("git", "ls-remote", r.URL)
	cmd.Env = env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.Requests()
	for len(s.Requests()) == 0 { // it has arrived, and waits
		if t.Context().Err() != nil {
			t.Fatal("no request came")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

func TestSSH(t *testing.T) {
	s := SSH(t)
	r := s.Repo(t, "a")
	commit := r.Commit(t, Commit{Files: map[string]string{"a": "1"}})
	out, err := client(s.Env(), "ls-remote", r.URL)
	if err != nil || !strings.Contains(out, commit+"\trefs/heads/main") {
		t.Fatalf("git ls-remote: %v\n%s", err, out)
	}
	if n := s.Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	s.SetEnv(t, map[string]string{"HELLO": "a b"})
	ssh := exec.Command("ssh", "-F", "/dev/null", "-i", s.Key, "-o", "UserKnownHostsFile="+s.KnownHosts, "-p", s.Addr[strings.LastIndex(s.Addr, ":")+1:], s.User+"@127.0.0.1", "echo $HELLO; command -v git")
	if out, err := ssh.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "a b\n/") {
		t.Errorf("ssh: %v\n%s", err, out)
	}
	strange := filepath.Join(t.TempDir(), "id")
	NewKey(t, strange)
	env := append(s.Env(), "GIT_SSH_COMMAND=ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -i "+strange+" -o UserKnownHostsFile="+s.KnownHosts)
	if out, err := client(env, "ls-remote", r.URL); err == nil {
		t.Errorf("a strange key was let in: %s", out)
	}
	work := filepath.Join(t.TempDir(), "work")
	if out, err := client(s.Env(), "clone", "-q", r.URL, work); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	Git(t, work, "commit", "-q", "--allow-empty", "-m", "second")
	if out, err := client(s.Env(), "-C", work, "push", "-q"); err != nil {
		t.Errorf("git push: %v\n%s", err, out)
	}
	s.Stall(true)
	cmd := exec.Command("git", "ls-remote", r.URL)
	cmd.Env = s.Env()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
