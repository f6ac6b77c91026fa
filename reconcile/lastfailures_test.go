// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

func TestKeepFailures(t *testing.T) {
	dir := t.TempDir()
	store, err := reconcile.OpenStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := taskAgent("a"), taskAgent("b"), taskAgent("c")
	step := func(r plan.Resource, err error) reconcile.StepResult {
		res := reconcile.StepResult{Step: plan.Step{Op: plan.OpPrepare, Target: r.ID}, State: reconcile.StepDone}
		if err != nil {
			res.State, res.Err = reconcile.StepFailed, err
		}
		return res
	}
	check := func(when string, want ...string) {
		t.Helper()
		archive, err := reconcile.OpenArchive(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range archive.Failures() {
			if !f.Until.IsZero() || f.At.IsZero() || f.Digest != a.Spec.Digest() {
				t.Errorf("%s: %+v", when, f)
			}
			got = append(got, f.ID.Name+": "+f.Detail)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	keep := func(d plan.Desired, steps ...reconcile.StepResult) {
		t.Helper()
		if err := store.KeepFailures(d, reconcile.Outcome{Steps: steps}); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "cache", "failures.json")
	keep(desired(a, b, c), step(a, nil))
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a file of no failure: %v", err)
	}
	keep(desired(a, b, c), step(a, errors.New("pull\n  denied")), step(b, errors.New("no space")), step(c, nil))
	check("at first", "a: pull; denied", "b: no space")
	keep(desired(a, b, c), step(b, nil))
	check("after another pass", "a: pull; denied")
	keep(desired(b, c), step(c, errors.New("again")))
	check("without it", "c: again")
	keep(desired(a, b, c), step(c, nil))
	check("at last")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a file of no failure any more: %v", err)
	}
	if err := os.WriteFile(file, []byte(`[{"ID": "taskagent/a", "Until`), 0o600); err != nil {
		t.Fatal(err)
	}
	check("from a damaged file")
}

// TestLastTry: what failed is told of what is asked for still and is not as it should
// be, once.
func TestLastTry(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	converge(t, rt, mem, desired(taskAgent("fine")))
	edited := taskAgent("edited")
	d := desired(taskAgent("fine"), taskAgent("failed"), edited)
	o, err := reconcile.Observe(t.Context(), rt, mem, d)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fine", "failed", "edited"} {
		b := plan.Backoff{ID: taskAgent(name).ID, Digest: edited.Spec.Digest(), At: testNow, Detail: "pull: denied"}
		if name == "edited" {
			b.Digest = "v1:another"
		}
		o.Backoff = append(o.Backoff, b)
	}
	got := map[string]bool{}
	for _, held := range []bool{false, true} {
		if held {
			for i := range o.Backoff {
				o.Backoff[i].Until = testNow.Add(1)
			}
		}
		p := plan.New(d, o, plan.Options{Now: testNow})
		for _, st := range reconcile.Summarize(d, o, p) {
			n := 0
			for _, r := range st.Reasons {
				if strings.Contains(r.Text, "pull: denied") {
					n++
				}
			}
			if n > 1 {
				t.Errorf("%s: told %d times: %v", st.ID, n, st.Reasons)
			}
			got[st.ID.String()] = n == 1
		}
		want := map[string]bool{"network/acme": false, "taskagent/fine": false, "taskagent/failed": true, "taskagent/edited": false}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("held %t (-want +got):\n%s", held, diff)
		}
	}
}
