// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// gitProgram is the remote that the git program makes. It runs without a shell,
// a terminal and anybody's configuration, and only speaks the protocol that the
// URL names.
type gitProgram struct {
	u     URL
	max   int64 // bytes of a pack
	auth  Auth
	gate  gate
	git   string   // absolute path
	env   []string // of each process
	flags []string // of each git, before the command
}

// fetched is below which the program keeps what it fetched, by object: so that
// it can tell the other side what is here.
const fetched = "refs/reconcile/"

// dialGit readies a conversation by the git program.
func (s *Store) dialGit(u URL, src Source) (remote, error) {
	path, err := exec.LookPath("git")
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, &remoteError{u: u, text: ErrNoGit.Error() + ", since its repository says git: exec", kind: ErrNoGit, once: true}
	}
	g := &gitProgram{u: u, max: s.opt.MaxBytes, auth: s.opt.Auth, git: path}
	if err := g.prepare(src); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func (g *gitProgram) close() error { return g.gate.close() }

func (g *gitProgram) list(ctx context.Context) (listing, error) {
	out, err := g.run(ctx, "", nil, "ls-remote", "--", g.u.String())
	if err != nil {
		return listing{}, err
	}
	return parseListing(out), nil
}

// parseListing reads lines of hash, tab and name; name^{} follows the annotated
// tag of that name.
func parseListing(out []byte) listing {
	l := listing{refs: map[string]tip{}}
	for line := range strings.Lines(string(out)) {
		hash, name, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		if !ok || !plumbing.IsHash(hash) {
			continue
		}
		if tag, peeled := strings.CutSuffix(name, "^{}"); peeled {
			l.refs[tag] = tip{object: l.refs[tag].object, commit: hash}
			continue
		}
		l.refs[name] = tip{object: hash, commit: hash}
	}
	return l
}

// fetch asks for objects by their hash, so that a reference that moves meanwhile
// changes nothing.
//
// All of a history comes without the files of older commits, where the server
// knows how to leave them out: only commits are asked for, then the files of the
// tips.
func (g *gitProgram) fetch(ctx context.Context, dir string, w wants) error {
	if len(w.tips) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(dir, wholeFolder), 0o700); err != nil {
		return fmt.Errorf("%s: write mirror: %w", g.u, err)
	}
	var specs []string
	for _, t := range w.tips {
		if spec := "+" + t.object + ":" + fetched + t.object; !slices.Contains(specs, spec) {
			specs = append(specs, spec)
		}
	}
	how := []string{"--filter=tree:0"}
	if w.depth > 0 {
		how = []string{fmt.Sprintf("--depth=%d", w.depth)}
	}
	if err := g.bring(ctx, dir, specs, how...); err != nil {
		return err
	}
	repo, err := Open(dir)
	if err != nil {
		return err
	}
	for _, t := range w.tips {
		if err := g.complete(ctx, repo, t); err != nil {
			return err
		}
	}
	return nil
}

func (g *gitProgram) bring(ctx context.Context, dir string, specs []string, how ...string) error {
	args := []string{
		"-c", "fetch.unpackLimit=1", "fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
		"--recurse-submodules=no", "--update-shallow",
	}
	args = append(append(args, how...), "--stdin", "--", g.u.String())
	_, err := g.run(ctx, dir, strings.NewReader(strings.Join(specs, "\n")+"\n"), args...)
	if err != nil && g.full(dir) {
		return g.tooLarge(fmt.Sprintf("a pack has more than %d bytes", g.max))
	}
	return err
}

// complete brings all files of a commit that is here, those in LFS among them,
// and notes that it is whole.
func (g *gitProgram) complete(ctx context.Context, repo *Repo, t want) error {
	dir := repo.gitDir()
	c, err := repo.git.CommitObject(plumbing.NewHash(t.commit))
	if err != nil {
		return &remoteError{u: g.u, text: fmt.Sprintf("%v: %s is not a commit, or the server did not send it", ErrNoRef, t.commit), kind: ErrNoRef, once: true}
	}
	files, err := inventory(repo, c.TreeHash)
	if err != nil {
		return fmt.Errorf("%s: read files of commit %s: %w", g.u, t.commit, err)
	}
	if files.missing {
		// What is here of older commits is not to be relied on.
		g.flags = append(slices.Clip(g.flags), "-c", "fetch.negotiationAlgorithm=noop")
		if err := g.bring(ctx, dir, []string{c.TreeHash.String()}, "--no-filter"); err != nil {
			return err
		}
		if repo, err = Open(dir); err != nil { // it does not see packs that are new
			return err
		}
		if files, err = inventory(repo, c.TreeHash); err != nil || files.missing {
			return &remoteError{u: g.u, text: "the server did not send all files of commit " + t.commit}
		}
	}
	if files.lfs {
		if err := g.fetchLFS(ctx, dir, t.commit); err != nil {
			return err
		}
	}
	if err := repo.noteWhole(t.commit); err != nil {
		return fmt.Errorf("%s: note what was fetched: %w", g.u, err)
	}
	return nil
}

// full reports whether a pack has got as large as one may be; git dies without a
// word then, and leaves it behind.
func (g *gitProgram) full(dir string) bool {
	entries, _ := os.ReadDir(filepath.Join(dir, "objects", "pack"))
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		info, err := e.Info()
		return err == nil && strings.HasPrefix(e.Name(), "tmp_") && info.Size() >= g.max
	})
}

func (g *gitProgram) tooLarge(text string) error {
	return &remoteError{u: g.u, text: fmt.Sprintf("%v: %s", ErrTooLarge, text), kind: ErrTooLarge, once: true}
}

// maxOutput bounds what is read of a program; the listing of a repository with
// 100,000 branches has 8 MB.
const maxOutput = 64 << 20

// run starts git for the repository dir; "" = none. It and all that it started
// is ended with the context. Its errors are a *[remoteError], or those of the
// context.
func (g *gitProgram) run(ctx context.Context, dir string, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, g.git, append(slices.Clone(g.flags), args...)...)
	cmd.Env = slices.Clone(g.env)
	if cmd.Dir = "/"; dir != "" {
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "GIT_DIR="+dir)
	}
	stdout, stderr := &capped{max: maxOutput}, &capped{max: maxComplaint}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.ExtraFiles = g.gate.files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// Something that left the group may hold the pipes.
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Start()
	if err != nil {
		return nil, &remoteError{u: g.u, text: fmt.Sprintf("%v: %v", ErrNoGit, plain(err.Error())), kind: ErrNoGit, once: true}
	}
	limit(cmd.Process.Pid, g.max)
	err = cmd.Wait()
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, fmt.Errorf("%s: %w", g.u, context.Canceled)
	case ctx.Err() != nil:
		return nil, &remoteError{u: g.u, text: "it took too long", kind: context.DeadlineExceeded, once: true}
	case err != nil:
		return nil, g.failure(stderr.String(), err)
	case stdout.over:
		return nil, g.tooLarge(fmt.Sprintf("the list of its references has more than %d bytes", maxOutput))
	}
	return stdout.Bytes(), nil
}

// capped keeps the beginning of what is written to it.
type capped struct {
	bytes.Buffer
	max  int
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	left := c.max - c.Len()
	if len(p) > left {
		c.over = true
		c.Buffer.Write(p[:left])
		return len(p), nil
	}
	return c.Buffer.Write(p)
}

// inherited are the variables that say how the network is reached, and where
// temporary files go.
var inherited = []string{
	"PATH", "TMPDIR", "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
}

// prepare sets the environment up. Credentials are in none of the processes'
// arguments and environments, see [gate].
func (g *gitProgram) prepare(src Source) error {
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			g.env = append(g.env, name+"="+value)
		}
	}
	// As net/http does, whose transport the other backend uses.
	if file, ok := os.LookupEnv("SSL_CERT_FILE"); ok {
		g.env = append(g.env, "GIT_SSL_CAINFO="+file)
	}
	g.env = append(g.env,
		"HOME=/", "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM="+os.DevNull, "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS="+noAskpass, "SSH_ASKPASS="+noAskpass, "GIT_ALLOW_PROTOCOL="+g.protocols(),
		"GIT_OPTIONAL_LOCKS=0",
	)
	g.flags = []string{
		"-c", "credential.helper=", "-c", "gc.auto=0", "-c", "core.hooksPath=" + os.DevNull,
		"-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60", "-c", "advice.detachedHead=false",
	}
	switch g.u.Scheme {
	case "https", "http":
		return g.prepareHTTP(src)
	case "ssh":
		return g.prepareSSH(src)
	}
	return nil
}

// noAskpass answers nothing to whatever is asked.
const noAskpass = "/bin/false"

func (g *gitProgram) protocols() string {
	if g.u.Scheme == "http" {
		return "http:https" // to which a server may send on
	}
	return g.u.Scheme
}
