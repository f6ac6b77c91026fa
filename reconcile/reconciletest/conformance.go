// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"testing"

	"reconcile/reconcile/plan"
)

// conformanceCase is one rule of the contract.
type conformanceCase struct {
	name string
	run  func(t *testing.T, b *bench)
}

var conformanceCases = []conformanceCase{
	{"empty", testEmpty},
	{"container life", testContainerLife},
	{"labels", testLabels},
	{"order", testOrder},
	{"idempotence", testIdempotence},
	{"activate", testActivate},
	{"replace", testReplace},
	{"ports", testPorts},
	{"exit codes", testExitCodes},
	{"stopped by others", testStoppedByOthers},
	{"removed by others", testRemovedByOthers},
	{"paused", testPaused},
	{"wait", testWait},
	{"network", testNetwork},
	{"detached", testDetached},
	{"volume", testVolume},
	{"mount", testMount},
	{"foreign", testForeign},
	{"other workspace", testOtherWorkspace},
	{"wrong target", testWrongTarget},
	{"name taken by another digest", testNameTaken},
	{"missing image", testMissingImage},
	{"missing secret", testMissingSecret},
	{"moved input", testMovedInput},
	{"concurrency", testConcurrency},
	{"cancelled", testCancelled},
	{"install", testInstall},
	{"install again", testInstallAgain},
	{"install fails", testInstallFails},
	{"exec", testExec},
	{"host hook", testHostHook},
	{"readiness", testReadiness},
	{"liveness", testLiveness},
	{"run life", testRunLife},
	{"run vanishes", testRunVanishes},
	{"run outcome", testRunOutcome},
	{"run outcome outlives the container", testRunOutcomeStays},
	{"run log outlives the container", testRunLog},
	{"run files", testRunFiles},
	{"run secret files", testRunSecretFiles},
}

// testEmpty: nothing exists, nothing is foreign, and the image is a known fact.
func testEmpty(t *testing.T, b *bench) {
	b.container("a", nil)
	o := b.observe(t)
	if len(o.Objects) != 0 || len(o.Foreign) != 0 {
		t.Fatalf("objects %v, foreign %v; want none", o.Objects, o.Foreign)
	}
	fact := o.Inputs[plan.Input{Kind: plan.InputImage, Name: b.Image}]
	if fact.State != plan.FactKnown || fact.Value == "" || !fact.Local {
		t.Errorf("fact of the local image: %+v; want known, local, with a value", fact)
	}
	if b.Runtime.Capabilities().Name == "" {
		t.Error("the runtime has no name")
	}
}

// testContainerLife: create, start, stop, delete, and the states between.
func testContainerLife(t *testing.T, b *bench) {
	id := b.container("a", nil)
	obj := b.made(t, id)
	if obj.Handle == "" || obj.ID != id || obj.State != plan.StateCreated {
		t.Fatalf("created %+v; want a handle, the id, state created", obj)
	}
	got := b.seen(t, obj.Handle)
	if got.State != plan.StateCreated || !got.Started.IsZero() || got.Created.IsZero() {
		t.Errorf("after create: state %s, started %v, created %v", got.State, got.Started, got.Created)
	}

	b.do(t, on(plan.OpStart, obj))
	b.do(t, on(plan.OpWait, obj))
	got = b.seen(t, obj.Handle)
	if got.State != plan.StateRunning || got.Started.IsZero() || !got.Finished.IsZero() {
		t.Errorf("after start: state %s, started %v, finished %v", got.State, got.Started, got.Finished)
	}
	if len(got.Drift) != 0 {
		t.Errorf("after start: drift %v, want none", got.Drift)
	}

	b.do(t, on(plan.OpStop, obj))
	got = b.seen(t, obj.Handle)
	if got.State != plan.StateExited || got.Finished.IsZero() {
		t.Errorf("after stop: state %s, finished %v", got.State, got.Finished)
	}

	b.do(t, on(plan.OpStart, obj))
	again := b.seen(t, obj.Handle)
	if again.State != plan.StateRunning || !again.Finished.IsZero() || again.Started.Before(got.Finished) {
		t.Errorf("after the second start: state %s, started %v, finished %v; stopped before at %v",
			again.State, again.Started, again.Finished, got.Finished)
	}

	b.do(t, on(plan.OpStop, obj))
	b.do(t, on(plan.OpDelete, obj))
	if left := b.observe(t).Objects; len(left) != 0 {
		t.Errorf("after delete: %v, want nothing", left)
	}
}

// testIdempotence: a step that is already done succeeds and changes nothing.
func testIdempotence(t *testing.T, b *bench) {
	id := b.container("a", nil)
	prepare := plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id}
	b.do(t, prepare)
	b.do(t, prepare)

	create := b.createStep(b.observe(t), id)
	obj := b.do(t, create)
	if again := b.do(t, create); again.Handle != obj.Handle {
		t.Errorf("second create made %s beside %s", again.Handle, obj.Handle)
	}
	b.do(t, on(plan.OpActivate, obj))

	b.do(t, on(plan.OpStart, obj))
	first := b.seen(t, obj.Handle)
	b.do(t, on(plan.OpStart, obj))
	if again := b.seen(t, obj.Handle); !again.Started.Equal(first.Started) {
		t.Errorf("second start moved the start from %v to %v", first.Started, again.Started)
	}
	b.do(t, on(plan.OpWait, obj))
	b.do(t, on(plan.OpWait, obj))
	if n := len(b.observe(t).Objects); n != 1 {
		t.Errorf("%d objects, want 1", n)
	}

	for _, op := range []plan.Op{plan.OpStop, plan.OpStop, plan.OpDelete, plan.OpDelete, plan.OpStop} {
		b.do(t, on(op, obj))
	}
}

// testRemovedByOthers: what is gone is no longer observed, is done with as far
// as stop and delete go, and cannot be started.
func testRemovedByOthers(t *testing.T, b *bench) {
	obj := b.running(t, b.container("a", nil))
	b.Remove(t, obj.Handle)
	if left := b.observe(t).Objects; len(left) != 0 {
		t.Errorf("objects %v, want none", left)
	}
	b.do(t, on(plan.OpStop, obj))
	b.do(t, on(plan.OpDelete, obj))
	b.refuse(t, on(plan.OpStart, obj), "")
	b.refuse(t, on(plan.OpActivate, obj), "")
	b.refuse(t, on(plan.OpWait, obj), "")
}

// testStoppedByOthers: an object that ended is exited, which is a state and
// not drift.
func testStoppedByOthers(t *testing.T, b *bench) {
	obj := b.running(t, b.container("a", nil))
	b.Stop(t, obj.Handle)
	got := b.eventually(t, obj.Handle, plan.StateExited)
	if got.Finished.IsZero() || len(got.Drift) != 0 {
		t.Errorf("finished %v, drift %v; want a time and no drift", got.Finished, got.Drift)
	}
}

// testExitCodes: the code of a process that ended by itself is observed.
func testExitCodes(t *testing.T, b *bench) {
	if b.Exit == nil {
		t.Log("the image has no process that exits")
		return
	}
	for name, code := range map[string]int{"zero": 0, "seven": 7} {
		id := b.container(name, func(c *plan.ContainerSpec) { c.Main = b.Exit(code) })
		obj := b.made(t, id)
		b.do(t, on(plan.OpStart, obj))
		got := b.eventually(t, obj.Handle, plan.StateExited)
		if got.ExitCode != code || got.Started.IsZero() || got.Finished.IsZero() {
			t.Errorf("%s: code %d, started %v, finished %v; want code %d and both times", name, got.ExitCode, got.Started, got.Finished, code)
		}
	}
}

// testPaused: a paused container is paused, and start resumes it.
func testPaused(t *testing.T, b *bench) {
	if b.Pause == nil {
		t.Log("nothing can be paused here")
		return
	}
	obj := b.running(t, b.container("a", nil))
	b.Pause(t, obj.Handle)
	if got := b.seen(t, obj.Handle); got.State != plan.StatePaused {
		t.Fatalf("state %s, want paused", got.State)
	}
	b.do(t, on(plan.OpStart, obj))
	if got := b.seen(t, obj.Handle); got.State != plan.StateRunning {
		t.Errorf("after start: state %s, want running", got.State)
	}
	b.Pause(t, obj.Handle)
	b.do(t, on(plan.OpStop, obj))
	if got := b.seen(t, obj.Handle); got.State != plan.StateExited {
		t.Errorf("after stop: state %s, want exited", got.State)
	}
}
