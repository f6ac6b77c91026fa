// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// scripted is a Runtime whose steps do what a test says.
type scripted struct {
	reconcile.Runtime
	do func(ctx context.Context, s plan.Step) (plan.Object, error)
}

func (rt scripted) Do(ctx context.Context, s plan.Step, _ plan.Desired) (plan.Object, error) {
	return rt.do(ctx, s)
}

// step is op:name, after others.
func step(id string, after ...string) plan.Step {
	op, name, _ := strings.Cut(id, ":")
	name, handle, _ := strings.Cut(name, "@")
	return plan.Step{ID: id, Op: plan.Op(op), Target: agent(name), Object: handle, After: after}
}

// results is how each step ended, by id.
func results(o reconcile.Outcome) map[string]reconcile.StepState {
	out := map[string]reconcile.StepState{}
	for _, r := range o.Steps {
		out[r.Step.ID] = r.State
	}
	return out
}

func result(o reconcile.Outcome, id string) reconcile.StepResult {
	i := slices.IndexFunc(o.Steps, func(r reconcile.StepResult) bool { return r.Step.ID == id })
	return o.Steps[i]
}

func TestApplyFillsInHandlesAndPorts(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	r := instance("a")
	r.Spec.Container.Network = ""
	r.Spec.Container.Ports = []plan.Port{{HostIP: "127.0.0.1", Container: 80, Protocol: "tcp"}}
	d := desired(r)
	create := step("create:a", "prepare:a")
	create.Name, create.Digest, create.Ports = "acme-a", "v1:x", r.Spec.Container.Ports
	create.Bound = map[string]string{"image:" + testImage: "sha256:a1"}
	record := step("record:a", "create:a")
	record.Record = &plan.Record{ID: r.ID, Kind: plan.RecordPorts, At: testNow}
	p := plan.Plan{Steps: []plan.Step{step("prepare:a"), create, record, step("start:a", "record:a"), step("wait:a", "start:a")}}

	out := reconcile.Apply(t.Context(), rt, mem, p, d, reconcile.ApplyOptions{})
	if err := out.Err(); err != nil {
		t.Fatal(err)
	}
	obj := rt.Things()[0]
	if obj.State != plan.StateRunning {
		t.Errorf("state %s, want running", obj.State)
	}
	for _, id := range []string{"start:a", "wait:a"} {
		if got := result(out, id).Step.Object; got != obj.Handle {
			t.Errorf("%s acted on %q, want %q", id, got, obj.Handle)
		}
	}
	recs, _ := mem.Load()
	want := []plan.Record{{ID: r.ID, Kind: plan.RecordPorts, At: testNow, Data: map[string]string{"80/tcp": fmt.Sprint(obj.Ports[0].HostPort)}}}
	if diff := cmp.Diff(want, recs.Records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if p.Steps[2].Record.Data != nil {
		t.Error("the plan was changed")
	}
}

func TestApplySkipsDependentsOnly(t *testing.T) {
	rt := scripted{do: func(_ context.Context, s plan.Step) (plan.Object, error) {
		if s.Target.Name == "bad" {
			return plan.Object{}, errors.New("no space left")
		}
		return plan.Object{Handle: "h-" + s.Target.Name}, nil
	}}
	p := plan.Plan{Steps: []plan.Step{
		step("create:bad"), step("create:good"), step("start:bad", "create:bad"), step("start:good", "create:good"),
		step("start:user@u", "start:bad", "start:good"), step("start:other@o", "start:good"),
		step("delete:user@v", "start:user@u"),
	}}
	out := reconcile.Apply(t.Context(), rt, newMemory(), p, desired(), reconcile.ApplyOptions{})
	want := map[string]reconcile.StepState{
		"create:bad": reconcile.StepFailed, "create:good": reconcile.StepDone,
		"start:bad": reconcile.StepSkipped, "start:good": reconcile.StepDone,
		"start:user@u": reconcile.StepSkipped, "start:other@o": reconcile.StepDone,
		"delete:user@v": reconcile.StepSkipped,
	}
	if diff := cmp.Diff(want, results(out)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if got, want := fmt.Sprint(out.Err()), "create manifest/bad: no space left"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	if got, want := result(out, "delete:user@v").Detail, "create of manifest/bad failed"; got != want {
		t.Errorf("skipped because %q, want %q", got, want)
	}
	if out.Interrupted {
		t.Error("interrupted")
	}
}

func TestApplyBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acting, peak, waits, waitPeak := 0, 0, 0, 0
		perTarget := map[string]int{}
		lock := make(chan struct{}, 1)
		locked := func(f func()) {
			lock <- struct{}{}
			f()
			<-lock
		}
		rt := scripted{do: func(_ context.Context, s plan.Step) (plan.Object, error) {
			locked(func() {
				perTarget[s.Target.Name]++
				if perTarget[s.Target.Name] > 1 {
					t.Errorf("two steps of %s at once", s.Target)
				}
				if s.Op == plan.OpWait {
					waits++
					waitPeak = max(waitPeak, waits)
				} else {
					acting++
					peak = max(peak, acting)
				}
			})
			time.Sleep(time.Second)
			locked(func() {
				perTarget[s.Target.Name]--
				if s.Op == plan.OpWait {
					waits--
				} else {
					acting--
				}
			})
			return plan.Object{}, nil
		}}
		var p plan.Plan
		for i := range 12 {
			p.Steps = append(p.Steps, step(fmt.Sprintf("stop:a%d@1", i/4)), step(fmt.Sprintf("wait:w%d@1", i)))
			p.Steps[len(p.Steps)-2].ID += fmt.Sprint("#", i)
		}
		start := time.Now()
		out := reconcile.Apply(t.Context(), rt, newMemory(), p, desired(), reconcile.ApplyOptions{Parallel: 3})
		if err := out.Err(); err != nil {
			t.Fatal(err)
		}
		if peak != 3 || waitPeak != 12 {
			t.Errorf("%d steps and %d waits at once, want 3 and 12", peak, waitPeak)
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("12 steps of a second, 3 at once, took %s", took)
		}
	})
}

func TestApplyTakesLongChainsFirst(t *testing.T) {
	var order []string
	rt := scripted{do: func(_ context.Context, s plan.Step) (plan.Object, error) {
		order = append(order, s.ID)
		return plan.Object{Handle: "h"}, nil
	}}
	p := plan.Plan{Steps: []plan.Step{
		step("create:a"), step("create:b"), step("create:c"),
		step("start:b", "create:b"), step("start:d@d", "start:b"),
	}}
	reconcile.Apply(t.Context(), rt, newMemory(), p, desired(), reconcile.ApplyOptions{Parallel: 1})
	want := []string{"create:b", "start:b", "start:d@d", "create:a", "create:c"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestApplyInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		rt := scripted{do: func(ctx context.Context, s plan.Step) (plan.Object, error) {
			select {
			case <-ctx.Done():
				return plan.Object{}, ctx.Err()
			case <-time.After(10 * time.Second):
				return plan.Object{Handle: "h"}, nil
			}
		}}
		p := plan.Plan{Steps: []plan.Step{
			step("create:a"), step("stop:b@b"), step("prepare:c"), step("wait:d@d"),
			step("start:a", "create:a"), step("create:c", "prepare:c"),
		}}
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		start := time.Now()
		out := reconcile.Apply(ctx, rt, newMemory(), p, desired(), reconcile.ApplyOptions{})
		want := map[string]reconcile.StepState{
			"create:a": reconcile.StepDone, "stop:b@b": reconcile.StepDone,
			"prepare:c": reconcile.StepFailed, "wait:d@d": reconcile.StepFailed,
			"start:a": reconcile.StepSkipped, "create:c": reconcile.StepSkipped,
		}
		if diff := cmp.Diff(want, results(out)); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if !out.Interrupted {
			t.Error("not interrupted")
		}
		if got, want := result(out, "prepare:c").Err.Error(), "prepare manifest/c: interrupted"; got != want {
			t.Errorf("prepare: %q, want %q", got, want)
		}
		if got, want := result(out, "start:a").Detail, "interrupted"; got != want {
			t.Errorf("start skipped because %q, want %q", got, want)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("took %s, want until the create and the stop were done", took)
		}
	})
}

func TestApplyDeadlines(t *testing.T) {
	tests := []struct {
		name   string
		step   plan.Step
		cancel time.Duration // 0 = never
		take   time.Duration
		want   time.Duration
		err    string
	}{
		{name: "step", step: step("start:a@a"), take: time.Hour, want: 2 * time.Minute, err: "start manifest/a: not done within 2m0s"},
		{name: "step of a resource with its own", step: step("start:slow@a"), take: time.Hour, want: 5 * time.Minute, err: "start manifest/slow: not done within 5m0s"},
		{name: "stop of one that may take long", step: step("stop:slow@a"), take: time.Hour, want: 6 * time.Minute, err: "stop manifest/slow: not done within 6m0s"},
		{name: "prepare", step: step("prepare:a"), take: 20 * time.Minute, want: 20 * time.Minute},
		{name: "grace", step: step("create:a"), cancel: time.Second, take: time.Hour, want: time.Minute + time.Second, err: "create manifest/a: interrupted, and not done within 1m0s"},
		{name: "no grace", step: step("wait:a@a"), cancel: time.Second, take: time.Hour, want: time.Second, err: "wait manifest/a: interrupted\ninterrupted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, cancel)
				}
				rt := scripted{do: func(ctx context.Context, s plan.Step) (plan.Object, error) {
					select {
					case <-ctx.Done():
						return plan.Object{}, ctx.Err()
					case <-time.After(tt.take):
						return plan.Object{Handle: "h"}, nil
					}
				}}
				slow := instance("slow")
				slow.StartTimeout = 5 * time.Minute
				slow.Spec.Container.StopTimeout = 60
				start := time.Now()
				out := reconcile.Apply(ctx, rt, newMemory(), plan.Plan{Steps: []plan.Step{tt.step}}, desired(slow), reconcile.ApplyOptions{})
				if got := time.Since(start); got != tt.want {
					t.Errorf("took %s, want %s", got, tt.want)
				}
				got := ""
				if err := out.Err(); err != nil {
					got = err.Error()
				}
				if !strings.HasPrefix(got, tt.err) || (tt.err == "") != (got == "") {
					t.Errorf("error %q, want %q", got, tt.err)
				}
			})
		})
	}
}

func TestApplyEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted{do: func(_ context.Context, s plan.Step) (plan.Object, error) {
			time.Sleep(time.Second)
			if s.Op == plan.OpStart {
				return plan.Object{}, errors.New("boom")
			}
			return plan.Object{Handle: "h"}, nil
		}}
		p := plan.Plan{Steps: []plan.Step{step("create:a"), step("start:a", "create:a"), step("wait:a", "start:a")}}
		var got []string
		reconcile.Apply(t.Context(), rt, newMemory(), p, desired(), reconcile.ApplyOptions{Progress: func(e reconcile.Event) {
			got = append(got, fmt.Sprintf("%s %s %s %s", e.State, e.Step.ID, e.Elapsed, e.Detail))
		}})
		want := []string{
			"queued create:a 0s ", "queued start:a 0s ", "queued wait:a 0s ",
			"started create:a 0s ", "done create:a 1s ",
			"started start:a 0s ", "failed start:a 1s start manifest/a: boom",
			"skipped wait:a 0s start of manifest/a failed",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestApplyOfBrokenPlans(t *testing.T) {
	tests := []struct {
		name, want string
		steps      []plan.Step
	}{
		{"missing step", `skipped: the plan never gets to what it comes after: ["create:b"]`, []plan.Step{step("start:a@a", "create:b")}},
		{"cycle", `skipped: the plan never gets to what it comes after: ["start:a@a"]`, []plan.Step{step("start:a@a", "start:a@a")}},
		{"no object", "failed: start manifest/a: the plan names no object and creates none", []plan.Step{step("start:a")}},
		{"no record", "failed: record manifest/a: the plan says nothing to record", []plan.Step{step("record:a")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rt := scripted{do: func(context.Context, plan.Step) (plan.Object, error) { return plan.Object{}, nil }}
			out := reconcile.Apply(t.Context(), rt, newMemory(), plan.Plan{Steps: tt.steps}, desired(), reconcile.ApplyOptions{})
			r := out.Steps[0]
			if got := fmt.Sprintf("%s: %s", r.State, r.Detail); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if out.Interrupted {
				t.Error("interrupted")
			}
		})
	}
}

func TestApplyRecordThatCannotBeWritten(t *testing.T) {
	mem := newMemory()
	mem.putErr = errors.New("no space left on device")
	record := step("record:a")
	record.Record = &plan.Record{ID: agent("a"), Kind: plan.RecordRestarts, Data: map[string]string{"count": "1"}}
	rt := scripted{do: func(_ context.Context, s plan.Step) (plan.Object, error) {
		t.Errorf("%s reached the runtime", s.ID)
		return plan.Object{}, nil
	}}
	p := plan.Plan{Steps: []plan.Step{record, step("start:a@a", "record:a")}}
	out := reconcile.Apply(t.Context(), rt, mem, p, desired(), reconcile.ApplyOptions{})
	want := map[string]reconcile.StepState{"record:a": reconcile.StepFailed, "start:a@a": reconcile.StepSkipped}
	if diff := cmp.Diff(want, results(out)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestApplyNothing(t *testing.T) {
	out := reconcile.Apply(t.Context(), scripted{}, newMemory(), plan.Plan{}, desired(), reconcile.ApplyOptions{})
	if len(out.Steps) != 0 || out.Err() != nil {
		t.Errorf("outcome %+v, want nothing", out)
	}
}
