// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/atomicfile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
	"reconcile/workspace"
)

type newOptions struct{ repo, name, image string }

func newNewCommand(a *app) *cobra.Command {
	var opt newOptions
	cmd := &cobra.Command{
		Use:   "new [agent] [REPO] NAME IMAGE | [agent] [REPO] NAME --image IMAGE",
		Short: "Write the folder of a new agent",
		Long: `Writes the folder of an agent with a manifest to begin with, in the workspace or
in a repo of it that is a folder. It runs as it is, under the default supervisor,
once it is enabled.`,
		Example: `  reconcile new explorer --image node:20-alpine && reconcile enable explorer`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			if err := opt.take(args); err != nil {
				return err
			}
			return a.newAgent(cmd.Context(), opt)
		},
	}
	cmd.Flags().StringVar(&opt.image, "image", "", "`image` that the agent runs in")
	return cmd
}

func (o *newOptions) take(args []string) error {
	args = afterAgent(args, func(rest []string) bool { return len(rest) > 1 || len(rest) > 0 && o.image != "" })
	if o.image == "" && len(args) > 1 {
		args, o.image = args[:len(args)-1], args[len(args)-1]
	}
	switch {
	case len(args) == 0, o.image == "":
		return errors.New("new needs NAME and IMAGE")
	case len(args) > 2:
		return fmt.Errorf("too many arguments: %q", args[2:])
	}
	o.repo, o.name = "workspace", args[len(args)-1]
	if len(args) == 2 {
		o.repo = args[0]
	}
	if !schema.IsName(o.name) {
		return fmt.Errorf("%q cannot be the name of an agent: use lower-case letters, digits and dashes, at most 63", o.name)
	}
	if err := workspace.CheckImage(o.image); err != nil {
		return fmt.Errorf("image %q: %w", o.image, err)
	}
	return nil
}

// manifestText is a manifest to begin with.
func manifestText(name, image string) string {
	return fmt.Sprintf(`# The agent %s. reconcile schema Manifest describes every field.
container: %s
about: what %[1]s is for
# What it runs, in /code, which is a copy of this folder. Without it a supervisor
# serves the tools of mcp-config.json over MCP, in any image.
# agent: ./serve.sh
# Variables: KEY with a default, or KEY: null for one that the workspace must set.
# env:
#   LOG_LEVEL: info
# Agents that it brings along, and waits for.
# enable: [other]
`, name, schema.YAMLText(image))
}

func (a *app) newAgent(ctx context.Context, opt newOptions) error {
	e, err := a.startEditing(ctx, "new "+opt.name, reachHost)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(e.before.Repos, func(r workspace.RepoPlace) bool { return r.Name == opt.repo })
	switch {
	case at < 0:
		var names []string
		for _, r := range e.before.Repos {
			names = append(names, r.Name)
		}
		return fmt.Errorf("there is no repo %s; there are %s", opt.repo, strings.Join(names, ", "))
	case e.before.Repos[at].Dir == "":
		return fmt.Errorf("the repo %s is no folder of this host: make the agent in a clone of it, then commit and push", opt.repo)
	}
	dir, err := freeFolder(e.before.Repos[at].Dir, opt.name, at == 0)
	if err != nil {
		return err
	}
	content := manifestText(opt.name, opt.image)
	if _, ds := schema.DecodeFile("manifest.yaml", []byte(content), schema.Options{Kind: schema.KindManifest}); ds.HasErrors() {
		a.printDiagnostics(ds)
		fmt.Fprintln(a.std.err, "nothing is written")
		return exitWith(plan.ExitFault)
	}
	file := filepath.Join(dir, "manifest.yaml")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := replaceFile(file, nil, []byte(content)); err != nil {
		return err
	}
	ref := opt.name
	if at > 0 {
		ref = opt.repo + "/" + opt.name
	}
	return a.created([]string{file}, e.at.dir, fmt.Sprintf("the agent %s is made; reconcile enable %s has it run", opt.name, ref))
}

// freeFolder is where a new agent goes in a repo: beside the others.
func freeFolder(repo, name string, own bool) (string, error) {
	below := filepath.Join(repo, "agents")
	for _, dir := range []string{filepath.Join(repo, name), filepath.Join(below, name)} {
		entries, err := os.ReadDir(dir)
		if err == nil && len(entries) == 0 || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return "", fmt.Errorf("%s is there already", dir)
	}
	if info, err := os.Stat(below); own || err == nil && info.IsDir() {
		return filepath.Join(below, name), nil
	}
	return filepath.Join(repo, name), nil
}

// created tells which files were made.
func (a *app) created(files []string, root, done string) error {
	for i, f := range files {
		if rel, err := filepath.Rel(root, f); err == nil && filepath.IsLocal(rel) {
			files[i] = filepath.ToSlash(rel)
		}
	}
	if a.output == formatJSON {
		err := a.printJSON(editResult{FormatVersion: plan.FormatVersion, Changed: true, Created: files, Text: done})
		if err != nil {
			return err
		}
	} else {
		for _, f := range files {
			fmt.Fprintln(a.std.out, escape(f))
		}
	}
	fmt.Fprintln(a.std.err, escape(done))
	return nil
}

// writeAll writes files that are not there yet; of those before one that fails
// none stays.
func writeAll(files map[string]string, order []string) error {
	for i, f := range order {
		err := os.MkdirAll(filepath.Dir(f), 0o755)
		if err == nil {
			err = atomicfile.Write(f, []byte(files[f]), atomicfile.Options{Perm: 0o644, Sync: true})
		}
		if err != nil {
			for _, done := range order[:i] {
				_ = os.Remove(done)
			}
			return err
		}
	}
	return nil
}
