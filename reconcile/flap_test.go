// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// meddling has do done to what a step made, and the loop hears of it, as of
// every change on a real host.
func meddling(match func(plan.Step) bool, do func(b *bed, handle string)) func(*bed, *reconcile.LoopOptions) {
	return func(b *bed, _ *reconcile.LoopOptions) {
		b.rt.Hook(nil, func(_ int, s plan.Step) error {
			if match(s) {
				do(b, b.object(s.Target.Name).Handle)
			}
			b.loop.Notify(reconcile.CauseRuntime)
			return nil
		})
	}
}

// What is taken back pass after pass is named, with why, and done again later
// and later; when it settles nothing is said any more.
func TestLoopNamesWhatDoesNotSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swap := func(b *bed, handle string) { b.rt.SwapImage(handle, "sha256:somebody-elses") }
		b := newBed(t, []plan.Resource{instance("a"), instance("b")}, meddling(stepOf(plan.OpStart, "a"), swap))
		b.wait(time.Hour)
		made := 0
		for _, s := range b.rt.Journal() {
			if stepOf(plan.OpCreate, "a")(s) {
				made++
			}
		}
		if made < 4 || made > 40 {
			t.Errorf("a was made %d times in an hour", made)
		}
		_, ended := b.took()
		for i, e := range ended {
			for _, u := range e.res.Unsettled {
				if u.ID != agent("a") || i == 0 {
					t.Errorf("pass %d: %s", i+1, u)
				}
			}
		}
		last := ended[len(ended)-1]
		if len(last.res.Unsettled) != 1 || !slices.Equal(last.res.Unsettled[0].Actions, []plan.Action{plan.ActionReplace}) {
			t.Fatalf("the last pass says %v", last.res.Unsettled)
		}
		const want = "a/manifest.yaml:1:1: manifest/a does not settle (replace again): runs image "
		named := func(text string) bool { return strings.HasPrefix(text, want) }
		if !slices.ContainsFunc(last.rec.Errors, named) {
			t.Errorf("the record has the errors %q, want one that begins with %q", last.rec.Errors, want)
		}

		b.rt.Hook(nil, nil)
		b.loop.Notify(reconcile.CauseCommand)
		b.wait(10 * time.Minute)
		_, ended = b.took()
		if last := ended[len(ended)-1]; len(last.res.Unsettled) != 0 || len(last.rec.Errors) != 0 {
			t.Errorf("the last pass says %v %q", last.res.Unsettled, last.rec.Errors)
		}
	})
}

// What is taken back once is no more than drift, and an instance that exits
// again and again is a crash loop, which says so itself.
func TestLoopCallsNothingElseUnsettled(t *testing.T) {
	once := true
	for name, edit := range map[string]func(*bed, *reconcile.LoopOptions){
		"drift once": meddling(func(s plan.Step) bool {
			is := once && stepOf(plan.OpStart, "a")(s)
			once = once && !is
			return is
		}, func(b *bed, handle string) { b.rt.SwapImage(handle, "sha256:somebody-elses") }),
		"crash loop": meddling(stepOf(plan.OpStart, "a"), func(b *bed, handle string) { b.rt.Exit(handle, 1) }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, []plan.Resource{instance("a")}, edit)
				b.wait(time.Hour)
				_, ended := b.took()
				for i, e := range ended {
					if len(e.res.Unsettled) > 0 {
						t.Fatalf("pass %d of %d says %v", i+1, len(ended), e.res.Unsettled)
					}
				}
			})
		})
	}
}
