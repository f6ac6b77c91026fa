// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// newRunBed is a loop that hears of what happens in the runtime.
func newRunBed(t *testing.T, rs []plan.Resource, edits ...func(*bed, *reconcile.LoopOptions)) *bed {
	t.Helper()
	b := newBed(t, rs, edits...)
	b.listen()
	return b
}

func (b *bed) listen() {
	loop := b.loop
	b.rt.OnChange(func() { loop.Notify(reconcile.CauseRuntime) })
}

// status is that of a resource as of the last look.
func (b *bed) taskStatus(id plan.ID) reconcile.Status {
	b.t.Helper()
	synctest.Wait()
	return statusOf(b.t, b.loop.Status().Statuses, id)
}

// ask records what somebody asked for with a command, and tells the loop.
func (b *bed) ask(id plan.ID, key string, data map[string]string) {
	b.t.Helper()
	r := plan.Record{ID: id, Kind: plan.RecordWish, Key: key, At: time.Now(), Data: data}
	if err := b.mem.Put(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
	b.loop.Notify(reconcile.CauseCommand)
	b.wait(time.Second)
}

// told lists the phases that the history tells of the runs of a name, those that
// were started and ended in one pass once.
func (b *bed) told(name string) []string {
	var out []string
	for _, rec := range b.mem.history {
		for _, r := range rec.Runs {
			if r.Name == name {
				out = append(out, string(r.Phase))
			}
		}
	}
	return slices.Compact(out)
}

// runsOf lists how the runs of a resource went, newest first.
func (b *bed) runsOf(id plan.ID) []string {
	b.t.Helper()
	var out []string
	for _, r := range b.taskStatus(id).Runs {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Run, r.Phase, r.Reason)))
	}
	return out
}

func (b *bed) wantRuns(id plan.ID, want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.runsOf(id)); diff != "" {
		b.t.Errorf("runs of %s (-want +got):\n%s", id, diff)
	}
}

func TestLoopQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20
		var rs []plan.Resource
		for i := range n {
			r := task(fmt.Sprintf("t%02d", i), "for", "10s", "0")
			r.Run.Group, r.Run.Max = "agent/default", 2
			rs = append(rs, r)
		}
		var mu sync.Mutex
		most, began := 0, time.Now()
		var order []string
		b := newRunBed(t, rs, func(b *bed, _ *reconcile.LoopOptions) {
			b.rt.Hook(nil, func(_ int, s plan.Step) error {
				if s.Op != plan.OpStart {
					return nil
				}
				up := 0
				for _, o := range b.rt.Things() {
					if o.State == plan.StateRunning {
						up++
					}
				}
				mu.Lock()
				defer mu.Unlock()
				most = max(most, up)
				order = append(order, s.RunName)
				return nil
			})
		})
		b.wait(time.Second)
		if st := b.taskStatus(taskID("t05")); st.State != "Queued" || st.PhaseReason == "" || !st.InSync || st.Runs[0].Queued.IsZero() {
			t.Errorf("t05: %s, %q, in sync %t", st.State, st.PhaseReason, st.InSync)
		}
		for time.Since(began) < 10*time.Minute && b.taskStatus(taskID("t19")).State != "Completed" {
			b.wait(time.Second)
		}
		if took := time.Since(began); took > n/2*15*time.Second {
			t.Errorf("%d runs of 10s, two at a time, took %s", n, took)
		}
		if most != 2 {
			t.Errorf("%d runs at once, want 2", most)
		}
		if len(order) != n || !slices.IsSortedFunc(order, func(x, y string) int { return strings.Compare(x[:2], y[:2]) }) {
			t.Errorf("started %v", order)
		}
		for i := 2; i < len(order); i++ { // two that end together are started together
			if order[i] < order[i-2] {
				t.Errorf("not first come first served: %v", order)
			}
		}
	})
}

// What ends at once is no flapping, however much of it there is.
func TestLoopQueueOfShortRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 30
		var rs []plan.Resource
		for i := range n {
			r := task(fmt.Sprintf("t%02d", i), "exit", "0")
			r.Run.Group, r.Run.Max = "agent/default", 1
			rs = append(rs, r)
		}
		b := newRunBed(t, rs)
		b.wait(n * 2 * time.Second)
		if st := b.taskStatus(taskID("t29")); st.State != "Completed" {
			t.Errorf("the last is %s after %s", st.State, n*2*time.Second)
		}
		if got := starts(b.rt); len(got) != n {
			t.Errorf("starts %v", got)
		}
	})
}

// What may be run by now takes the place of what is only being prepared, and does
// not go on beside it.
func TestLoopQueueWhileRunsArePrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := task("a", "for", "30s", "0"), task("b", "for", "30s", "0")
		first.Spec.Container.SecretFiles = []plan.SecretFile{{Ref: "secret:key", Target: "/run/key", Mode: 0o400}}
		first.Run.Group, first.Run.Max, second.Run.Group, second.Run.Max = "agent/default", 1, "agent/default", 1
		b := newRunBed(t, []plan.Resource{first, second}, func(b *bed, _ *reconcile.LoopOptions) {
			b.pull.slow = func(s plan.Step) time.Duration {
				if s.Op == plan.OpPrepare {
					return 10 * time.Second
				}
				return 0
			}
		})
		b.wait(5 * time.Second)
		b.rt.SetSecret("secret:key", "v")
		for range 120 {
			b.wait(time.Second)
			if up := b.states(); up["task-a"] == plan.StateRunning && up["task-b"] == plan.StateRunning {
				t.Fatal("two runs go on at once, where one may")
			}
		}
		b.wantRuns(taskID("a"), keyOf("1")+" Completed")
		b.wantRuns(taskID("b"), keyOf("1")+" Completed")
	})
}

func TestLoopPendingHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := task("a", "exit", "0")
		r.Spec.Container.SecretFiles = []plan.SecretFile{{Ref: "secret:key", Target: "/run/key", Mode: 0o400}}
		b := newRunBed(t, []plan.Resource{r, task("b", "exit", "0")})
		b.wait(time.Minute)
		st := b.taskStatus(taskID("a"))
		if st.State != "Pending" || !strings.Contains(st.PhaseReason, "key") || st.InSync || len(st.Runs) != 0 || len(containers(b.rt, taskID("a"))) != 0 {
			t.Errorf("status %+v", st)
		}
		if st := b.taskStatus(taskID("b")); st.State != "Completed" {
			t.Errorf("b is %s", st.State)
		}
		b.rt.SetSecret("secret:key", "v")
		b.wait(2 * time.Second)
		b.wantRuns(taskID("a"), keyOf("1")+" Completed")

		// Another value of the secret is said, and does not run it again.
		b.rt.SetSecret("secret:key", "w")
		b.wait(time.Minute)
		st = b.taskStatus(taskID("a"))
		said := slices.ContainsFunc(st.Reasons, func(r plan.Reason) bool { return r.Code == plan.CodeInputs })
		if st.State != "Completed" || !said || !st.InSync || starts(b.rt)["a "+keyOf("1")] != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestLoopStopsAndRerunsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		b := newRunBed(t, []plan.Resource{a})
		b.wait(time.Second)
		b.wantRuns(taskID("a"), keyOf("1")+" Running")
		b.ask(taskID("a"), plan.WishStop, map[string]string{"wanted": "true"})
		b.wait(time.Hour)
		b.wantRuns(taskID("a"), keyOf("1")+" Failed stopped")

		b.ask(taskID("a"), plan.WishRerun, nil)
		b.wait(time.Second)
		b.wantRuns(taskID("a"), keyOf("1")+".2 Running", keyOf("1")+" Failed stopped")
		names := map[string]plan.State{}
		for _, o := range containers(b.rt, taskID("a")) {
			names[o.Name] = o.State
		}
		want := map[string]plan.State{"acme-task-a": plan.StateExited, "acme-task-a-2": plan.StateRunning}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("containers (-want +got):\n%s", diff)
		}
		if st := b.taskStatus(taskID("a")); st.Name != "acme-task-a-2" || st.State != "Running" || st.Handle == "" {
			t.Errorf("status %+v", st)
		}

		// An edit runs it again, once the run has ended.
		edited := task("a", "exit", "0")
		edited.Run.Key = keyOf("2")
		b.want(edited)
		b.wait(time.Minute)
		b.wantRuns(taskID("a"), keyOf("1")+".2 Running", keyOf("1")+" Failed stopped")
		b.rt.EndRun(b.object("task-a-2").Handle, 4)
		b.wait(2 * time.Second)
		b.wantRuns(taskID("a"), keyOf("2")+" Completed", keyOf("1")+".2 Failed exit", keyOf("1")+" Failed stopped")

		// What ran before is not run again.
		b.want(a)
		b.wait(time.Hour)
		if n := len(b.runsOf(taskID("a"))); n != 3 {
			t.Errorf("%d runs after it was put back, want 3", n)
		}
	})
}

func TestLoopSeesRunsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, kept, gone := task("late"), task("kept", "for", "5s", "6"), task("gone")
		late.Spec.Container.Task.Timeout = 5000
		kept.Spec.Container.Task.KeepAlive = time.Hour.Milliseconds()
		b := newRunBed(t, []plan.Resource{late, kept, gone})
		b.wait(2 * time.Second)
		b.rt.Remove(b.object("task-gone").Handle)
		b.wait(10 * time.Second)
		b.wantRuns(taskID("late"), keyOf("1")+" Failed timeout")
		b.wantRuns(taskID("kept"), keyOf("1")+" Failed exit")
		b.wantRuns(taskID("gone"), keyOf("1")+" Failed vanished")
		st := b.taskStatus(taskID("kept"))
		if st.Actual != "running" || *st.ExitCode != 6 || st.Finished.IsZero() || !st.InSync {
			t.Errorf("kept alive: %+v", st)
		}
		b.wait(2 * time.Hour)
		if st := b.taskStatus(taskID("kept")); st.Actual != "exited" || st.State != "Failed" || *st.ExitCode != 6 {
			t.Errorf("after its time: %+v", st)
		}
		want := map[string]int{"late " + keyOf("1"): 1, "kept " + keyOf("1"): 1, "gone " + keyOf("1"): 1}
		if diff := cmp.Diff(want, starts(b.rt)); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
		began, ended := map[string]int{}, map[string]string{}
		for _, rec := range b.mem.history {
			for _, r := range rec.Runs {
				if r.Phase == plan.RunRunning {
					began[r.Name]++
					continue
				}
				if ended[r.Name] != "" {
					t.Errorf("%s ended twice", r.Name)
				}
				ended[r.Name] = r.Reason
			}
		}
		if diff := cmp.Diff(map[string]string{"late": "timeout", "kept": "exit", "gone": "vanished"}, ended); diff != "" || len(began) != 3 {
			t.Errorf("history: began %v, ended (-want +got):\n%s", began, diff)
		}
	})
}

func TestLoopGoesOnWithRunsOfAnotherLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRunBed(t, []plan.Resource{task("a", "for", "10s", "5"), task("b", "for", "1m", "0")})
		b.wait(2 * time.Second)
		b.stop()
		b.rt.OnChange(nil)
		b.wait(30 * time.Second) // a ends, and nobody looks
		b.run()
		b.listen()
		b.wait(2 * time.Second)
		b.wantRuns(taskID("a"), keyOf("1")+" Failed exit")
		b.wantRuns(taskID("b"), keyOf("1")+" Running")
		if st := b.taskStatus(taskID("a")); st.Finished.Sub(st.Started) > 15*time.Second {
			t.Errorf("a took %s", st.Finished.Sub(st.Started))
		}
		b.wait(time.Minute)
		b.wantRuns(taskID("b"), keyOf("1")+" Completed")
		if diff := cmp.Diff(map[string]int{"a " + keyOf("1"): 1, "b " + keyOf("1"): 1}, starts(b.rt)); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
	})
}

func TestLoopRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b0 := task("a", "exit", "0"), task("b", "exit", "0")
		a.Run.TTL = time.Hour
		b := newRunBed(t, []plan.Resource{a, b0}, func(_ *bed, o *reconcile.LoopOptions) { o.Interval = 240 * time.Hour })
		b.wait(59 * time.Minute)
		if n := len(b.rt.RunFolders()); n != 2 {
			t.Errorf("%d folders, want 2: %v", n, b.rt.RunFolders())
		}
		b.wait(2 * time.Minute)
		if got := b.rt.RunFolders(); len(got) != 1 || !strings.Contains(got[0], "/b/") || len(containers(b.rt, taskID("a"))) != 0 {
			t.Errorf("after an hour: %v, %v", got, containers(b.rt, taskID("a")))
		}
		b.wait(48 * time.Hour)
		b.wantRuns(taskID("a"), keyOf("1")+" Completed")
		if got := b.told("a"); !slices.Equal(got, []string{"Running", "Completed"}) {
			t.Errorf("history of a: %v", got)
		}
		if st := b.taskStatus(taskID("a")); st.Runs[0].Kept || st.Actual != reconcile.Absent || !st.InSync || *st.ExitCode != 0 {
			t.Errorf("status %+v", st)
		}
		if diff := cmp.Diff(map[string]int{"a " + keyOf("1"): 1, "b " + keyOf("1"): 1}, starts(b.rt)); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}

		// Nothing asks for it any more: it goes, and is not run when it comes back.
		b.want(a)
		b.wait(2 * time.Second)
		if got := b.rt.RunFolders(); len(got) != 0 {
			t.Errorf("folders %v, want none", got)
		}
		b.want(a, b0)
		b.wait(time.Hour)
		b.wantRuns(taskID("b"), keyOf("1")+" Completed")
	})
}

func TestLoopSupersedesWhileRunsArePrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRunBed(t, []plan.Resource{task("a"), task("b")}, func(b *bed, _ *reconcile.LoopOptions) {
			b.pull.names = []string{"a", "b"}
		})
		b.wait(time.Minute)
		if len(containers(b.rt, taskID("a"))) != 0 {
			t.Fatal("a is there before it is prepared")
		}
		edited := task("a", "exit", "0")
		edited.Run.Key = keyOf("2")
		b.want(edited)
		b.wait(time.Second)
		b.pull.mu.Lock()
		cut := slices.Sorted(slices.Values(b.pull.cut))
		b.pull.mu.Unlock()
		if diff := cmp.Diff([]string{"a", "b"}, cut); diff != "" {
			t.Errorf("prepares that were cancelled (-want +got):\n%s", diff)
		}
		b.wait(20 * time.Minute)
		b.wantRuns(taskID("a"), keyOf("2")+" Completed")
		if diff := cmp.Diff(map[string]int{"a " + keyOf("2"): 1}, starts(b.rt)); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
	})
}

var errNoImage = &plan.ImageError{Err: errors.New("no such manifest")}

func TestLoopGivesUpWithoutAnImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prepares := 0
		broken := true
		b := newRunBed(t, []plan.Resource{task("a", "exit", "0"), task("slow")}, func(b *bed, _ *reconcile.LoopOptions) {
			b.pull.names = []string{"slow"}
			b.rt.Hook(func(_ int, s plan.Step) error {
				if s.Op == plan.OpPrepare && s.Target == taskID("a") {
					if prepares++; broken {
						return fmt.Errorf("pull: %w", errNoImage)
					}
				}
				return nil
			}, nil)
		})
		b.wait(500 * time.Millisecond)
		if got := runRecord(t, b.mem, taskID("a"), keyOf("1")); got.Phase != plan.RunFailed || got.Reason != plan.FailedImage {
			t.Errorf("record %+v", got)
		}
		b.wait(time.Hour)
		b.wantRuns(taskID("a"), keyOf("1")+" Failed image")
		if prepares != 1 {
			t.Errorf("prepared %d times, want once", prepares)
		}
		told := slices.ContainsFunc(b.mem.history, func(r reconcile.PassRecord) bool {
			return slices.ContainsFunc(r.Errors, func(s string) bool { return strings.Contains(s, "no such manifest") }) && r.ExitCode == 1
		})
		if !told {
			t.Errorf("history does not say why: %+v", b.mem.history)
		}
		broken = false
		b.ask(taskID("a"), plan.WishRerun, nil)
		b.wait(2 * time.Second)
		if got := b.runsOf(taskID("a"))[0]; !strings.HasSuffix(got, " Completed") {
			t.Errorf("asked for again: %s", got)
		}
	})
}
