// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/spf13/cobra"

	"reconcile/podman/podmantest"
	"reconcile/schema"
)

// Every example is valid, converges, and has nothing to do then.
func TestExamples(t *testing.T) {
	socket := podmantest.Socket(t)
	exampleImages(t)
	standIns(t)
	taskAgentImages(t)
	t.Setenv("OPENAI_API_KEY", "a key of nobody")
	t.Setenv("POSTGRES_PASSWORD", "a password of nobody")
	exampleSecrets(t, "github-credentials/token", "ssh-credentials/id_rsa", "ai-credentials/anthropic-key")
	var dirs []string
	for _, pattern := range []string{"../../examples/*/workspace.yaml", "../../examples/ploinky/*/workspace.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no examples at %s: %v", pattern, err)
		}
		dirs = append(dirs, found...)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range dirs {
		example := filepath.Dir(file)
		t.Run(filepath.Base(example), func(t *testing.T) {
			work := filepath.Join(t.TempDir(), filepath.Base(example))
			if err := os.CopyFS(work, os.DirFS(example)); err != nil {
				t.Fatal(err)
			}
			bin := filepath.Join(t.TempDir(), "reconcile")
			if err := os.Symlink(self, bin); err != nil {
				t.Fatal(err)
			}
			state := filepath.Join(t.TempDir(), "state")
			run := func(want int, args ...string) string {
				t.Helper()
				cmd := exec.Command(bin, args...)
				cmd.Dir = work
				cmd.Env = append(os.Environ(), "CONTAINER_HOST="+socket, "RECONCILE_STATE_DIR="+state)
				var out, said bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &said
				err := cmd.Run()
				code := 0
				if exit, ok := errors.AsType[*exec.ExitError](err); ok {
					code = exit.ExitCode()
				} else if err != nil {
					t.Fatal(err)
				}
				if code != want {
					t.Fatalf("reconcile %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, &out, &said)
				}
				return out.String()
			}
			t.Cleanup(func() { run(0, "destroy", "--yes", "--volumes", "--data") })
			run(0, "validate")
			run(2, "--dry-run")
			run(0)
			var plan struct{ Changes, Held, Drift []any }
			if err := json.Unmarshal([]byte(run(0, "--dry-run", "-o", "json")), &plan); err != nil {
				t.Fatal(err)
			}
			if len(plan.Changes)+len(plan.Held)+len(plan.Drift) > 0 {
				t.Errorf("the second plan is not empty: %+v", plan)
			}
			if out := run(0); !strings.HasPrefix(out, "0 changes") {
				t.Errorf("the second pass says %q", out)
			}
			run(0, "status")
			run(0, "graph")
			awaitTasks(t, func() string { return run(0, "status", "-o", "json") })
		})
	}
}

// awaitTasks waits until all Tasks that status tells of have run, and well.
func awaitTasks(t *testing.T, status func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var s struct {
			Status []struct{ ID, Phase, Reason string }
		}
		if err := json.Unmarshal([]byte(status()), &s); err != nil {
			t.Fatal(err)
		}
		over := true
		for _, one := range s.Status {
			if !strings.HasPrefix(one.ID, "task/") || one.Phase == "Completed" {
				continue
			}
			if over = false; one.Phase != "Running" || time.Now().After(deadline) {
				t.Fatalf("%s is %s: %s", one.ID, one.Phase, one.Reason)
			}
		}
		if over {
			return
		}
	}
}

// exampleImages makes the images that the examples build with Containerfiles, some of
// them with those.
func exampleImages(t *testing.T) {
	for name, opt := range map[string]podmantest.ImageOptions{
		"quickstart/shell": {Busybox: true, NoTool: true, Changes: []string{`CMD ["/bin/sh"]`}},
		"quickstart/empty": {NoTool: true, Changes: []string{"LABEL about=empty"}},
	} {
		ref := podmantest.Image(t, name, opt)
		if err := images.Tag(podmantest.Conn(t), ref, "1", "localhost/"+name, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat("../../examples/" + strings.Replace(name, "/", "/images/", 1) + ".Containerfile"); err != nil {
			t.Errorf("nothing builds localhost/%s:1: %v", name, err)
		}
	}
	dir := "../../examples/contexts/images"
	for _, name := range []string{"root", "agent"} { // the second from the first
		buildImage(t, "localhost/contexts/"+name+":1", filepath.Join(dir, name+".Containerfile"), dir)
	}
}

// taskAgentImages builds the images of examples/task-agents from those that stand in
// for their bases.
func taskAgentImages(t *testing.T) {
	files, err := filepath.Glob("../../examples/task-agents/*/Dockerfile")
	if err != nil || len(files) == 0 {
		t.Fatalf("no images: %v", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		buildImage(t, "localhost/"+filepath.Base(dir)+":0.1", file, dir)
	}
}

// buildImage builds an image. Podman 4.3.1 now and then kills the runtime of a RUN
// under load, so that is tried again.
func buildImage(t *testing.T, ref, file, dir string) {
	for left := 4; ; left-- {
		cmd := exec.Command("podman", "--remote", "build", "-q", "--layers=false", "-t", ref, "-f", file, dir)
		cmd.Env = append(os.Environ(), "CONTAINER_HOST="+podmantest.Socket(t))
		out, err := cmd.CombinedOutput()
		switch {
		case err == nil:
			return
		case left == 0 || !strings.Contains(string(out), "signal: killed"):
			t.Fatalf("build %s: %v\n%s", ref, err, out)
		}
	}
}

// exampleSecrets makes a secrets directory with the values, each NAME/KEY.
func exampleSecrets(t *testing.T, values ...string) {
	dir := t.TempDir()
	for _, v := range values {
		name := filepath.Join(dir, v)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("a key of nobody"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RECONCILE_SECRETS_DIR", dir)
}

var (
	fence   = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	span    = regexp.MustCompile("`([^`\n]+)`")
	command = regexp.MustCompile(`(?m)(?:^|[^/\w.-])reconcile((?:[ \t]+[^ \t\n|;#)]+)*)`)
)

// What the README and the examples of the program's help show exists: commands,
// flags, and samples that are valid.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	samples, shown := 0, []string{}
	for _, m := range fence.FindAllStringSubmatch(string(readme), -1) {
		switch m[1] {
		case "yaml", "json":
			samples++
			checkSample(t, m[1], m[2])
		case "sh", "console", "":
			shown = append(shown, m[2])
		}
	}
	for _, m := range span.FindAllStringSubmatch(fence.ReplaceAllString(string(readme), ""), -1) {
		shown = append(shown, m[1])
	}
	root := newRootCommand(&app{})
	shown = append(shown, root.Example)
	commands := 0
	for _, text := range shown {
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			commands++
			checkCommand(t, root, strings.Fields(m[1]))
		}
	}
	if samples == 0 || commands == 0 {
		t.Errorf("the README shows %d samples and %d commands", samples, commands)
	}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && !bytes.Contains(readme, []byte(c.Name())) {
			t.Errorf("the README does not mention the command %s", c.Name())
		}
	}
}

// The commands that the documents about Ploinky name exist, and the examples are
// all told of.
func TestPloinkyDocs(t *testing.T) {
	var all []byte
	for _, name := range []string{"../../docs/ploinky.md", "../../examples/ploinky/README.md"} {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, doc...)
	}
	root := newRootCommand(&app{})
	commands := 0
	for _, m := range span.FindAllStringSubmatch(string(all), -1) {
		if c := command.FindStringSubmatch(m[1]); c != nil {
			commands++
			checkCommand(t, root, strings.Fields(c[1]))
		}
	}
	if commands == 0 {
		t.Error("no command is named")
	}
	dirs, err := filepath.Glob("../../examples/ploinky/*/workspace.yaml")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range dirs {
		if name := filepath.Base(filepath.Dir(file)); !bytes.Contains(all, []byte("\n| [`"+name+"`]("+name+") | ")) {
			t.Errorf("examples/ploinky/README.md does not tell of %s", name)
		}
	}
}

// The README of the contexts example tells of every file, with commands that exist.
func TestContextsDocs(t *testing.T) {
	dir := "../../examples/contexts"
	doc, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	root := newRootCommand(&app{})
	commands := 0
	for _, m := range regexp.MustCompile("(?m)(?:`|^\\$ )(reconcile[^`\n]*)").FindAllStringSubmatch(string(doc), -1) {
		commands++
		checkCommand(t, root, strings.Fields(m[1])[1:])
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 || commands == 0 {
		t.Fatalf("%d files and %d commands: %v", len(files), commands, err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name != "workspace.yaml" && !bytes.Contains(doc, []byte("\n| [`"+name+"`]("+name+") | ")) {
			t.Errorf("the README says nothing of %s", name)
		}
	}
}

// The README of the task agents' example tells of every agent, with commands that exist.
func TestTaskAgentsExample(t *testing.T) {
	dir := "../../examples/task-agents"
	doc, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	root := newRootCommand(&app{})
	commands := 0
	for _, m := range regexp.MustCompile("(?m)(?:`|^\\$ )reconcile([^`&\n]*)").FindAllStringSubmatch(string(doc), -1) {
		commands++
		checkCommand(t, root, strings.Fields(m[1]))
	}
	agents, err := filepath.Glob(filepath.Join(dir, "*", "Dockerfile"))
	if err != nil || len(agents) == 0 || commands == 0 {
		t.Fatalf("%d agents and %d commands: %v", len(agents), commands, err)
	}
	for _, file := range agents {
		if name := filepath.Base(filepath.Dir(file)); !bytes.Contains(doc, []byte("\n| [`"+name+"`]("+name+") | ")) {
			t.Errorf("the README says nothing of %s", name)
		}
	}
}

// checkSample decodes a sample of a workspace file, a host's policy, a manifest
// or another document.
func checkSample(t *testing.T, ext, text string) {
	t.Helper()
	lines := strings.SplitAfter(text, "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "//") })
	opt := schema.Options{}
	name := "sample." + ext
	switch {
	case strings.Contains(text, "kind: Workspace"):
		name, opt.Kind = "workspace.yaml", schema.KindWorkspace
	case regexp.MustCompile(`(?m)^(mounts|registries):`).MatchString(text):
		if _, ds := schema.DecodePolicy("policy.yaml", []byte(text)); len(ds) > 0 {
			t.Errorf("the README's policy is not valid: %v\n%s", ds, text)
		}
		return
	case !strings.Contains(text, "apiVersion"):
		name, opt.Kind = "manifest."+ext, schema.KindManifest
	}
	f, ds := schema.DecodeFile(name, []byte(strings.Join(lines, "")), opt)
	if len(f.Documents) == 0 {
		t.Errorf("the README's sample holds no document:\n%s", text)
	}
	for _, d := range ds {
		t.Errorf("the README's sample is not valid: %s\n%s", d, text)
	}
}

// checkCommand looks up a command line's command and flags.
func checkCommand(t *testing.T, root *cobra.Command, words []string) {
	t.Helper()
	line := "reconcile " + strings.Join(words, " ")
	cmd := root
	for i, w := range words {
		w = strings.Trim(w, "[],.`")
		if i > 1 && (cmd.Name() == "exec" || cmd.Name() == "cli") {
			return // the command of the container
		}
		switch {
		case strings.HasPrefix(w, "--"):
			name, _, _ := strings.Cut(w[2:], "=")
			if cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil && name != "help" {
				t.Errorf("%q: there is no flag --%s", line, name)
			}
		case strings.HasPrefix(w, "-") && len(w) > 1:
			if cmd.Flags().ShorthandLookup(w[1:2]) == nil && cmd.InheritedFlags().ShorthandLookup(w[1:2]) == nil {
				t.Errorf("%q: there is no flag %s", line, w)
			}
		case i == 0 && regexp.MustCompile(`^[a-z]+$`).MatchString(w):
			found, _, err := root.Find([]string{w})
			if err != nil || found == root {
				if w != "completion" && w != "help" {
					t.Errorf("%q: there is no command %s", line, w)
				}
				return
			}
			cmd = found
		}
	}
}
