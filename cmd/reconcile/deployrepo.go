// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"reconcile/atomicfile"
)

// deployRepo is a bare repository that deploys what is pushed to it.
type deployRepo struct {
	dir      string // absolute, without symlinks
	settings deploySettings
}

// deploySettings are what the hooks of a bare repository work with, since no
// environment reaches them over ssh. They are in the file settingsFile.
type deploySettings struct {
	FormatVersion string `json:"format_version"`
	Branch        string `json:"branch"`
	// Flags are those that were given, by name; one that may be repeated has
	// several values.
	Flags       map[string][]string `json:"flags"`
	Environment map[string]string   `json:"environment"`
}

const (
	settingsFile    = "reconcile.json"
	settingsVersion = "1"
)

// deployHooks are the hooks, with the argument that each gives to receive.
var deployHooks = []struct{ name, stage string }{{"pre-receive", "pre"}, {"post-receive", "post"}}

// hookMark is how a hook of ours is known again.
const hookMark = "# Written by reconcile serve-push; running that again replaces it.\n"

// openDeployRepo makes sure that there is a bare repository at path, or that
// one can be made, without changing anything yet. made is false where there is
// none.
func openDeployRepo(ctx context.Context, path string) (dir string, made bool, err error) {
	if strings.ContainsAny(path, "#\n") {
		return "", false, fmt.Errorf("%q: the path of a repository that deploys has no # and no line break", path)
	}
	if dir, err = filepath.Abs(path); err != nil {
		return "", false, err
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return dir, false, nil
	case err != nil:
		return "", false, fmt.Errorf("open repository: %w", err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", false, fmt.Errorf("open repository: %w", err)
	}
	if len(entries) == 0 {
		return dir, false, nil
	}
	if !isBare(dir) {
		return "", false, fmt.Errorf("%s is neither empty nor a bare git repository", dir)
	}
	bare, err := runGit(ctx, dir, "rev-parse", "--is-bare-repository")
	if err == nil && bare != "true" {
		err = fmt.Errorf("%s has a work tree; only a bare repository can be pushed to", dir)
	}
	return dir, true, err
}

// setUp makes the repository deploy: its default branch, its configuration, its
// settings and hooks. Doing it twice changes nothing. The hooks come last, so
// that they never run without the rest.
func (r *deployRepo) setUp(ctx context.Context, made bool, program string) error {
	if err := r.checkHooks(ctx, made); err != nil {
		return err
	}
	ref := "refs/heads/" + r.settings.Branch
	if !made {
		if err := os.MkdirAll(r.dir, 0o755); err != nil {
			return fmt.Errorf("make repository: %w", err)
		}
		real, err := filepath.EvalSymlinks(r.dir)
		if err != nil {
			return fmt.Errorf("make repository: %w", err)
		}
		r.dir = real
		if _, err := runGit(ctx, r.dir, "init", "--quiet", "--bare", "--template=", "."); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"symbolic-ref", "HEAD", ref},
		// What is pushed is read by programs of ours, so it has to be sound.
		{"config", "receive.fsckObjects", "true"},
		// A hooksPath of the user or the host would put other hooks in our place.
		{"config", "core.hooksPath", "hooks"},
	} {
		if _, err := runGit(ctx, r.dir, args...); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(r.settings, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(r.dir, settingsFile), append(b, '\n'), atomicfile.Options{Perm: 0o600, Sync: true}); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(r.dir, "hooks"), 0o755); err != nil {
		return fmt.Errorf("make hooks: %w", err)
	}
	for _, h := range deployHooks {
		if err := atomicfile.Write(r.hook(h.name), []byte(hookScript(program, h.stage)), atomicfile.Options{Perm: 0o755, Sync: true}); err != nil {
			return err
		}
	}
	return nil
}

func (r *deployRepo) hook(name string) string { return filepath.Join(r.dir, "hooks", name) }

// checkHooks refuses a repository that has hooks of somebody else's.
func (r *deployRepo) checkHooks(ctx context.Context, made bool) error {
	if !made {
		return nil
	}
	path, err := runGit(ctx, r.dir, "config", "--local", "--default", "hooks", "core.hooksPath")
	if err != nil {
		return err
	}
	if path != "hooks" {
		return fmt.Errorf("%s has its hooks in %s (core.hooksPath); they were left alone, and nothing was set up", r.dir, path)
	}
	for _, h := range deployHooks {
		b, err := os.ReadFile(r.hook(h.name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("read hook: %w", err)
		case !bytes.Contains(b, []byte(hookMark)):
			return fmt.Errorf("%s is there already and is not ours; it was left alone, and nothing was set up", r.hook(h.name))
		}
	}
	return nil
}

// hookScript is the hook that runs this program. Git starts it in the
// repository. When the program is gone the shell fails, and with it the push.
func hookScript(program, stage string) string {
	return "#!/bin/sh\n" + hookMark + "exec " + shellQuote(program) + " receive " + stage + "\n"
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// loadDeploySettings reads the settings of the repository in dir.
func loadDeploySettings(dir string) (deploySettings, error) {
	var s deploySettings
	b, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if err != nil {
		return s, fmt.Errorf("read settings of serve-push: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("read settings of serve-push: %s: %w", settingsFile, err)
	}
	if s.FormatVersion != settingsVersion || s.Branch == "" {
		return s, fmt.Errorf("%s is of another version; run reconcile serve-push again", settingsFile)
	}
	return s, nil
}

// runGit runs the git program in a repository and returns what it prints, without
// the line's end. The environment's repository, if any, is not meant.
func runGit(ctx context.Context, dir string, args ...string) (string, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return "", errors.New("the git program is needed to receive pushes, and was not found")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_TERMINAL_PROMPT=0", "LC_ALL=C")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(errs.String()); text != "" {
			return "", fmt.Errorf("git %s: %s", args[0], text)
		}
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimRight(out.String(), "\n"), nil
}
