// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"reconcile/control"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/schema"
)

// editing is one change of the workspace file by a command.
type editing struct {
	a     *app
	at    location
	file  string // its name; workspace.yaml when there is none yet
	old   []byte // nil = there is none
	now   []byte // as it will be
	reach reach

	before, after source
}

// newWorkspaceFile is what a workspace file begins with.
const newWorkspaceFile = "apiVersion: reconcile/v1alpha1\nkind: Workspace\n"

// startEditing reads the workspace whose file is to be edited.
func (a *app) startEditing(ctx context.Context, command string, to reach) (*editing, error) {
	at, err := locate(a.workspace)
	if err != nil {
		return nil, err
	}
	if at.git != nil {
		return nil, fmt.Errorf("%s is a git repository, and its workspace file is committed there: edit a clone (reconcile -C DIR %s), then commit and push", at.root(), command)
	}
	e := &editing{a: a, at: at, reach: to}
	if err := e.read(); err != nil {
		return nil, err
	}
	e.before, err = a.loadFiles(ctx, loadOptions{at: at, git: a.newGitSources(to), reach: to})
	return e, err
}

// read finds the workspace file.
func (e *editing) read() error {
	var found []string
	for _, name := range []string{"workspace.yaml", "workspace.json", "workspace.cue"} {
		if _, err := os.Lstat(filepath.Join(e.at.dir, name)); err == nil {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		e.file = "workspace.yaml"
		return nil
	case 1:
		e.file = found[0]
	default:
		return fmt.Errorf("there are two workspace files, %s and %s: remove one of them", found[0], found[1])
	}
	info, err := os.Lstat(e.path())
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file: edit what it stands for", e.path())
	}
	if err == nil {
		e.old, err = os.ReadFile(e.path())
	}
	return err
}

func (e *editing) path() string { return filepath.Join(e.at.dir, e.file) }

// apply works out what the file will be, and whether that is something else. A
// change that makes something wrong which was not is an error that has been
// told; nothing is written yet.
func (e *editing) apply(ctx context.Context, edits ...schema.Edit) (changed bool, err error) {
	if isCUE(e.file) {
		return false, fmt.Errorf("%s is CUE, which is not edited by commands; %s", e.file, byHand(edits))
	}
	src := e.old
	if src == nil {
		src = []byte(newWorkspaceFile)
	}
	e.now, err = schema.EditFile(e.file, src, edits...)
	if no, ok := errors.AsType[*schema.ByHandError](err); ok {
		return false, fmt.Errorf("%w; %s", no, byHand(edits))
	}
	if err != nil && e.before.Fatal { // nobody can read the file as it is
		e.a.printDiagnostics(e.before.Diagnostics)
		return false, e.refuse()
	}
	if err != nil {
		return false, err
	}
	if bytes.Equal(e.now, src) {
		e.now = e.old
		return false, nil
	}
	e.after, err = e.a.loadFiles(ctx, loadOptions{at: e.at, git: e.a.newGitSources(e.reach), reach: e.reach, fileName: e.file, file: e.now})
	if err != nil {
		return false, err
	}
	worse := newProblems(e.before.Diagnostics, e.after.Diagnostics)
	e.a.printDiagnostics(worse)
	if worse.HasErrors() {
		return false, e.refuse()
	}
	return true, nil
}

// refuse says that nothing was done.
func (e *editing) refuse() error {
	if e.old == nil {
		fmt.Fprintf(e.a.std.err, "%s is not written\n", e.file)
	} else {
		fmt.Fprintf(e.a.std.err, "%s is left as it is\n", e.file)
	}
	return exitWith(plan.ExitFault)
}

// byHand says how to make edits oneself.
func byHand(edits []schema.Edit) string {
	var todo []string
	for _, ed := range edits {
		where := strings.Join(ed.Path, ".")
		switch ed.Op {
		case schema.EditSet:
			todo = append(todo, fmt.Sprintf("set %s to %s", where, literal(ed.Value)))
		case schema.EditAppend:
			todo = append(todo, fmt.Sprintf("add %s to %s", literal(ed.Value), where))
		case schema.EditUnset:
			todo = append(todo, "remove "+where)
		case schema.EditDrop:
			todo = append(todo, fmt.Sprintf("remove item %d of %s", ed.Item+1, where))
		}
	}
	return strings.Join(todo, ", ") + " yourself"
}

func literal(n *schema.Node) string {
	if n.Kind == schema.NodeMap {
		return fmt.Sprintf("{%s: %q}", n.Fields[0].Key, n.Fields[0].Value.Text)
	}
	return fmt.Sprintf("%q", n.Text)
}

var aPlace = regexp.MustCompile(`:\d+:\d+`)

// newProblems returns what is wrong after and was not before. An edit moves lines:
// where something is in a file means nothing.
func newProblems(before, after schema.Diagnostics) schema.Diagnostics {
	key := func(d schema.Diagnostic) string {
		return aPlace.ReplaceAllString(fmt.Sprintf("%s\x00%s\x00%s\x00%s", d.Severity, d.Pos.File, d.Summary, d.Detail), "")
	}
	known := map[string]int{}
	for _, d := range before {
		known[key(d)]++
	}
	return slices.DeleteFunc(slices.Clone(after), func(d schema.Diagnostic) bool {
		known[key(d)]--
		return known[key(d)] >= 0
	})
}

// editResult is what a command that edits files says. Field names are part of the
// JSON output.
type editResult struct {
	FormatVersion string   `json:"format_version"`
	Changed       bool     `json:"changed"`
	File          string   `json:"file"` // from the folder of the workspace
	Diff          string   `json:"diff"`
	Text          string   `json:"text"`
	Created       []string `json:"created,omitempty"` // files, by init and new
}

// write replaces the workspace file, unless somebody else has changed it
// meanwhile.
func (e *editing) write() error {
	if e.now == nil || bytes.Equal(e.now, e.old) {
		return nil
	}
	return replaceFile(e.path(), e.old, e.now)
}

// finish prints the difference and says what comes next. done is what has been
// done; acts: something is to be converged.
func (e *editing) finish(ctx context.Context, done string, acts bool) error {
	diff := ""
	if e.now != nil && !bytes.Equal(e.now, e.old) {
		diff = render.FileDiff(e.file, string(e.old), string(e.now))
	}
	if e.a.output == formatJSON {
		err := e.a.printJSON(editResult{FormatVersion: plan.FormatVersion, Changed: diff != "" || acts, File: e.file, Diff: diff, Text: done})
		if err != nil {
			return err
		}
	} else if _, err := fmt.Fprint(e.a.std.out, e.a.plainText(escapeLines(diff))); err != nil {
		return err
	}
	next := ""
	if diff != "" || acts {
		next = "; " + e.a.nudge(ctx, e.at)
	}
	fmt.Fprintln(e.a.std.err, e.a.plainText(escape(done))+next)
	return nil
}

// nudge has a daemon look, which does so before long by itself, and says who acts
// on what was changed.
func (a *app) nudge(ctx context.Context, at location) string {
	c, err := a.dialDaemon(ctx, at.root())
	if c == nil || err != nil || c.Refresh(ctx, control.RefreshRequest{Cause: string(reconcile.CauseCommand)}) != nil {
		return "run `reconcile` to apply"
	}
	return "the daemon acts on it"
}
