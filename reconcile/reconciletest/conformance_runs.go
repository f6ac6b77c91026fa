// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reconcile/reconcile/plan"
)

// runKey is the key of the first run of a case, runAgain that of the second.
const (
	runKey   = "0123456789ab"
	runAgain = runKey + ".2"
)

// runs reports whether the runtime runs tasks.
func (b *bench) runs(t *testing.T) bool {
	if b.Say == nil {
		t.Log("the runtime runs no tasks")
	}
	return b.Say != nil
}

// task wants a task called name that runs a process.
func (b *bench) task(name string, main plan.Process, edit func(*plan.ContainerSpec)) plan.ID {
	id := plan.ID{Kind: plan.Task, Name: name}
	spec := plan.ContainerSpec{
		Image: b.Image, Helper: true, Main: main, StopTimeout: 5,
		Task: &plan.TaskSpec{Dir: plan.RunsDir(b.State, b.d.Workspace, id)},
	}
	if edit != nil {
		edit(&spec)
	}
	b.want(plan.Resource{
		ID: id, Name: b.d.Workspace + "-task-" + name, Spec: plan.Spec{Container: &spec},
		Want: plan.WantOnce, Run: &plan.Run{Key: runKey},
	})
	return id
}

// runStep is the step that makes a run of a task with a key.
func (b *bench) runStep(t *testing.T, id plan.ID, key string) plan.Step {
	s := b.createStep(b.observe(t), id)
	s.Run, s.RunName = key, b.resource(id).RunName(key)
	if _, again, ok := strings.Cut(key, "."); ok {
		s.Name += "-" + again
	}
	return s
}

// begun makes and starts a run, and returns its container as it was made.
func (b *bench) begun(t *testing.T, id plan.ID, key string) plan.Object {
	t.Helper()
	create := b.runStep(t, id, key)
	b.do(t, plan.Step{ID: "prepare:" + id.String(), Op: plan.OpPrepare, Target: id, Run: key, RunName: create.RunName})
	obj := b.do(t, create)
	b.do(t, ofRun(plan.OpStart, obj))
	return obj
}

// ofRun is a step upon the container of a run.
func ofRun(op plan.Op, obj plan.Object) plan.Step {
	s := on(op, obj)
	s.Run = obj.Run
	return s
}

// left is the step that removes what is left of a run whose container is gone.
func left(id plan.ID, key string) plan.Step {
	return plan.Step{ID: "delete:" + id.String(), Op: plan.OpDelete, Target: id, Run: key}
}

// ended observes until the command of a run has ended.
func (b *bench) ended(t *testing.T, handle string) plan.Object {
	t.Helper()
	for {
		if obj := b.seen(t, handle); obj.Outcome != nil {
			return obj
		}
		select {
		case <-b.ctx.Done():
			t.Fatalf("the command of %s has not ended", handle)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// log is the log of a run on the host.
func (b *bench) log(id plan.ID, key string) (string, bool) {
	file := filepath.Join(b.resource(id).Spec.Container.Task.Dir, key, "log")
	if b.HostFile != nil {
		return b.HostFile(file)
	}
	text, err := os.ReadFile(file)
	return string(text), err == nil
}

// testRunLife: runs of one task stand side by side, each with its key, and how the
// command of one ended is known from its container.
func testRunLife(t *testing.T, b *bench) {
	if !b.runs(t) || b.Exit == nil {
		return
	}
	id := b.task("a", b.Exit(7), nil)
	prepare := plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id, Run: runKey, RunName: "a"}
	b.do(t, prepare)
	b.do(t, prepare)
	create := b.runStep(t, id, runKey)
	obj := b.do(t, create)
	if again := b.do(t, create); again.Handle != obj.Handle {
		t.Errorf("second create made %s beside %s", again.Handle, obj.Handle)
	}
	got := b.seen(t, obj.Handle)
	if got.Run != runKey || got.ID != id || got.State != plan.StateCreated || got.Outcome != nil || !got.Started.IsZero() {
		t.Errorf("after create: run %q of %s, state %s, outcome %v, started %v", got.Run, got.ID, got.State, got.Outcome, got.Started)
	}
	b.do(t, ofRun(plan.OpStart, obj))
	got = b.eventually(t, obj.Handle, plan.StateExited)
	if got.Outcome == nil || got.Outcome.Code != 7 || got.Outcome.Timeout || got.Outcome.Finished.IsZero() || got.ExitCode != 7 || got.Run != runKey {
		t.Errorf("after the end: %+v, outcome %+v; want code 7", got, got.Outcome)
	}

	clash := b.runStep(t, id, runAgain)
	clash.Name = create.Name
	b.refuse(t, clash, create.Name)
	second := b.begun(t, id, runAgain)
	if second.Handle == obj.Handle || second.Run != runAgain {
		t.Fatalf("the second run is %s, with key %q", second.Handle, second.Run)
	}
	b.ended(t, second.Handle)
	if n := len(b.observe(t).Objects); n != 2 {
		t.Errorf("%d objects, want those of both runs", n)
	}
	for range 2 {
		b.do(t, ofRun(plan.OpDelete, obj))
		b.do(t, left(id, runKey))
	}
	if all := b.observe(t).Objects; len(all) != 1 || all[0].Handle != second.Handle {
		t.Errorf("after the delete of the first: %v, want the second", all)
	}
	if _, ok := b.log(id, runAgain); !ok {
		t.Error("the log of the second run went with the first")
	}
}

// testRunVanishes: a container that somebody else removed is gone, and what is left
// of the run can be removed without it.
func testRunVanishes(t *testing.T, b *bench) {
	if !b.runs(t) {
		return
	}
	id := b.task("a", plan.Process{ImageCmd: true}, nil)
	obj := b.begun(t, id, runKey)
	if got := b.seen(t, obj.Handle); got.State != plan.StateRunning || got.Outcome != nil || got.Started.IsZero() {
		t.Errorf("state %s, outcome %v, started %v; want running", got.State, got.Outcome, got.Started)
	}
	b.Remove(t, obj.Handle)
	if all := b.observe(t).Objects; len(all) != 0 {
		t.Errorf("objects %v, want none", all)
	}
	b.refuse(t, ofRun(plan.OpStart, obj), "")
	b.do(t, ofRun(plan.OpStop, obj))
	for range 2 {
		b.do(t, left(id, runKey))
	}
	if _, ok := b.log(id, runKey); ok {
		t.Error("the folder of the run is still there")
	}
}

// testRunOutcomeStays: how a run ended is known when its container is gone, for as
// long as what is left of it is kept.
func testRunOutcomeStays(t *testing.T, b *bench) {
	if !b.runs(t) || b.Exit == nil {
		return
	}
	ended := b.task("ended", b.Exit(7), nil)
	obj := b.begun(t, ended, runKey)
	b.eventually(t, obj.Handle, plan.StateExited)
	if all := b.observe(t).Outcomes; len(all) != 0 {
		t.Errorf("outcomes %v of containers that are there, want none", all)
	}
	b.Remove(t, obj.Handle)
	if how, ok := b.observe(t).Outcomes[ended][runKey]; !ok || how.Code != 7 || how.Timeout || how.Finished.IsZero() {
		t.Errorf("outcome %+v, %v; want code 7", how, ok)
	}
	b.do(t, left(ended, runKey))
	if all := b.observe(t).Outcomes; len(all) != 0 {
		t.Errorf("outcomes %v of what is no longer kept, want none", all)
	}
}

// testRunOutcome: the end of the command is known while the container is kept alive,
// and one that takes too long is ended.
func testRunOutcome(t *testing.T, b *bench) {
	if !b.runs(t) || b.Exit == nil {
		return
	}
	kept := b.begun(t, b.task("kept", b.Exit(3), func(c *plan.ContainerSpec) { c.Task.KeepAlive = caseTimeout.Milliseconds() }), runKey)
	got := b.ended(t, kept.Handle)
	if got.State != plan.StateRunning || got.Outcome.Code != 3 || got.Outcome.Timeout || got.Outcome.Finished.Before(got.Started.Truncate(time.Second)) {
		t.Errorf("kept alive: state %s, outcome %+v, started %v; want running, code 3", got.State, got.Outcome, got.Started)
	}
	b.do(t, ofRun(plan.OpStop, kept))
	if got := b.seen(t, kept.Handle); got.State != plan.StateExited || got.Outcome == nil || got.Outcome.Code != 3 {
		t.Errorf("stopped after that: state %s, outcome %+v; want exited, code 3", got.State, got.Outcome)
	}

	late := b.begun(t, b.task("late", plan.Process{ImageCmd: true}, func(c *plan.ContainerSpec) { c.Task.Timeout = 300 }), runKey)
	got = b.eventually(t, late.Handle, plan.StateExited)
	if got.Outcome == nil || !got.Outcome.Timeout || got.Outcome.Code == 0 {
		t.Errorf("too late: outcome %+v; want a timeout", got.Outcome)
	}

	stopped := b.begun(t, b.task("stopped", plan.Process{ImageCmd: true}, nil), runKey)
	b.do(t, ofRun(plan.OpStop, stopped))
	if got := b.seen(t, stopped.Handle); got.State != plan.StateExited || got.Outcome != nil && got.Outcome.Timeout {
		t.Errorf("stopped: state %s, outcome %+v; want exited, no timeout", got.State, got.Outcome)
	}
}

// testRunLog: a run knows its name, and its log outlives its container.
func testRunLog(t *testing.T, b *bench) {
	if !b.runs(t) {
		return
	}
	id := b.task("a", b.Say("TASK_NAME"), nil)
	r := b.resource(id)
	create := b.runStep(t, id, runKey)
	create.RunName = "the-name-of-the-run"
	b.do(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id, Run: runKey, RunName: create.RunName})
	obj := b.do(t, create)
	b.do(t, ofRun(plan.OpStart, obj))
	if got := b.eventually(t, obj.Handle, plan.StateExited); got.Outcome == nil || got.Outcome.Code != 0 {
		t.Errorf("outcome of %s: %+v; want code 0", r.Name, got.Outcome)
	}
	b.Remove(t, obj.Handle)
	if text, ok := b.log(id, runKey); !ok || !strings.Contains(text, create.RunName) {
		t.Errorf("log after the container is gone: %q, %t; want %q in it", text, ok, create.RunName)
	}
	b.do(t, left(id, runKey))
	if text, ok := b.log(id, runKey); ok {
		t.Errorf("log after what is left was removed: %q, want none", text)
	}
}

// user is who runs the process where a case says so.
const (
	user      = "1234:2345"
	userID    = 1234
	userGroup = 2345
)

// testRunFiles: each run finds the files that its spec names, as its own.
func testRunFiles(t *testing.T, b *bench) {
	if !b.runs(t) || b.Look == nil {
		return
	}
	file := func(path, content string, mode fs.FileMode) plan.File {
		sum := sha256.Sum256([]byte(content))
		digest := "sha256:" + hex.EncodeToString(sum[:])
		b.d.Contents[digest] = []byte(content)
		return plan.File{Path: path, Digest: digest, Mode: uint32(mode)}
	}
	b.d.Contents = map[string][]byte{}
	const odd = "no line feed, \x00\xff\r\n</context> größer"
	mounts := []plan.Mount{
		{Type: plan.MountFiles, Target: "/etc/one.conf", ReadOnly: true, Files: []plan.File{file("", "alone\n", 0)}},
		{Type: plan.MountFiles, Target: "/workspace", Files: []plan.File{
			file("a/b/deep.md", "deep\n", 0), {Path: "empty"}, file("key", odd, 0o400), file("task.md", "do it\n", 0o600),
		}},
	}
	for name, who := range map[string]struct {
		user     string
		uid, gid int
	}{"root": {}, "user": {user, userID, userGroup}} {
		id := b.task(name, plan.Process{ImageCmd: true}, func(c *plan.ContainerSpec) { c.User, c.Mounts = who.user, mounts })
		want := map[string]Seen{
			"/etc/one.conf":          {Content: "alone\n", Mode: 0o644},
			"/workspace":             {Mode: fs.ModeDir | 0o755},
			"/workspace/a/b":         {Mode: fs.ModeDir | 0o755},
			"/workspace/a/b/deep.md": {Content: "deep\n", Mode: 0o644},
			"/workspace/empty":       {Mode: fs.ModeDir | 0o755},
			"/workspace/key":         {Content: odd, Mode: 0o400},
			"/workspace/task.md":     {Content: "do it\n", Mode: 0o600},
		}
		for _, key := range []string{runKey, runAgain} {
			obj := b.begun(t, id, key)
			for path, want := range want {
				want.UID, want.GID = who.uid, who.gid
				if got, ok := b.Look(t, obj.Handle, path); !ok || got != want {
					t.Errorf("%s: %s: %+v, %t; want %+v", name, path, got, ok, want)
				}
			}
			if got, ok := b.Look(t, obj.Handle, "/workspace/nothing"); ok {
				t.Errorf("%s: /workspace/nothing: %+v; want nothing", name, got)
			}
		}
	}
}

// testRunSecretFiles: a secret that is a file belongs to the user of the container.
func testRunSecretFiles(t *testing.T, b *bench) {
	if !b.runs(t) || b.Look == nil || b.Secret == nil {
		return
	}
	ref := b.Secret(t, b.d.Workspace+"-key", "hush\n")
	for name, who := range map[string]struct {
		user     string
		uid, gid int
	}{"root": {}, "user": {user, userID, userGroup}} {
		id := b.task(name, plan.Process{ImageCmd: true}, func(c *plan.ContainerSpec) {
			c.User = who.user
			c.SecretFiles = []plan.SecretFile{
				{Ref: ref, Target: "/run/keys/read", Mode: 0o444}, {Ref: ref, Target: "/run/keys/secret", Mode: 0o400},
			}
		})
		obj := b.begun(t, id, runKey)
		for path, mode := range map[string]fs.FileMode{"/run/keys/read": 0o444, "/run/keys/secret": 0o400} {
			want := Seen{Content: "hush\n", Mode: mode, UID: who.uid, GID: who.gid}
			if got, ok := b.Look(t, obj.Handle, path); !ok || got != want {
				t.Errorf("%s: %s: %+v, %t; want %+v", name, path, got, ok, want)
			}
		}
	}
}
