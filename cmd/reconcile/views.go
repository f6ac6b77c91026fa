// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/schema"
)

// The formats that more than one command has.
const (
	formatText  = "text"
	formatJSON  = "json"
	formatLines = "jsonl"
)

// planFormats are the views of a plan.
func planFormats() []string {
	return []string{formatText, "diff", formatJSON, formatLines, "markdown", "github"}
}

// viewFlags say how plans are shown and what their exit code is.
type viewFlags struct {
	ascii    bool
	exitZero bool
}

func (f *viewFlags) addExitZero(fs *pflag.FlagSet) {
	fs.BoolVar(&f.exitZero, "exit-zero-on-changes", false, "--dry-run exits with 0 where it found changes and nothing else")
}

// printReport writes a plan to stdout, in the format that was asked for.
func (a *app) printReport(r render.Report) error {
	if r.Mode == "" {
		r.Mode = a.preview.mode()
	}
	view := render.Text
	switch a.output {
	case formatJSON:
		view = render.JSON
	case formatLines:
		view = render.JSONLines
	case "diff":
		view = render.Diff
	case "markdown":
		view = render.Markdown
	case "github":
		view = render.GitHub
	}
	return view(a.std.out, r, a.renderOptions(a.std.out))
}

// dryRunExit is the end of a dry run whose plan leads to code.
func (a *app) dryRunExit(code int) error {
	if code == plan.ExitChanges && a.view.exitZero {
		return nil
	}
	return exitWith(code)
}

// renderOptions are what the reader of w can take.
func (a *app) renderOptions(w io.Writer) render.Options {
	o := render.Options{Color: a.styleFor(w).on, ASCII: a.ascii(), Verbose: a.verbose, Base: a.base()}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			o.Width = width
		}
	}
	return o
}

// ascii reports whether nothing but ASCII can be read: somebody said so, or
// named a locale that is not UTF-8. Where none is named, as in containers and CI
// jobs, logs are UTF-8 all the same.
func (a *app) ascii() bool {
	if a.view.ascii {
		return true
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v, _ := a.lookupEnv(name); v != "" {
			v = strings.ToLower(v)
			return !strings.Contains(v, "utf-8") && !strings.Contains(v, "utf8")
		}
	}
	return false
}

// plainText leaves nothing but ASCII in a line for people, where that is asked
// for.
func (a *app) plainText(s string) string {
	if !a.ascii() {
		return s
	}
	return render.ASCII(s)
}

// base is the path of the workspace within its repository, for the views that
// name files to a forge.
func (a *app) base() string {
	at, err := locate(a.workspace)
	if err != nil {
		return ""
	}
	if at.git != nil {
		return strings.TrimPrefix(at.git.subdir, ".")
	}
	for dir := at.dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return relative(dir, at.dir)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if cwd, err := os.Getwd(); err == nil {
		return relative(cwd, at.dir)
	}
	return ""
}

// relative is the slash path from one folder to another below it; "" when they
// are the same, or it is not below.
func relative(from, to string) string {
	rel, err := filepath.Rel(from, to)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// printProblems writes diagnostics alone to stdout, in a format for forges.
func (a *app) printProblems(ds schema.Diagnostics) error {
	o := a.renderOptions(a.std.out)
	switch a.output {
	case "sarif":
		return render.SARIF(a.std.out, ds, version, o)
	case "github":
		return render.GitHubDiagnostics(a.std.out, ds, o)
	}
	return fmt.Errorf("no format %q of diagnostics", a.output)
}
