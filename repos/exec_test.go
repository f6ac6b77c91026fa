// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"

	"reconcile/repos/repostest"
)

// dialed returns a conversation by the git program, and an empty repository to
// fetch into.
func dialed(t testing.TB, o StoreOptions, src Source) (g *gitProgram, dir string) {
	t.Helper()
	s := NewStore(o)
	u, err := ParseURL(src.URL)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.dialGit(u, src)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	g, ok := r.(*gitProgram)
	if !ok {
		t.Fatalf("dialGit = %T", r)
	}
	return g, bare(t)
}

func bare(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "1.git")
	if _, err := git.PlainInit(dir, true); err != nil {
		t.Fatal(err)
	}
	return dir
}

// credentials writes a credentials file for a server.
func credentials(t testing.TB, server, user, password string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return text(t, u.String()+"\n")
}

// bringAll lists, fetches the tip of main, and reads a file of it.
func bringAll(t *testing.T, g *gitProgram, dir string, depth int, commit string) {
	t.Helper()
	l, err := g.list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w, err := l.resolve("main")
	if err != nil || w.commit != commit {
		t.Fatalf("main is %+v, %v, want %s", w, err, commit)
	}
	if err := g.fetch(t.Context(), dir, wants{tips: []want{w}, depth: depth}); err != nil {
		t.Fatal(err)
	}
	repo, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := repo.FS(commit)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := files.ReadFile("sub/a"); err != nil || string(b) != "content\n" {
		t.Errorf("sub/a = %q, %v", b, err)
	}
}

func TestGitProgram(t *testing.T) {
	files := map[string]string{"sub/a": "content\n"}
	for name, start := range map[string]func(t *testing.T) (*repostest.Repo, StoreOptions, Source){
		"http": func(t *testing.T) (*repostest.Repo, StoreOptions, Source) {
			srv := repostest.HTTP(t, repostest.HTTPOptions{User: "ada", Password: "pass:w@rd/%"})
			r := srv.Repo(t, "a")
			return r, StoreOptions{Auth: Auth{Credentials: credentials(t, srv.URL, "ada", "pass:w@rd/%")}}, Source{}
		},
		"token": func(t *testing.T) (*repostest.Repo, StoreOptions, Source) {
			r := repostest.HTTP(t, repostest.HTTPOptions{Token: "tok"}).Repo(t, "a")
			secret := func(string) (Secret, error) { return Secret{"": []byte("tok\n")}, nil }
			return r, StoreOptions{Auth: Auth{Secret: secret}}, Source{SecretRef: "x"}
		},
		"ssh key file": func(t *testing.T) (*repostest.Repo, StoreOptions, Source) {
			srv := repostest.SSH(t)
			return srv.Repo(t, "a"), StoreOptions{Auth: Auth{SSHKey: srv.Key, KnownHosts: []string{srv.KnownHosts}}}, Source{}
		},
		"ssh secret": func(t *testing.T) (*repostest.Repo, StoreOptions, Source) {
			srv := repostest.SSH(t)
			secret := func(string) (Secret, error) { return Secret{keySSH: []byte(read(t, srv.Key))}, nil }
			return srv.Repo(t, "a"), StoreOptions{Auth: Auth{Secret: secret, KnownHosts: []string{srv.KnownHosts}}}, Source{SecretRef: "x"}
		},
		"ssh home": func(t *testing.T) (*repostest.Repo, StoreOptions, Source) {
			srv := repostest.SSH(t)
			home := filepath.Join(t.TempDir(), `a 'home' 100%`)
			for from, to := range map[string]string{srv.Key: "id_ed25519", srv.KnownHosts: "known_hosts"} {
				write(t, home, ".ssh/"+to, read(t, from))
			}
			if err := os.Chmod(filepath.Join(home, ".ssh/id_ed25519"), 0o600); err != nil {
				t.Fatal(err)
			}
			env := func(name string) (string, bool) { return home, name == "HOME" }
			return srv.Repo(t, "a"), StoreOptions{Auth: Auth{LookupEnv: env}}, Source{}
		},
		"file": func(t *testing.T) (*repostest.Repo, StoreOptions, Source) {
			return repostest.NewRepo(t, filepath.Join(t.TempDir(), "a b.git")), StoreOptions{}, Source{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			r, o, src := start(t)
			t.Cleanup(func() {
				if left := listFolder(t, temp); len(left) > 0 {
					t.Errorf("left in the folder for temporary files: %v", left)
				}
			})
			first := r.Commit(t, repostest.Commit{Files: files})
			src.URL = strings.ReplaceAll(r.URL, " ", "%20")
			g, dir := dialed(t, o, src)
			bringAll(t, g, dir, 1, first)
			if name == "ssh secret" || name == "ssh home" {
				return // the rest is as with the key file
			}
			second := r.Commit(t, repostest.Commit{})
			third := r.Commit(t, repostest.Commit{})
			bringAll(t, g, dir, 1, third)
			repo, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if repo.has(second) {
				t.Error("more than one commit was fetched")
			}
			full := bare(t)
			bringAll(t, g, full, 0, third)
			if repo, err = Open(full); err != nil {
				t.Fatal(err)
			}
			on, err := newHistory(repo.git).isAncestor(hashOf(first), hashOf(third))
			if err != nil || !on {
				t.Errorf("history: %v, %v", on, err)
			}
		})
	}
}

func TestGitProgramLists(t *testing.T) {
	r := repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	g, _ := dialed(t, StoreOptions{}, Source{URL: r.URL})
	if l, err := g.list(t.Context()); err != nil || len(l.refs) != 0 {
		t.Errorf("an empty repository has %v, %v", l.refs, err)
	}
	commit := r.Commit(t, repostest.Commit{})
	r.Tag(t, "v1", commit, "one")
	r.Tag(t, "light", commit, "")
	tag := r.Git(t, "rev-parse", "v1")
	l, err := g.list(t.Context())
	want := map[string]tip{
		"HEAD": {commit, commit}, "refs/heads/main": {commit, commit},
		"refs/tags/v1": {tag, commit}, "refs/tags/light": {commit, commit},
	}
	if err != nil || fmt.Sprint(l.refs) != fmt.Sprint(want) {
		t.Errorf("list = %v, %v, want %v", l.refs, err, want)
	}
}

func TestGitProgramFailures(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{User: "ada", Password: "geheim1"})
	r := srv.Repo(t, "a")
	r.Commit(t, repostest.Commit{Files: map[string]string{"a": strings.Repeat("x y z", 1000)}})
	good := StoreOptions{Auth: Auth{Credentials: credentials(t, srv.URL, "ada", "geheim1")}}
	bad := StoreOptions{Auth: Auth{Credentials: credentials(t, srv.URL, "ada", "geheim2")}}
	sshd := repostest.SSH(t)
	overSSH := sshd.Repo(t, "a")
	overSSH.Commit(t, repostest.Commit{})
	stranger, _ := sshKey(t)
	changed := text(t, func() string {
		_, public := sshKey(t)
		return strings.Join(append(strings.Fields(read(t, sshd.KnownHosts))[:1], strings.Fields(public)[:2]...), " ") + "\n"
	}())
	ssh := func(key, hosts string) StoreOptions {
		return StoreOptions{Auth: Auth{SSHKey: key, KnownHosts: []string{hosts}}}
	}
	for name, test := range map[string]struct {
		o     StoreOptions
		url   string
		fault repostest.Fault
		kind  error // nil = none
		once  bool
		want  string
	}{
		"no credentials":  {StoreOptions{}, r.URL, repostest.Fault{}, ErrAuth, true, "credentials are wanted (no credentials file is configured)"},
		"bad credentials": {bad, r.URL, repostest.Fault{}, ErrAuth, true, "the credentials were refused"},
		"401":             {good, r.URL, repostest.Fault{Status: http.StatusUnauthorized}, ErrAuth, true, "the credentials were refused"},
		"403":             {good, r.URL, repostest.Fault{Status: http.StatusForbidden}, ErrAuth, true, "access is forbidden"},
		"404":             {good, r.URL, repostest.Fault{Status: http.StatusNotFound}, ErrNotFound, true, "not found"},
		"no repository":   {good, srv.URL + "/b.git", repostest.Fault{}, ErrNotFound, true, "not found"},
		"500":             {good, r.URL, repostest.Fault{Status: http.StatusInternalServerError}, nil, false, "500"},
		"web page":        {good, r.URL, repostest.Fault{HTML: true}, ErrNotFound, true, "not one of a git server"},
		"truncated":       {good, r.URL, repostest.Fault{Truncate: 200}, nil, false, "the answer broke off"},
		"nobody there":    {good, "http://127.0.0.1:1/a.git", repostest.Fault{}, nil, false, "127.0.0.1"},
		"no such host":    {good, "http://nowhere.invalid/a.git", repostest.Fault{}, nil, false, "nowhere.invalid"},
		"file":            {good, "file:///nowhere/a.git", repostest.Fault{}, ErrNotFound, true, "does not appear to be a git repository"},
		"strange key":     {ssh(stranger, sshd.KnownHosts), overSSH.URL, repostest.Fault{}, ErrAuth, true, "none of our keys"},
		"unknown host":    {ssh(sshd.Key, "/dev/null"), overSSH.URL, repostest.Fault{}, ErrAuth, true, "is not known"},
		"changed host":    {ssh(sshd.Key, changed), overSSH.URL, repostest.Fault{}, ErrAuth, true, "has changed"},
		"ssh repository":  {ssh(sshd.Key, sshd.KnownHosts), sshd.URL + "/b.git", repostest.Fault{}, ErrNotFound, true, "does not appear to be a git repository"},
	} {
		t.Run(name, func(t *testing.T) {
			g, dir := dialed(t, test.o, Source{URL: test.url})
			srv.Break(repostest.Fault{})
			l, _ := g.list(t.Context()) // of most there is none
			srv.Break(test.fault)
			var err error
			if test.fault.Truncate > 0 {
				w, _ := l.resolve("main")
				err = g.fetch(t.Context(), dir, wants{tips: []want{w}, depth: 1})
			} else {
				_, err = g.list(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if test.kind != nil && !errors.Is(err, test.kind) || retryable(err) == test.once {
				t.Errorf("%v is %v: %v, worth another try: %v", err, test.kind, errors.Is(err, test.kind), retryable(err))
			}
			if strings.Contains(err.Error(), "geheim") {
				t.Errorf("a secret is in %q", err)
			}
		})
	}
}

// What is fetched that no reference points to is there, or the error says so.
func TestGitProgramFetchesCommits(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	r := srv.Repo(t, "a")
	first := r.Commit(t, repostest.Commit{Files: map[string]string{"a": "1"}})
	r.Commit(t, repostest.Commit{})
	g, dir := dialed(t, StoreOptions{}, Source{URL: r.URL})
	exact := func(commit string) error {
		return g.fetch(t.Context(), dir, wants{tips: []want{{tip: tip{object: commit, commit: commit}}}, depth: 1})
	}
	if err := exact(first); err != nil {
		t.Error(err)
	}
	if err := exact(strings.Repeat("1", 40)); !errors.Is(err, ErrNoRef) {
		t.Errorf("fetch of a commit that is nowhere: %v", err)
	}
}

func TestGitProgramSizeLimit(t *testing.T) {
	r := repostest.HTTP(t, repostest.HTTPOptions{}).Repo(t, "a")
	var noise strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&noise, "%x ", i*i*7919)
	}
	r.Commit(t, repostest.Commit{Files: map[string]string{"a": noise.String()}})
	g, dir := dialed(t, StoreOptions{MaxBytes: 10000}, Source{URL: r.URL})
	l, err := g.list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w, _ := l.resolve("main")
	if err := g.fetch(t.Context(), dir, wants{tips: []want{w}, depth: 1}); !errors.Is(err, ErrTooLarge) || retryable(err) {
		t.Errorf("fetch of a large pack: %v", err)
	}
}

// processes returns those whose command line or environment has text in it, and
// the environment or command line of each.
func processes(t testing.TB, text string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, what := range []string{"cmdline", "environ"} {
		names, err := filepath.Glob("/proc/[0-9]*/" + what)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if b, err := os.ReadFile(name); err == nil && strings.Contains(string(b), text) {
				found[name] = strings.ReplaceAll(string(b), "\x00", " ")
			}
		}
	}
	return found
}

// A server that stalls holds nobody, what was started is ended, and credentials
// are seen by nobody meanwhile.
func TestGitProgramStall(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{User: "ada", Password: "geheim"})
	r := srv.Repo(t, "a")
	r.Commit(t, repostest.Commit{})
	o := StoreOptions{Auth: Auth{Credentials: credentials(t, srv.URL, "ada", "geheim")}}
	g, _ := dialed(t, o, Source{URL: r.URL})
	if _, err := g.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Break(repostest.Fault{Stall: true})
	srv.Requests()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := g.list(ctx)
		done <- err
	}()
	for len(srv.Requests()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if running := processes(t, r.URL); len(running) < 2 {
		t.Errorf("git and its helper are not found: %v", running)
	}
	for name, text := range processes(t, "geheim") {
		t.Errorf("%s shows the password: %s", name, text)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("list = %v", err)
	}
	// Killed, and soon gone.
	for deadline := time.Now().Add(20 * time.Second); len(processes(t, r.URL)) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("left over: %v", processes(t, r.URL))
		}
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := g.list(ctx); !errors.Is(err, context.DeadlineExceeded) || retryable(err) {
		t.Errorf("list = %v", err)
	}
}

// Credentials are for the host that they are for.
func TestGitProgramRedirect(t *testing.T) {
	other := repostest.HTTP(t, repostest.HTTPOptions{User: "ada", Password: "geheim"})
	other.Repo(t, "a").Commit(t, repostest.Commit{})
	srv := repostest.HTTP(t, repostest.HTTPOptions{User: "ada", Password: "geheim"})
	r := srv.Repo(t, "a")
	r.Commit(t, repostest.Commit{})
	o := StoreOptions{Auth: Auth{Credentials: credentials(t, srv.URL, "ada", "geheim")}}
	g, _ := dialed(t, o, Source{URL: r.URL})
	srv.Break(repostest.Fault{Redirect: strings.Replace(other.URL, "127.0.0.1", "localhost", 1)})
	if _, err := g.list(t.Context()); !errors.Is(err, ErrAuth) {
		t.Errorf("list = %v", err)
	}
	got := other.Requests()
	if len(got) == 0 {
		t.Error("the redirect led nowhere")
	}
	for _, req := range got {
		if req.Authorization != "" {
			t.Errorf("the other host got %q", req.Authorization)
		}
	}
}

// Nothing of what the user or the repository has configured is followed.
func TestGitProgramIsAlone(t *testing.T) {
	home := t.TempDir()
	evil := filepath.Join(home, "evil")
	write(t, home, ".gitconfig", "[url \"file:///nowhere/\"]\n\tinsteadOf = file:///\n[credential]\n\thelper = !touch "+evil+"\n")
	t.Setenv("HOME", home)
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, ".gitconfig"))
	t.Setenv("GIT_DIR", "/nowhere")
	t.Setenv("GIT_ASKPASS", "touch "+evil)
	t.Setenv("GIT_SSH_COMMAND", "touch "+evil)
	r := repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	commit := r.Commit(t, repostest.Commit{Files: map[string]string{"sub/a": "content\n"}})
	g, dir := dialed(t, StoreOptions{}, Source{URL: r.URL})
	bringAll(t, g, dir, 1, commit)
	srv := repostest.HTTP(t, repostest.HTTPOptions{Token: "x"})
	g, _ = dialed(t, StoreOptions{}, Source{URL: srv.Repo(t, "a").URL})
	if _, err := g.list(t.Context()); !errors.Is(err, ErrAuth) {
		t.Errorf("list = %v", err)
	}
	if _, err := os.Stat(evil); err == nil {
		t.Error("a configured program was started")
	}
}

func TestGitProgramMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	s := NewStore(StoreOptions{})
	u, err := ParseURL("file:///a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.dialGit(u, Source{}); !errors.Is(err, ErrNoGit) || retryable(err) {
		t.Errorf("dialGit without git: %v", err)
	}
}
