// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"reconcile/reconcile/plan"
)

// startApart has another process run the step.
func (b bed) startApart(t *testing.T, s plan.Step) *exec.Cmd {
	t.Helper()
	in, err := json.Marshal(starterInput{Dir: b.dir, Step: s})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), starterVar+"="+string(in))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
		b.endRest(t)
	})
	return cmd
}

// endRest ends what a test left running.
func (b bed) endRest(t *testing.T) {
	st, err := readState(stateFile(b.results(), target))
	if err != nil || !st.Process.alive() {
		return
	}
	if err := syscall.Kill(st.Process.PID, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := (kin{mark: st.Run}).end(); err != nil {
		t.Error(err)
	}
}

const countAndWait = "echo run >> runs; echo $$ > pid; while ! test -e go; do sleep 0.02; done; echo $PASSWORD; echo end >> runs"

// A hook outlives the program that started it, is not started twice, and what
// became of it is known.
func TestStarterIsKilled(t *testing.T) {
	b := newBed(t)
	s := b.step(countAndWait)
	s.Hook.Env = []plan.EnvVar{{Name: "PASSWORD", Secret: secretRef}}
	starter := b.startApart(t, s)
	eventually(t, "the hook runs", func() bool { return b.exists("pid") && b.file(t, "pid") != "" })
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = starter.Process.Wait()

	if got := b.look(t); got.State != plan.HookRunning || got.Digest != "sha256:1" {
		t.Errorf("after the starter was killed: got %+v", got)
	}
	if err := b.runner().Run(t.Context(), s, plan.Desired{}); err == nil || !strings.Contains(err.Error(), "it runs already") {
		t.Errorf("started again: got %v", err)
	}
	if err := os.WriteFile(b.agent()+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hook ends", func() bool { return b.look(t).State == plan.HookDone })
	if got, want := b.file(t, "runs"), "run\nend"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := b.output(t), "[redacted]\n"; got != want {
		t.Errorf("output: got %q, want %q", got, want)
	}
}

// A program that is killed before the hook is known to run leaves no hook, or one
// that is known to run.
func TestStarterIsKilledAtAnyTime(t *testing.T) {
	for range 10 {
		b := newBed(t)
		starter := b.startApart(t, b.step(countAndWait))
		if err := starter.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_, _ = starter.Process.Wait()
		if err := os.WriteFile(b.agent()+"/go", nil, 0o644); err != nil {
			t.Fatal(err)
		}
		s := b.step("echo second >> runs")
		eventually(t, "the hook runs or can be run", func() bool {
			return b.runner().Run(t.Context(), s, plan.Desired{}) == nil
		})
		got := b.file(t, "runs")
		if got != "second" && got != "run\nend\nsecond" {
			t.Errorf("got %q", got)
		}
	}
}

// A child that is killed takes its hook along: it did not run, and what is left
// of it ends before it runs again.
func TestChildIsKilled(t *testing.T) {
	b := newBed(t)
	s := b.step("setsid sh -c 'echo $$ > pid; exec sleep 1000' & wait")
	ended := make(chan error, 1)
	go func() { ended <- b.runner().Run(t.Context(), s, plan.Desired{}) }()
	eventually(t, "the hook runs", func() bool { return b.exists("pid") && b.file(t, "pid") != "" })
	st, err := readState(stateFile(b.results(), target))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(st.Process.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("got %v", err)
	}
	if got := b.look(t); got.State != "" {
		t.Errorf("got %+v, want nothing: it did not run", got)
	}
	if b.lives(t, "pid") {
		t.Error("what it started lives still")
	}
}

// What is left of a run whose starter and child were both killed ends before the
// hook runs again.
func TestStarterAndChildAreKilled(t *testing.T) {
	b := newBed(t)
	starter := b.startApart(t, b.step("setsid sh -c 'echo $$ > pid; exec sleep 1000' & wait"))
	eventually(t, "the hook runs", func() bool { return b.exists("pid") && b.file(t, "pid") != "" })
	st, err := readState(stateFile(b.results(), target))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []int{starter.Process.Pid, st.Process.PID} {
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the run is seen to have been cut off", func() bool { return b.look(t).State == "" })
	if err := b.run(t, "true"); err != nil {
		t.Fatal(err)
	}
	if b.lives(t, "pid") {
		t.Error("what was left of it lives still")
	}
}

// Another process may have the number of one that ran a hook.
func TestNumberOfAProcessIsUsedAgain(t *testing.T) {
	me, err := thisProcess()
	if err != nil {
		t.Fatal(err)
	}
	other, reboot := *me, *me
	other.Start--
	reboot.Boot = "another"
	for _, tt := range []struct {
		name string
		p    *process
		want bool
	}{{"the same", me, true}, {"started at another time", &other, false}, {"before a reboot", &reboot, false}, {"none", nil, false}} {
		if got := tt.p.alive(); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
