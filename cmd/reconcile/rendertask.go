// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/workspace"
)

func newRenderCommand(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "render NAME",
		Short: "Print what a task finds in its container, without running it",
		Long: `Prints task.md of a Task or a CronTask as a run of it would find it, and the list of
its files: the path in the container, mode, size, what it comes from and where that
is written. Credentials and variables are named, and no value of a secret is read.
Neither Podman nor a network is needed; of git contexts it is what is on this host.

With --file it prints that file byte for byte and nothing else. Of a task that
cannot run yet it prints what is known and says what is missing; the exit code is 1.`,
		Example: `  reconcile render task/update-dependencies
  reconcile render update-dependencies --file task.md`,
		Args: oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			if file != "" && cmd.Flags().Changed("output") {
				return errors.New("--file prints the file as it is: leave out -o")
			}
			return a.renderTask(cmd.Context(), args[0], file)
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "only the file at `PATH`, absolute or below the task's workspaceDir")
	return cmd
}

func (a *app) renderTask(ctx context.Context, name, file string) error {
	src, err := a.load(ctx, reachHost)
	if err != nil {
		return err
	}
	id, err := a.findTask(src, name, "`reconcile render %s` prints what its next one finds")
	if err != nil {
		a.printDiagnostics(src.Diagnostics)
		return err
	}
	i := slices.IndexFunc(src.Desired.Resources, func(r plan.Resource) bool { return r.ID == id })
	r := src.Desired.Resources[i]
	if src.Fatal {
		a.printDiagnostics(src.Diagnostics)
	}
	t, err := a.rendered(src, r)
	if err != nil {
		return err
	}
	switch {
	case file != "":
		err = a.printTaskFile(t, file)
	case a.output == formatJSON:
		err = a.printJSON(t)
	default:
		a.printRendered(t)
	}
	if err != nil {
		return err
	}
	for _, why := range r.Blocked {
		fmt.Fprintf(a.std.err, "%s is %s: %s  %s\n", escape(id.String()), plan.RunPending, escape(why.Text), escape(why.Origin))
	}
	if len(r.Blocked) > 0 || src.Fatal {
		return exitWith(plan.ExitFault)
	}
	return nil
}

// renderedTask is what a run of a task finds in its container. Field names are part
// of the JSON output.
type renderedTask struct {
	FormatVersion string        `json:"format_version"`
	ID            plan.ID       `json:"id"`
	Origin        string        `json:"origin"`
	Image         string        `json:"image"`
	Command       []string      `json:"command"` // null: the image's own
	WorkspaceDir  string        `json:"workspace_dir"`
	TaskFile      *string       `json:"task_md"`                   // null: there is none, or not all of it is known
	PartialTask   string        `json:"task_md_partial,omitempty"` // what is known of it, with the gaps named
	Files         []taskFile    `json:"files"`
	Credentials   []taskSecret  `json:"credentials"`
	Env           []taskEnv     `json:"env"`
	Blocked       []plan.Reason `json:"blocked"` // what keeps it from running

	known   bool // what its container is
	unknown []workspace.TaskFile
}

// taskFile is a file, or a folder of which the files are listed.
type taskFile struct {
	Path   string `json:"path"`
	Kind   string `json:"kind"` // file or folder
	Mode   string `json:"mode"`
	Size   int64  `json:"size"` // of a file, in bytes
	Digest string `json:"digest,omitempty"`
	From   string `json:"from"`
	Origin string `json:"origin"`

	open func() ([]byte, error)
}

// taskSecret is a secret as a file.
type taskSecret struct {
	Path   string `json:"path"`
	Mode   string `json:"mode"`
	Secret string `json:"secret"`
	From   string `json:"from"`
	Origin string `json:"origin"`
}

// taskEnv is a variable. With a Secret it has no value here, and with an empty Name
// each key of that is one.
type taskEnv struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Secret string `json:"secret,omitempty"`
	Origin string `json:"origin,omitempty"`
}

// rendered works out what a run of r finds.
func (a *app) rendered(src source, r plan.Resource) (renderedTask, error) {
	t := renderedTask{
		FormatVersion: plan.FormatVersion, ID: r.ID, Origin: r.Origin, Blocked: append([]plan.Reason{}, r.Blocked...),
		Files: []taskFile{}, Credentials: []taskSecret{}, Env: []taskEnv{},
	}
	c := r.Spec.Container
	if c == nil {
		return t, nil
	}
	t.known, t.Image, t.Command = true, c.Image, c.Main.Command
	for _, e := range c.Env {
		if e.Name == "WORKSPACE_DIR" {
			t.WorkspaceDir = e.Value
		}
	}
	origins := src.TaskFiles[r.ID]
	for _, m := range c.Mounts {
		if m.Type != plan.MountFiles {
			continue
		}
		for _, f := range m.Files {
			files, err := a.filesOf(src, path.Join(m.Target, f.Path), f)
			if err != nil {
				return renderedTask{}, err
			}
			t.Files = append(t.Files, files...)
		}
	}
	for _, f := range origins {
		if f.Unknown {
			t.unknown = append(t.unknown, f)
			t.PartialTask += string(f.Partial)
		}
	}
	slices.SortFunc(t.Files, func(a, b taskFile) int { return cmp.Compare(a.Path, b.Path) })
	for i := range t.Files {
		f := &t.Files[i]
		f.From, f.Origin = originOf(f.Path, origins, r.Origin)
		if f.Path == path.Join(t.WorkspaceDir, "task.md") && f.Kind == kindFile {
			b, err := f.open()
			if err != nil {
				return renderedTask{}, err
			}
			text := string(b)
			t.TaskFile = &text
		}
	}
	for _, s := range c.SecretFiles {
		x := taskSecret{Path: s.Target, Mode: octal(s.Mode), Secret: render.SecretText(s.Ref)}
		x.From, x.Origin = originOf(s.Target, origins, r.Origin)
		t.Credentials = append(t.Credentials, x)
	}
	t.Env = envOf(r)
	return t, nil
}

// envOf are the variables of a run, by name. What they are for every task is added.
func envOf(r plan.Resource) []taskEnv {
	name := r.ID.Name
	if r.ID.Kind == plan.CronTask {
		name += "-SLOT"
	}
	out := []taskEnv{{Name: "TASK_NAME", Value: name}}
	for _, e := range r.Spec.Container.Env {
		x := taskEnv{Name: e.Name, Value: e.Value, Origin: r.Places["env."+e.Name]}
		if e.Secret != "" {
			x.Secret = render.SecretText(e.Secret)
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b taskEnv) int { return cmp.Compare(a.Name, b.Name) })
	for _, ref := range r.Spec.Container.EnvFrom {
		out = append(out, taskEnv{Secret: render.SecretText(ref), Origin: r.Places["envFrom."+ref]})
	}
	return out
}

func octal(mode uint32) string { return fmt.Sprintf("%04o", mode) }

// printTaskFile prints one file as it is.
func (a *app) printTaskFile(t renderedTask, file string) error {
	at := path.Clean(file)
	if !path.IsAbs(at) {
		at = path.Join(t.WorkspaceDir, at)
	}
	for _, s := range t.Credentials {
		if s.Path == at {
			return fmt.Errorf("--file: %s is %s, which is not read here", at, s.Secret)
		}
	}
	for _, f := range t.Files {
		switch {
		case f.Path == at && f.Kind == kindFile:
			b, err := f.open()
			if err == nil {
				_, err = a.std.out.Write(b)
			}
			return err
		case f.Path == at || strings.HasPrefix(f.Path, strings.TrimSuffix(at, "/")+"/"):
			return fmt.Errorf("--file: %s is a folder", at)
		}
	}
	for _, f := range t.unknown {
		if f.Path == at || strings.HasPrefix(at, f.Path+"/") {
			return fmt.Errorf("--file: what is at %s is not known yet", at)
		}
	}
	return fmt.Errorf("--file: %s has no file %s", t.ID, at)
}

// printRendered prints a task for people.
func (a *app) printRendered(t renderedTask) {
	w, s := a.std.out, a.styleFor(a.std.out)
	fmt.Fprintln(w, a.plainText(s.bold(escape(t.ID.String()))+origin(s, t.Origin)))
	if !t.known {
		return
	}
	fmt.Fprintf(w, "image      %s\n", escape(t.Image))
	if t.Command != nil {
		fmt.Fprintf(w, "command    %s\n", escape(fmt.Sprintf("%q", t.Command)))
	}
	fmt.Fprintf(w, "workspace  %s\n", escape(t.WorkspaceDir))
	switch {
	case t.TaskFile != nil:
		a.printTaskText("task.md", *t.TaskFile)
	case t.PartialTask != "":
		a.printTaskText("task.md, as far as it is known", t.PartialTask)
	case slices.ContainsFunc(t.unknown, func(f workspace.TaskFile) bool { return f.Path == path.Join(t.WorkspaceDir, "task.md") }):
		fmt.Fprintln(w, "\nWhat is in task.md is not known yet.")
	default:
		fmt.Fprintln(w, "\nThere is no task.md.")
	}
	var rows [][]string
	for _, f := range t.unknown {
		rows = append(rows, []string{escape(f.Path), "-", "unknown", escape(f.From), escape(f.Origin.String())})
	}
	for _, f := range t.Files {
		size := fmt.Sprint(f.Size)
		if f.Kind != kindFile {
			size = f.Kind
		}
		rows = append(rows, []string{escape(f.Path), f.Mode, size, escape(f.From), escape(f.Origin)})
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	a.section("Files", []string{"PATH", "MODE", "SIZE", "FROM", "ORIGIN"}, rows)
	rows = nil
	for _, x := range t.Credentials {
		rows = append(rows, []string{escape(x.Path), x.Mode, escape(x.Secret), escape(x.From), escape(x.Origin)})
	}
	a.section("Credentials", []string{"PATH", "MODE", "SECRET", "FROM", "ORIGIN"}, rows)
	rows = nil
	for _, e := range t.Env {
		value := e.Value
		if e.Secret != "" {
			value = e.Secret
		}
		rows = append(rows, []string{orDash(escape(e.Name)), escape(value), escape(e.Origin)})
	}
	a.section("Environment", []string{"NAME", "VALUE", "ORIGIN"}, rows)
}

// printTaskText prints the lines of a task.md below a heading.
func (a *app) printTaskText(heading, text string) {
	fmt.Fprintf(a.std.out, "\n%s\n", a.styleFor(a.std.out).bold(heading))
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		fmt.Fprintln(a.std.out, strings.TrimRight(a.plainText("  "+escapeLines(line)), " "))
	}
}

// section prints a table below a heading, if there is anything in it.
func (a *app) section(heading string, header []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	s := a.styleFor(a.std.out)
	fmt.Fprintf(a.std.out, "\n%s\n", s.bold(heading))
	table(a.std.out, header, rows, nil)
}
