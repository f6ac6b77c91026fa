// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

func TestHookRuns(t *testing.T) {
	b := newBed(t)
	if err := b.run(t, "echo one; pwd > where", "echo two >&2; echo made > result"); err != nil {
		t.Fatal(err)
	}
	if got, want := b.output(t), "one\ntwo\n"; got != want {
		t.Errorf("output: got %q, want %q", got, want)
	}
	if got, want := b.file(t, "where"), b.agent(); got != want {
		t.Errorf("it ran in %s, want %s", got, want)
	}
	got := b.look(t)
	if got.At.IsZero() {
		t.Error("the result has no time")
	}
	got.At = time.Time{}
	if diff := cmp.Diff(plan.HostHook{Digest: "sha256:1", State: plan.HookDone}, got); diff != "" {
		t.Error(diff)
	}
}

func TestHookFails(t *testing.T) {
	tests := map[string]struct {
		commands []string
		code     int
		want     string
	}{
		"one command":       {[]string{"exit 7"}, 7, "exit status 7"},
		"the second of all": {[]string{"true", "echo broken; exit 3", "touch third"}, 3, "command 2 of 3: exit status 3; its output ends:\nbroken"},
		"no such program":   {[]string{"./missing.sh"}, 127, "exit status 127; its output ends:\n/bin/sh:"},
		"a signal":          {[]string{"kill -9 $$"}, -1, "killed by signal 9 (killed)"},
		"many lines":        {[]string{"seq 100; exit 1"}, 1, "exit status 1; its output ends:\n96\n97\n98\n99\n100"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			err := b.run(t, tt.commands...)
			if err == nil || !strings.HasPrefix(err.Error(), "preinstall: "+tt.want) {
				t.Errorf("got %v, want preinstall: %s", err, tt.want)
			}
			got := b.look(t)
			if got.State != plan.HookFailed || got.Code != tt.code || "preinstall: "+got.Detail != err.Error() {
				t.Errorf("got %+v", got)
			}
			if b.exists("third") {
				t.Error("a command ran after one that failed")
			}
		})
	}
}

func TestHookThatFailedRunsAgain(t *testing.T) {
	b := newBed(t)
	const command = "test -e again || { touch again; exit 1; }"
	if err := b.run(t, command); err == nil {
		t.Fatal("the first run did not fail")
	}
	if err := b.run(t, command); err != nil {
		t.Error(err)
	}
	if got := b.look(t).State; got != plan.HookDone {
		t.Errorf("got %s", got)
	}
}

// What a hook has of variables is what it was given.
func TestHookEnvironment(t *testing.T) {
	t.Setenv("OPERATOR_ONLY", "secret of the operator")
	t.Setenv("LANG", "C")
	b := newBed(t)
	s := b.step("env | sort > vars")
	s.Hook.Env = []plan.EnvVar{{Name: "HOME", Value: "/elsewhere"}, {Name: "PASSWORD", Secret: secretRef}, {Name: "TEXT", Value: "a b"}}
	if err := b.runner().Run(t.Context(), s, plan.Desired{}); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(b.file(t, "vars"), "\n")
	got = slices.DeleteFunc(got, func(v string) bool { // those of the shell and our mark
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"_", "PWD", "OLDPWD", "SHLVL", markName}, name)
	})
	want := []string{"HOME=/elsewhere", "LANG=C", "PASSWORD=" + secretValue, "PATH=" + os.Getenv("PATH"), "TEXT=a b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The value of a secret is in nothing that is kept.
func TestSecretsAreRedacted(t *testing.T) {
	b := newBed(t)
	s := b.step(`echo "value $PASSWORD"; printf %s "$PASSWORD" | base64; printf %s "$PASSWORD" | cut -c1-5; for c in correct ' ' horse/battery; do printf %s "$c"; sleep 0.05; done; printf '?staple\n'; exit 1`)
	s.Hook.Env = []plan.EnvVar{{Name: "PASSWORD", Secret: secretRef}}
	err := b.runner().Run(t.Context(), s, plan.Desired{})
	if err == nil {
		t.Fatal("it did not fail")
	}
	if got := b.output(t); strings.Count(got, "[redacted]") != 3 {
		t.Errorf("output: %q", got)
	}
	_ = filepath.WalkDir(b.dir, func(path string, e os.DirEntry, _ error) error {
		if e.IsDir() {
			return nil
		}
		text, readErr := os.ReadFile(path)
		if readErr != nil || strings.Contains(string(text), secretValue) || strings.Contains(string(text), "Y29ycmVjdCBob3JzZS9iYXR0ZXJ5P3N0YXBsZQ") {
			t.Errorf("%s: %v, or it has the secret", path, readErr)
		}
		return nil
	})
	if strings.Contains(err.Error(), secretValue) {
		t.Errorf("the error has the secret: %v", err)
	}
}

func TestSecretThatIsMissing(t *testing.T) {
	b := newBed(t)
	s := b.step("touch ran")
	s.Hook.Env = []plan.EnvVar{{Name: "PASSWORD", Secret: "secret:other"}}
	if err := b.runner().Run(t.Context(), s, plan.Desired{}); err == nil || !strings.Contains(err.Error(), "env PASSWORD: no such secret") {
		t.Errorf("got %v", err)
	}
	if b.exists("ran") {
		t.Error("the hook ran without it")
	}
}

func TestHookThatHangs(t *testing.T) {
	tests := map[string]string{
		"sleeps":               "echo $$ > pid; sleep 1000",
		"does not want to end": "trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done",
		"waits for its input":  "echo $$ > pid; cat; sleep 1000",
	}
	for name, command := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			s := b.step(command)
			s.Hook.Timeout = 300 * time.Millisecond
			err := b.runner().Run(t.Context(), s, plan.Desired{})
			if err == nil || err.Error() != "preinstall: not done within 300ms" {
				t.Errorf("got %v", err)
			}
			if b.lives(t, "pid") {
				t.Error("it lives still")
			}
			if got := b.look(t); got.State != plan.HookFailed {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// Whatever a hook leaves behind ends with it, and does not hold it up.
func TestHookThatForksADaemon(t *testing.T) {
	tests := map[string]string{
		"in its group":     "sleep 1000 & echo $! > pid",
		"without a group":  "setsid sh -c 'echo $$ > pid; exec sleep 1000' & while ! test -s pid; do sleep 0.01; done",
		"without a parent": "(setsid sh -c 'echo $$ > pid; exec sleep 1000' &) ; while ! test -s pid; do sleep 0.01; done",
		"without a mark":   "(env -i setsid /bin/sh -c 'echo $$ > pid; exec sleep 1000' &) ; while ! test -s pid; do sleep 0.01; done",
	}
	for name, command := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			if err := b.run(t, command+"; echo done"); err != nil {
				t.Fatal(err)
			}
			if b.lives(t, "pid") {
				t.Error("it lives still")
			}
			if got, want := b.output(t), "done\n"; got != want {
				t.Errorf("output: got %q, want %q", got, want)
			}
		})
	}
}

func TestHookThatPrintsALot(t *testing.T) {
	b := newBed(t)
	b.limit = 1000
	if err := b.run(t, "echo first; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo last"); err != nil {
		t.Fatal(err)
	}
	got := b.output(t)
	if len(got) > 1100 || !strings.HasPrefix(got, "first\nxxx") || !strings.HasSuffix(got, "xxx\nlast\n") ||
		!strings.Contains(got, "\n[99999012 bytes are left out]\n") {
		t.Errorf("%d bytes of output: %.40q … %q", len(got), got, got[max(0, len(got)-40):])
	}
}

// Control characters are kept: whoever prints them sees to it.
func TestHookThatPrintsControlCharacters(t *testing.T) {
	b := newBed(t)
	err := b.run(t, `printf 'a\033[2Jb\007\000c\377\n'; exit 1`)
	if got, want := b.output(t), "a\x1b[2Jb\a\x00c\xff\n"; got != want {
		t.Errorf("output: got %q, want %q", got, want)
	}
	if got, want := err.Error(), "preinstall: exit status 1; its output ends:\na\x1b[2Jb\a\x00c�"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if b.look(t).State != plan.HookFailed {
		t.Error("the result cannot be read")
	}
}

func TestHookThatEditsItsOwnFolder(t *testing.T) {
	b := newBed(t)
	if err := os.WriteFile(filepath.Join(b.agent(), "manifest.yaml"), []byte("container: a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := b.run(t, "echo 'container: b' > manifest.yaml; rm -rf ../logs/x; mkdir sub"); err != nil {
		t.Fatal(err)
	}
	if got, want := b.file(t, "manifest.yaml"), "container: b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Two instances of one agent have one folder, in which one hook runs at a time.
func TestHooksInOneFolder(t *testing.T) {
	b := newBed(t)
	alone := b.step("mkdir busy || exit 9; sleep 0.2; rmdir busy; echo ran >> runs")
	ended := make(chan error)
	for _, name := range []string{"a", "b", "c"} {
		s := alone
		s.Target.Name = name
		go func() { ended <- b.runner().Run(t.Context(), s, plan.Desired{}) }()
	}
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := b.file(t, "runs"); got != "ran\nran\nran" {
		t.Errorf("got %q", got)
	}
}

// A hook that waits for another is late, or ended, as one that runs is.
func TestHookWaitsForAnother(t *testing.T) {
	b := newBed(t)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		first <- b.runner().Run(ctx, b.step("touch begun; sleep 1000"), plan.Desired{})
	}()
	eventually(t, "the first runs", func() bool { return b.exists("begun") })
	next := b.step("touch next")
	next.Target.Name = "b"
	next.Hook.Timeout = 200 * time.Millisecond
	err := b.runner().Run(t.Context(), next, plan.Desired{})
	if err == nil || !strings.Contains(err.Error(), "not begun within 200ms: the hook of another instance runs in "+b.agent()) {
		t.Errorf("got %v", err)
	}
	next.Hook.Timeout = patience
	second, end := context.WithCancel(t.Context())
	waits := make(chan error)
	go func() { waits <- b.runner().Run(second, next, plan.Desired{}) }()
	eventually(t, "the second waits", func() bool {
		all, _ := Look(b.results())
		return all[next.Target].State == plan.HookRunning
	})
	end()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if b.exists("next") {
		t.Error("the second ran beside the first")
	}
}

func TestHookWithoutItsFolder(t *testing.T) {
	b := newBed(t)
	s := b.step("true")
	s.Hook.Dir = filepath.Join(b.dir, "gone")
	if err := b.runner().Run(t.Context(), s, plan.Desired{}); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(b.results()); err == nil {
		t.Error("something was written")
	}
}

func TestHookInTheCopy(t *testing.T) {
	b := newBed(t)
	s := b.step("pwd > where")
	s.Hook.Dir, s.Hook.InCopy = "", true
	r := b.runner()
	if err := r.Run(t.Context(), s, plan.Desired{}); err == nil {
		t.Error("it ran without a copy")
	}
	r.opt.Copy = func(plan.Step, plan.Desired) (string, error) { return b.agent(), nil }
	if err := r.Run(t.Context(), s, plan.Desired{}); err != nil {
		t.Fatal(err)
	}
	if got, want := b.file(t, "where"), b.agent(); got != want {
		t.Errorf("it ran in %s, want %s", got, want)
	}
}

func TestInterruptedHookIsEnded(t *testing.T) {
	b := newBed(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.runner().Run(ctx, b.step("echo $$ > pid; sleep 1000"), plan.Desired{}) }()
	eventually(t, "the hook runs", func() bool { return b.exists("pid") && b.file(t, "pid") != "" })
	if got := b.look(t).State; got != plan.HookRunning {
		t.Errorf("while it runs: got %q", got)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if b.lives(t, "pid") {
		t.Error("it lives still")
	}
	if got := b.look(t); got.State != plan.HookFailed || got.Detail != "it was ended" {
		t.Errorf("got %+v", got)
	}
}

func TestLookFindsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if all, err := Look(dir); err != nil || len(all) > 0 {
		t.Errorf("got %v, %v", all, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("looking made a folder")
	}
}

func TestDamagedResultIsNamed(t *testing.T) {
	b := newBed(t)
	if err := b.run(t, "true"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", `{"id":"manifest/b"}`} {
		path := filepath.Join(b.results(), "manifest%2Fb.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := Look(b.results())
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v", text, err)
		}
		if all[target].State != plan.HookDone {
			t.Errorf("%q: what can be read is lost: %v", text, all)
		}
	}
}
