// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/podman"
	"reconcile/schema"
	"reconcile/workspace"
)

// emptyImage is the image of the first agent where no other is given: nothing is
// in it, so that no registry is needed.
const emptyImage = "localhost/reconcile/empty:1"

func newInitCommand(a *app) *cobra.Command {
	var image string
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a small workspace that runs",
		Long: `Writes a small workspace with comments: workspace.yaml and one agent, hello, which
serves MCP. Files that are there stay, and where there is a workspace file nothing
is done.

Without --image, hello runs in an image with nothing in it, ` + emptyImage + `,
which init gives to Podman if that has none of the name; no registry is needed.`,
		Example: `  reconcile init acme && cd acme && reconcile`,
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			dir := a.workspace
			if len(args) > 0 && cmd.Flags().Changed("workspace") {
				return errors.New("the workspace is given twice: as an argument and by -C")
			}
			if len(args) > 0 {
				dir = args[0]
			}
			return a.initWorkspace(cmd.Context(), dir, image)
		},
	}
	cmd.Flags().StringVar(&image, "image", "", "`image` of the first agent")
	return cmd
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// nameFor is a name of a workspace, made of that of its folder.
func nameFor(dir string) string {
	name := strings.Trim(notInName.ReplaceAllString(strings.ToLower(filepath.Base(dir)), "-"), "-")
	if name = strings.Trim(name[:min(len(name), 63)], "-"); !schema.IsName(name) {
		return "workspace"
	}
	return name
}

func workspaceText(name string) string {
	return fmt.Sprintf(`# What should run on this host. reconcile --dry-run says what would change,
# reconcile makes it so, reconcile watch keeps it so.
apiVersion: reconcile/v1alpha1
kind: Workspace
metadata: {name: %s}
spec:
  enable:
    - hello        # agents/hello; what an agent enables comes along with it
  vars:
    GREETING: hello from %[1]s
    # A secret of this host: reconcile var TOKEN --secret
    # TOKEN: {secret: %[1]s-token}
`, name)
}

func helloText(image string, own bool) string {
	from := ""
	if own {
		from = "# Nothing is in this image; what runs comes with reconcile. Elsewhere it is made by\n# podman build -t " + emptyImage + " -f images/empty.Containerfile images\n"
	}
	return fmt.Sprintf(`# The first agent. It has no command of its own, so that a supervisor runs which
# serves /health, /mcp/status and MCP; reconcile status says at which port.
%scontainer: %s
about: says hello
env:
  GREETING: hello  # a default; that of the workspace goes before it
`, from, schema.YAMLText(image))
}

const emptyText = "# Nothing at all: what runs here comes with reconcile.\nFROM scratch\nLABEL about=\"nothing but what reconcile brings\"\n"

func (a *app) initWorkspace(ctx context.Context, dir, image string) error {
	if address, _, _ := strings.Cut(dir, "#"); isGitAddress(address) || isBare(dir) {
		return fmt.Errorf("%s is a git repository: init a clone, then commit and push", dir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	own := image == ""
	if own {
		image = emptyImage
	}
	if err := workspace.CheckImage(image); err != nil {
		return fmt.Errorf("image %q: %w", image, err)
	}
	hello := filepath.Join(dir, "agents", "hello", "manifest.yaml")
	file := filepath.Join(dir, "workspace.yaml")
	files := map[string]string{hello: helloText(image, own), file: workspaceText(nameFor(dir))}
	order := []string{hello, file} // the workspace file last: it makes the folder a workspace
	if own {
		build := filepath.Join(dir, "images", "empty.Containerfile")
		files[build] = emptyText
		order = append([]string{build}, order...)
	}
	for _, f := range append([]string{file, filepath.Join(dir, "workspace.json"), filepath.Join(dir, "workspace.cue"), filepath.Dir(hello)}, order...) {
		if _, err := os.Lstat(f); err == nil {
			return fmt.Errorf("%s is there already; nothing is written", f)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := writeAll(files, order); err != nil {
		return err
	}
	done := "the workspace " + nameFor(dir) + " is made; run `reconcile` in it to apply"
	if own {
		if err := a.makeEmptyImage(ctx); err != nil {
			done += fmt.Sprintf("; the image %s is yet to be made, by podman build -t %[1]s -f images/empty.Containerfile images (%v)", emptyImage, err)
		}
	}
	return a.created(order, dir, done)
}

func (a *app) makeEmptyImage(ctx context.Context) error {
	rt, err := podman.Open(ctx, podman.Options{URL: a.podman, RunDir: a.runDir(), LookupEnv: a.lookupEnv})
	if err != nil {
		return err
	}
	defer rt.Close() //nolint:errcheck // nothing is left to be done with it
	_, err = rt.MakeEmptyImage(ctx, emptyImage)
	return err
}
