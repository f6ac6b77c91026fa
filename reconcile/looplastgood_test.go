// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// fatal is a workspace with an error, which says of other resources as well.
func fatal(rs ...plan.Resource) reconcile.Loaded {
	l := reconcile.Loaded{Fatal: true, Desired: desired(rs...), Diagnostics: schema.Diagnostics{{
		Severity: schema.Error, Summary: "unknown field", Detail: "containr", Pos: schema.Pos{File: "a/manifest.yaml", Line: 2, Col: 1},
	}}}
	l.Desired.Revision = "broken"
	return l
}

// breaks has what is loaded from now on be broken.
func (b *bed) breaks(l reconcile.Loaded, err error) {
	b.mu.Lock()
	b.loaded, b.loadErr = l, err
	b.mu.Unlock()
	b.loop.Notify(reconcile.CauseEdit)
}

// mends has the resources wanted, and nothing broken any more.
func (b *bed) mends(rs ...plan.Resource) { b.breaks(reconcile.Loaded{Desired: desired(rs...)}, nil) }

// running are the instances that run.
func (b *bed) running() string {
	var out []string
	for name, state := range b.states() {
		if state == plan.StateRunning {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// What the workspace said before it could not be understood goes on: it is kept
// running, and nothing else is done.
func TestLoopSupervisesWhatWasKnownLast(t *testing.T) {
	tests := []struct {
		name     string
		loaded   reconcile.Loaded
		err      error
		revision string
		errors   []string
	}{
		{"errors in it", fatal(instance("a"), instance("c")), nil, "broken", []string{
			"a/manifest.yaml:2:1: unknown field: containr",
			"workspace.yaml:1:1: the workspace has errors, and what it said before goes on",
		}},
		{"not readable", reconcile.Loaded{}, errors.New("open workspace.yaml: permission denied"), "", []string{
			"load workspace: open workspace.yaml: permission denied",
			"workspace.yaml:1:1: the workspace cannot be read, and what it said before goes on",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, []plan.Resource{instance("a"), instance("b"), instance("old")})
				b.wait(time.Second)
				b.rt.SetKeep(b.object("old").Handle, true)
				b.want(instance("a"), instance("b"))
				b.wait(time.Second)
				b.rt.SetKeep(b.object("old").Handle, false) // nothing asks for it: it is to go
				looked := b.loop.Status().Looked
				b.took()
				b.breaks(tt.loaded, tt.err)
				b.wait(time.Second / 2)
				if _, ended := b.took(); sum(ended) != "failed [edit]" {
					t.Errorf("passes:\n%s", sum(ended))
				}

				// By hand, and by themselves, long before the next try to load.
				b.wait(20 * time.Minute)
				b.took()
				b.rt.Remove(b.object("a").Handle)
				b.rt.Exit(b.object("b").Handle, 1)
				b.loop.Notify(reconcile.CauseRuntime)
				b.wait(2 * time.Second)
				if got := b.running(); got != "a old" {
					t.Errorf("%q run when b has exited and a was removed", got)
				}
				b.wait(30 * time.Second)
				if got := b.running(); got != "a b old" {
					t.Errorf("%q run when time has passed", got)
				}
				_, ended := b.took()
				var changes []string
				for _, e := range ended {
					if e.rec.Result != reconcile.ResultFailed || e.rec.ExitCode != plan.ExitFault || e.rec.Revision != tt.revision ||
						!slices.Equal(e.rec.Errors[:1], tt.errors[:1]) || !slices.Contains(e.rec.Errors, tt.errors[1]) {
						t.Errorf("record %+v", e.rec)
					}
					for _, c := range e.rec.Changes {
						changes = append(changes, string(c.Action)+" "+c.ID.Name)
					}
				}
				if got := strings.Join(changes, ", "); got != "create a, start b" {
					t.Errorf("changes %s", got)
				}
				if last := b.loop.Status(); !last.Looked.Equal(looked) || !slices.Contains(last.Last.Errors, tt.errors[0]) {
					t.Errorf("status %+v", last)
				}

				b.mends(instance("b"), instance("c"))
				b.wait(time.Second)
				_, ended = b.took()
				if got, want := sum(ended), "converged [edit] delete a, create c, delete old"; got != want {
					t.Errorf("passes:\n%s\nwant\n%s", got, want)
				}
				if got := b.running(); got != "b c" {
					t.Errorf("%q run in the end", got)
				}
			})
		})
	}
}

// Looks at the runtime do not put off the next try to load.
func TestLoopTriesToLoadThoughTheRuntimeIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a")})
		b.wait(time.Second)
		b.breaks(reconcile.Loaded{}, errors.New("input/output error"))
		for range 100 {
			b.loop.Notify(reconcile.CauseRuntime)
			b.wait(100 * time.Millisecond)
		}
		b.mu.Lock()
		b.loadErr, b.loaded.Desired = nil, desired(instance("a"), instance("b"))
		b.mu.Unlock()
		b.wait(10 * time.Second) // 1, 2, 4 and 8 seconds
		if got := b.running(); got != "a b" {
			t.Errorf("%q run", got)
		}
	})
}

// A workspace that was never understood has nothing to go on with.
func TestLoopBrokenFromTheStart(t *testing.T) {
	for name, err := range map[string]error{"errors in it": nil, "not readable": errors.New("permission denied")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, []plan.Resource{instance("a"), instance("b")})
				b.wait(time.Second)
				b.stop()
				b.loaded, b.loadErr = fatal(instance("a"), instance("c")), err
				b.rt.Remove(b.object("a").Handle)
				calls := len(b.rt.Journal())
				b.run()
				b.wait(time.Second / 2)
				b.took()
				for range 50 {
					b.loop.Notify(reconcile.CauseRuntime)
					b.wait(10 * time.Millisecond)
				}
				if loads, _ := b.took(); err != nil && len(loads) > 1 {
					t.Errorf("%d loads because of the runtime, with which nothing can be done", len(loads))
				}
				b.wait(time.Hour)
				if n := len(b.rt.Journal()) - calls; n > 0 || b.running() != "b" {
					t.Errorf("%d steps, and %q run", n, b.running())
				}
				if last := b.loop.Status().Last; last.Result != reconcile.ResultFailed {
					t.Errorf("last pass %+v", last)
				}
			})
		})
	}
}

// A pass that is under way when the workspace breaks goes on, with what has to
// be repaired meanwhile, and ends as it would have.
func TestLoopBreaksDuringAPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a"), instance("slow")}, func(b *bed, _ *reconcile.LoopOptions) { b.pull.names = []string{"slow"} })
		b.wait(time.Second)
		b.breaks(fatal(instance("c")), nil)
		b.wait(time.Second)
		b.rt.Remove(b.object("a").Handle)
		b.loop.Notify(reconcile.CauseRuntime)
		b.wait(3 * time.Second)
		if got := b.running(); got != "a" {
			t.Errorf("%q run beside the pull", got)
		}
		b.wait(20 * time.Minute)
		if got := b.running(); got != "a slow" || len(b.pull.wasCut()) > 0 {
			t.Errorf("%q run, %v was cut", got, b.pull.wasCut())
		}
		_, ended := b.took()
		got := slices.Compact(told(ended))
		if diff := cmp.Diff([]string{"failed [edit]", "failed [runtime]", "converged [start] create a, create slow, create acme", "failed [wake]"}, got); diff != "" {
			t.Errorf("passes (-want +got):\n%s", diff)
		}
		b.mends(instance("a"), instance("slow"))
		b.wait(time.Second)
		if _, ended := b.took(); sum(ended) != "unchanged [edit]" {
			t.Errorf("passes:\n%s", sum(ended))
		}
	})
}

// What is to go and has not begun to when the workspace breaks stays until it
// is mended. What is mended meanwhile is part of the pass under way.
func TestLoopBreaksBeforeItPrunes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := network()
		lan.ID.Name, lan.Name = "lan", "acme-lan"
		b := newBed(t, []plan.Resource{instance("a"), instance("b"), lan})
		b.wait(time.Second)
		b.took()
		b.pull.set(func(rt *pulling) {
			rt.slow = func(s plan.Step) time.Duration {
				if s.Op == plan.OpStop || s.Op == plan.OpPrepare {
					return time.Minute
				}
				return 0
			}
		})
		b.want(instance("a"))
		b.wait(time.Second)
		b.breaks(fatal(), nil) // in the middle of the stop of b
		b.wait(2 * time.Minute)
		want := map[string]plan.State{"acme": plan.StateExists, "lan": plan.StateExists, "a": plan.StateRunning, "b": plan.StateExited}
		if diff := cmp.Diff(want, b.states()); diff != "" {
			t.Errorf("objects while it is broken (-want +got):\n%s", diff)
		}
		b.rt.Remove(b.object("a").Handle)
		b.loop.Notify(reconcile.CauseRuntime)
		b.wait(10 * time.Second)
		b.took()
		b.mends(instance("a")) // in the middle of the prepare of a
		b.wait(10 * time.Second)
		if diff := cmp.Diff(map[string]plan.State{"acme": plan.StateExists}, b.states()); diff != "" {
			t.Errorf("objects once it is mended (-want +got):\n%s", diff)
		}
		b.wait(2 * time.Minute)
		_, ended := b.took()
		if got, want := sum(ended), "converged [runtime edit] create a, delete b, delete lan"; got != want {
			t.Errorf("passes:\n%s\nwant\n%s", got, want)
		}
		if got := b.running(); got != "a" || len(b.pull.wasCut()) > 0 {
			t.Errorf("%q run, %v was cut", got, b.pull.wasCut())
		}
	})
}

// With the runtime down as well both are said, and both are tried again.
func TestLoopBrokenWhileTheRuntimeIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a")})
		b.wait(time.Second)
		b.rt.Exit(b.object("a").Handle, 1)
		b.rt.SetDown(true)
		b.breaks(fatal(), nil)
		b.wait(time.Second)
		if errs := strings.Join(b.loop.Status().Last.Errors, "\n"); !strings.Contains(errs, "does not answer") || !strings.Contains(errs, "unknown field") {
			t.Errorf("errors %s", errs)
		}
		b.wait(time.Minute)
		b.rt.SetDown(false)
		b.wait(2 * time.Minute)
		if got := b.running(); got != "a" {
			t.Errorf("%q run when the runtime answers again", got)
		}
	})
}
