// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// The summaries about hooks and probes.
const (
	summaryHook  = "invalid hook"
	summaryProbe = "invalid probe"
)

const (
	maxHookNames = 1000     // words of a host hook that may be files
	maxHookFile  = 32 << 20 // bytes of a file that a host hook names
)

// checkFolders looks into the folders of enabled agents for what their hooks and
// probes name.
func (t *Tree) checkFolders(ctx context.Context) {
	for _, a := range t.closure.agents {
		if ctx.Err() != nil {
			return
		}
		if a.manifest == nil || a.doc.Invalid {
			continue
		}
		files, done, err := a.repo.sub(a.dir)
		if err != nil {
			continue // which is reported where the folder is copied, or read
		}
		c := folderCheck{tree: t, agent: a, files: files}
		c.hostHook()
		c.programs()
		c.probes()
		if err := done(); err != nil {
			t.report.warn(a.pos(), summaryHook, "", "close the agent's folder: %v", err)
		}
	}
}

// folderCheck looks into the folder of one agent.
type folderCheck struct {
	tree  *Tree
	agent *agent
	files fs.FS
}

func (c folderCheck) block(pos schema.Pos, summary, hint, format string, args ...any) {
	c.agent.blocked = append(c.agent.blocked, c.tree.report.block(pos, plan.CodeInvalid, summary, hint, format, args...))
}

// hostHook notes what is in the files that preinstall names. In a folder that is
// used in place these are only programs and scripts: other files may be what the
// hook writes, and it would be another hook as soon as it has run.
func (c folderCheck) hostHook() {
	commands := c.agent.manifest.Preinstall
	if len(commands) == 0 || c.tree.policy.hostHooks == hooksDeny {
		return
	}
	pos := commands[0].Pos
	names := hookNames(lines(commands))
	if len(names) > maxHookNames {
		c.block(pos, summaryHook, "put it into a script", "preinstall has more than %d words", maxHookNames)
		return
	}
	// A workspace in git is approved in a clone: both have the same hooks.
	fixed := c.agent.repo.dir == ""
	for _, name := range names {
		f, err := c.file(name.path)
		counts := fixed || name.run || f.program
		switch {
		case !counts:
		case err != nil:
			c.block(pos, summaryHook, "", "preinstall names %s, and what is in it cannot be told: %v", name.path, err)
		case f.digest != "":
			if c.agent.hookFiles == nil {
				c.agent.hookFiles = map[string]string{}
			}
			c.agent.hookFiles[name.path] = f.digest
		}
	}
}

// hookFile is what is in a file.
type hookFile struct {
	digest  string // "" = there is no such file, or nothing in it
	program bool   // it can be executed
}

var errTooLarge = errors.New("it is too large")

func (c folderCheck) file(name string) (hookFile, error) {
	info, err := fs.Stat(c.files, name)
	switch {
	case notThere(err):
		return hookFile{}, nil
	case err != nil:
		return hookFile{}, cause(err)
	case !info.Mode().IsRegular() || info.Size() == 0:
		return hookFile{}, nil
	}
	program := info.Mode().Perm()&0o111 != 0
	if info.Size() > maxHookFile {
		return hookFile{program: program}, errTooLarge
	}
	f, err := c.files.Open(name)
	if err != nil {
		return hookFile{program: program}, cause(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxHookFile+1))
	switch {
	case err != nil:
		return hookFile{program: program}, cause(err)
	case len(content) > maxHookFile:
		return hookFile{program: program}, errTooLarge
	}
	sum := sha256.Sum256(content)
	program = program || strings.HasPrefix(string(content[:min(2, len(content))]), "#!")
	return hookFile{"sha256:" + hex.EncodeToString(sum[:]), program}, nil
}

// notThere reports whether there can be no file, rather than that it cannot be
// read.
func notThere(err error) bool {
	return isNotExist(err) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG)
}

// programs warns of scripts that hooks begin with and that cannot be run. An
// earlier command or hook may make what is not there yet.
func (c folderCheck) programs() {
	m := c.agent.manifest
	first := true
	for _, hook := range []struct {
		field    string
		commands []schema.Str
	}{{"preinstall", m.Preinstall}, {"install", m.Install}, {"postinstall", m.Postinstall}, {"update", m.Update}} {
		for _, line := range hook.commands {
			if problem, hint := c.program(line.V, hook.field == "preinstall", first); problem != "" {
				c.tree.report.warn(line.Pos, summaryHook, hint, "%s: %s", hook.field, problem)
			}
			first = false
		}
	}
}

// program says what keeps a command line from running the script that it begins
// with; "" = nothing that is known.
func (c folderCheck) program(line string, host, first bool) (problem, hint string) {
	words, err := split(strings.TrimSpace(line))
	if err != nil || len(words) == 0 {
		return "", ""
	}
	script, byShell := words[0], false
	if slices.Contains([]string{"sh", "bash", "ash", "dash"}, path.Base(script)) && len(words) > 1 {
		script, byShell = words[1], true
	}
	if strings.ContainsAny(script, "$`*?[(){};|&<>=~") || path.IsAbs(script) || strings.HasPrefix(script, "-") || !byShell && !strings.Contains(script, "/") {
		return "", ""
	}
	name := path.Clean(script)
	if !localName(name) {
		if host {
			return fmt.Sprintf("%s is outside of the agent's folder: what is in it is no part of what is approved", script), ""
		}
		return "", ""
	}
	info, err := fs.Stat(c.files, name)
	switch {
	case notThere(err) && first:
		return fmt.Sprintf("there is no %s in the agent's folder", name), ""
	case err != nil:
		return "", ""
	case info.IsDir():
		return fmt.Sprintf("%s is a folder", name), ""
	case !byShell && info.Mode().Perm()&0o111 == 0:
		return name + " is not executable", "make it so (chmod +x), or run it as: sh " + script
	}
	return "", ""
}

// probes reports scripts that are not there. What a hook may still make is only
// warned of.
func (c folderCheck) probes() {
	m := c.agent.manifest
	if m.Health == nil {
		return
	}
	hooked := len(m.Preinstall)+len(m.Install)+len(m.Postinstall) > 0
	for _, p := range []struct {
		field string
		probe *schema.Probe
	}{{"liveness", m.Health.Liveness}, {"readiness", m.Health.Readiness}} {
		if p.probe == nil || !p.probe.Script.IsSet() {
			continue
		}
		name, pos := p.probe.Script.V, p.probe.Script.Pos
		info, err := fs.Stat(c.files, name)
		switch {
		case notThere(err) && hooked:
			c.tree.report.warn(pos, summaryProbe, "", "%s: there is no %s in the agent's folder; a hook may make it", p.field, name)
		case notThere(err):
			c.block(pos, summaryProbe, c.nearest(name), "%s: there is no %s in the agent's folder", p.field, name)
		case err != nil:
			c.block(pos, summaryProbe, "", "%s: %s: %v", p.field, name, cause(err))
		case info.IsDir():
			c.block(pos, summaryProbe, "", "%s: %s is a folder", p.field, name)
		case !info.Mode().IsRegular():
			c.block(pos, summaryProbe, "", "%s: %s is no regular file", p.field, name)
		}
	}
}

// nearest is a hint at a file of the folder with a similar name.
func (c folderCheck) nearest(name string) string {
	entries, err := fs.ReadDir(c.files, ".")
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return nearest(name, names)
}

// lines are the texts of commands.
func lines(commands []schema.Str) []string {
	out := make([]string, len(commands))
	for i, s := range commands {
		out[i] = s.V
	}
	return out
}
