// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shells are the ones found in images, as the argv that runs a script.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for name, argv := range map[string][]string{"sh": {"sh"}, "busybox": {"busybox", "sh"}} {
		path, err := exec.LookPath(argv[0])
		if err != nil {
			t.Fatal(err)
		}
		found[name] = append([]string{path}, argv[1:]...)
	}
	return found
}

func TestDefaultCLI(t *testing.T) {
	script, err := filepath.Abs("default_cli.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plain", "with space", "-rf", "*"} {
		writeFile(t, filepath.Join(dir, name), "", 0o644)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "USER=somebody", "LC_ALL=C", "TZ=UTC"}
	bare := []string{"PATH=/none", "USER=somebody"}
	listing := "*\n-rf\nplain\nwith space\n"
	const commands = ": not one of whoami pwd ls env date uname help exit\n"
	for _, tt := range []struct {
		name   string
		args   []string
		stdin  string
		env    []string
		stdout string // "…" at its end: anything
		stderr string
		status int
	}{
		{name: "pwd", args: []string{"pwd"}, stdout: dir + "\n"},
		{name: "ls", args: []string{"ls"}, stdout: listing},
		{name: "ls of a path", args: []string{"ls", dir}, stdout: listing},
		{name: "ls of nothing", args: []string{"ls", "none"}, stderr: "…", status: -1},
		{name: "ls is not expanded", args: []string{"ls", "*"}, stdout: "*\n"},
		{name: "ls with a space", args: []string{"ls", "with space"}, stdout: "with space\n"},
		{name: "whoami", args: []string{"whoami"}, stdout: "…"},
		{name: "uname", args: []string{"uname", "-s"}, stdout: "Linux\n"},
		{name: "date", args: []string{"date", "-u", "+%Z"}, stdout: "UTC\n"},
		{name: "env", args: []string{"env"}, stdout: "…"},
		{name: "help", args: []string{"help"}, stdout: "commands:\n…"},
		{name: "exit", args: []string{"exit"}},

		{name: "refused", args: []string{"rm", "-rf", "/none"}, stderr: "default_cli: rm" + commands, status: 2},
		{name: "refused path", args: []string{"/bin/ls"}, stderr: "default_cli: /bin/ls" + commands, status: 2},
		{name: "refused function", args: []string{"do_ls"}, stderr: "default_cli: do_ls" + commands, status: 2},
		{name: "refused builtin", args: []string{"eval", "ls"}, stderr: "default_cli: eval" + commands, status: 2},
		{name: "empty word", args: []string{""}, stderr: "default_cli: " + commands, status: 2},
		{name: "list", args: []string{"ls;id"}, stderr: "default_cli: ls;id" + commands, status: 2},
		{name: "env starts nothing", args: []string{"env", "id"}, stderr: "default_cli: env takes no arguments\n", status: 2},
		{name: "date sets nothing", args: []string{"date", "-s", "2000-01-01"}, stderr: "default_cli: date: only -u, -R, -I and +FORMAT are allowed\n", status: 2},
		{name: "date reads no file", args: []string{"date", "-f", "/etc/passwd"}, stderr: "default_cli: date: only -u, -R, -I and +FORMAT are allowed\n", status: 2},
		{name: "whoami of others", args: []string{"whoami", "x"}, stderr: "default_cli: whoami takes no arguments\n", status: 2},

		{name: "lines", stdin: "\n  pwd  \n\tuname\t-s\n", stdout: dir + "\nLinux\n"},
		{name: "last line without end", stdin: "uname -s", stdout: "Linux\n"},
		{name: "nothing", stdin: ""},
		{name: "exit ends", stdin: "uname -s\nexit\npwd\n", stdout: "Linux\n"},
		{name: "refusal goes on", stdin: "rm x\nuname -s\n", stdout: "Linux\n", stderr: "default_cli: rm" + commands},
		{name: "status is the last one's", stdin: "uname -s\nrm x\n", stdout: "Linux\n", stderr: "default_cli: rm" + commands, status: 2},
		{name: "exit keeps the status", stdin: "rm x\nexit\n", stderr: "default_cli: rm" + commands, status: 2},
		{name: "nothing is expanded", stdin: "ls *\n", stdout: "*\n"},
		{name: "nothing is substituted", stdin: "$(touch pwned)\n`touch pwned`\n", stderr: "default_cli: $(touch" + commands + "default_cli: `touch" + commands, status: 2},
		{name: "no variables", stdin: "$USER\n", stderr: "default_cli: $USER" + commands, status: 2},
		{name: "no redirection", stdin: "pwd >x\n", stderr: "default_cli: pwd takes no arguments but -L or -P\n", status: 2},
		{name: "backslashes stay", stdin: "a\\\nb\n", stderr: "default_cli: a\\" + commands + "default_cli: b" + commands, status: 2},
		{name: "no comments, no quotes", stdin: "#\n\"pwd\"\n", stderr: "default_cli: #" + commands + "default_cli: \"pwd\"" + commands, status: 2},
		{name: "a command does not eat the input", stdin: "ls -\nuname -s\n", stdout: "Linux\n", stderr: "…"},

		{name: "bare pwd", args: []string{"pwd"}, env: bare, stdout: dir + "\n"},
		{name: "bare help", args: []string{"help"}, env: bare, stdout: "commands:\n…"},
	} {
		for shell, argv := range shells(t) {
			t.Run(shell+"/"+tt.name, func(t *testing.T) {
				cmd := exec.Command(argv[0], append(append([]string{}, argv[1:]...), append([]string{script}, tt.args...)...)...)
				cmd.Dir, cmd.Env, cmd.Stdin = dir, env, strings.NewReader(tt.stdin)
				if tt.env != nil {
					cmd.Env = tt.env
				}
				var stdout, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				got := exitCode(t, cmd.Run())
				if got != tt.status && (tt.status != -1 || got == 0) {
					t.Errorf("status %d, want %d", got, tt.status)
				}
				checkOutput(t, "stdout", stdout.String(), tt.stdout)
				checkOutput(t, "stderr", stderr.String(), tt.stderr)
			})
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
		t.Error("what was typed was run")
	}
}

func checkOutput(t *testing.T, name, got, want string) {
	t.Helper()
	if head, open := strings.CutSuffix(want, "…"); open {
		if !strings.HasPrefix(got, head) || got == "" {
			t.Errorf("%s = %q, want it to begin with %q", name, got, head)
		}
		return
	}
	if got != want {
		t.Errorf("%s = %q, want %q", name, got, want)
	}
}

// A user without a name is a number, said once, whatever the tools do about it.
func TestDefaultCLINamelessUser(t *testing.T) {
	bin := t.TempDir()
	writeFile(t, bin+"/whoami", "#!/bin/sh\necho 4321\nexit 1\n", 0o755)
	writeFile(t, bin+"/id", "#!/bin/sh\necho 4321\n", 0o755)
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sh, "default_cli.sh", "whoami")
	cmd.Env = []string{"PATH=" + bin}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "4321\n" {
		t.Errorf("whoami = %q (%v), want 4321", out, err)
	}
}

// In an image with nothing but a shell that has no commands built in, what can
// be known without them is still answered.
func TestDefaultCLIWithoutCommands(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b c", "-x"} {
		writeFile(t, filepath.Join(dir, name), "", 0o644)
	}
	script, err := filepath.Abs("default_cli.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args, stdout, stderr string
		status               int
	}{
		{"whoami", "somebody\n", "", 0},
		{"ls", "-x\na\nb c\n", "", 0},
		{"ls .", "-x\na\nb c\n", "", 0},
		{"ls none", "", "…", 1},
		{"ls -la", "", "default_cli: ls: not in this image\n", 127},
		{"uname", "Linux\n", "", 0},
		{"uname -a", "", "default_cli: uname: not in this image\n", 127},
		{"date", "", "default_cli: date: not in this image\n", 127},
		{"env", "…", "", 0},
	} {
		t.Run(tt.args, func(t *testing.T) {
			sh, err := exec.LookPath("sh")
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(sh, append([]string{script}, strings.Fields(tt.args)...)...)
			cmd.Dir, cmd.Env = dir, []string{"PATH=/none", "USER=somebody", "LC_ALL=C"}
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			got := exitCode(t, cmd.Run())
			if got != tt.status && (tt.status != 1 || got == 0) {
				t.Errorf("status %d, want %d", got, tt.status)
			}
			checkOutput(t, "stdout", stdout.String(), tt.stdout)
			checkOutput(t, "stderr", stderr.String(), tt.stderr)
		})
	}
}
