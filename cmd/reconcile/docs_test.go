// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// docs/authority.md prints what it says, and tells of every kind of grant.
func TestAuthorityDocs(t *testing.T) {
	doc := checkDocument(t, "../../docs/authority.md")
	for _, kind := range plan.GrantKinds() {
		if !strings.Contains(doc, "\n| `"+string(kind)+"` | ") {
			t.Errorf("docs/authority.md says nothing of %s", kind)
		}
	}
}

func TestHooksDocs(t *testing.T) { checkDocument(t, "../../docs/hooks.md") }

func TestTasksDocs(t *testing.T) { checkDocument(t, "../../docs/tasks.md") }

// docs/task-agents.md prints what it says, and names commands that exist.
func TestTaskAgentsDocs(t *testing.T) {
	doc := checkDocument(t, "../../docs/task-agents.md")
	root := newRootCommand(&app{})
	for _, m := range span.FindAllStringSubmatch(documentBlock.ReplaceAllString(doc, ""), -1) {
		if c := command.FindStringSubmatch(m[1]); c != nil {
			checkCommand(t, root, strings.Fields(c[1]))
		}
	}
}

func TestHealthDocs(t *testing.T) { checkDocument(t, "../../docs/health.md") }

// checkDocument checks that the files and commands of a document, in their order,
// print what it says, and returns it.
func checkDocument(t *testing.T, path string) string {
	t.Helper()
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := rerun(t, string(doc))
	if os.Getenv("RECONCILE_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(string(doc), got); diff != "" {
		t.Errorf("%s (-says +would say; RECONCILE_UPDATE=1 rewrites it):\n%s", path, diff)
	}
	return string(doc)
}

var (
	documentBlock   = regexp.MustCompile("(?s)```(yaml|sh|console)\n(.*?)```")
	documentCommand = regexp.MustCompile(`(?m)^\$ .*\n`)
)

// rerun returns doc with what its commands print now. Each YAML block and script is
// written to the file that its first line names, and of each console block the commands
// are run in the workspace, which is /srv/acme there; only stdout is shown.
func rerun(t *testing.T, doc string) string {
	t.Helper()
	run := documentShell(t)
	commands := 0
	out := documentBlock.ReplaceAllStringFunc(doc, func(block string) string {
		m := documentBlock.FindStringSubmatch(block)
		if m[1] != "console" {
			name, text, _ := strings.Cut(strings.TrimPrefix(m[2], "# "), "\n")
			run("mkdir -p $(dirname "+name+") && cat >"+name, text)
			return block
		}
		text := "```console\n"
		for _, line := range documentCommand.FindAllString(m[2], -1) {
			commands++
			text += line + run(strings.TrimPrefix(line, "$ "), "")
		}
		return text + "```"
	})
	if commands == 0 {
		t.Fatal("no commands")
	}
	return out
}

// documentShell returns a function that runs a command with a standard input in
// an empty workspace and returns its stdout.
func documentShell(t *testing.T) func(command, stdin string) string {
	t.Helper()
	socket := podmantest.Socket(t)
	exampleImages(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	work := filepath.Join(tmp, "work")
	if err := errors.Join(os.Mkdir(work, 0o755), os.Symlink(self, filepath.Join(tmp, "reconcile"))); err != nil {
		t.Fatal(err)
	}
	run := func(command, stdin string) string {
		t.Helper()
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir, cmd.Stdin = work, strings.NewReader(stdin)
		cmd.Env = append(os.Environ(), "PATH="+tmp+":"+os.Getenv("PATH"), "CONTAINER_HOST="+socket,
			"RECONCILE_STATE_DIR="+filepath.Join(tmp, "state"), "NO_COLOR=1", "LC_ALL=C.UTF-8")
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s%s", command, err, out, &said)
		}
		return strings.ReplaceAll(string(out), work, "/srv/acme")
	}
	t.Cleanup(func() { run("reconcile destroy --yes --volumes --data", "") })
	return run
}
