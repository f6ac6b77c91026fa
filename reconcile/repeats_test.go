// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// numbered is an instance with a value that differs each time.
func numbered(name string, n int) plan.Resource {
	r := instance(name)
	r.Spec.Container.Env = []plan.EnvVar{{Name: "N", Value: fmt.Sprint(n)}}
	return r
}

// made counts how often an instance was created.
func (b *bed) made(name string) int {
	n := 0
	for _, s := range b.rt.Journal() {
		if stepOf(plan.OpCreate, name)(s) {
			n++
		}
	}
	return n
}

// An agent that changes what it is made from whenever it starts is an edit of the
// workspace each time. It is named, made later and later, and holds nobody up; an
// edit of something else is done at once.
func TestLoopNamesWhoEditsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		writes := func(b *bed, _ *reconcile.LoopOptions) {
			b.rt.Hook(nil, func(_ int, s plan.Step) error {
				if stepOf(plan.OpStart, "a")(s) {
					n++
					b.want(numbered("a", n), instance("b"))
				}
				return nil
			})
		}
		b := newBed(t, []plan.Resource{numbered("a", 0), instance("b")}, writes, func(_ *bed, o *reconcile.LoopOptions) {
			o.Settle = 300 * time.Millisecond
		})
		b.wait(time.Hour)
		if made := b.made("a"); made < 30 || made > 120 {
			t.Errorf("a was made %d times in an hour", made)
		}
		if made := b.made("b"); made != 1 {
			t.Errorf("b was made %d times", made)
		}
		_, ended := b.took()
		const want = "a/manifest.yaml:1:1: manifest/a does not settle (replace again): the spec differs in env.N"
		if !slices.ContainsFunc(ended, func(e ending) bool { return slices.Contains(e.rec.Errors, want) }) {
			t.Errorf("no record has the error %q; the last has %q", want, ended[len(ended)-1].rec.Errors)
		}

		b.rt.Hook(nil, nil)
		mended := numbered("a", n)
		mended.Spec.Container.WorkDir = "/elsewhere"
		before := b.made("a")
		b.want(mended, instance("b"))
		b.wait(time.Second)
		if made := b.made("a"); made != before+1 {
			t.Errorf("the edit that mends it was done %d times", made-before)
		}
		b.wait(time.Hour)
		_, ended = b.took()
		if last := ended[len(ended)-1]; len(last.res.Unsettled) > 0 || last.rec.ExitCode != plan.ExitDone {
			t.Errorf("the last pass says %v", last.rec.Errors)
		}
	})
}

// Somebody who edits an agent now and then, or once many times, is not made to wait.
func TestLoopLetsPeopleEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{numbered("a", 0)})
		b.wait(time.Minute)
		for n := range 50 {
			pause := 10 * time.Second
			if n%10 < 4 {
				pause = 2 * time.Second
			}
			before := b.made("a")
			b.want(numbered("a", n+1))
			b.wait(pause)
			if made := b.made("a"); made != before+1 {
				t.Errorf("edit %d: a was made %d times", n, made-before)
			}
		}
		_, ended := b.took()
		for _, text := range told(ended) {
			if strings.Contains(text, "failed") {
				t.Error(text)
			}
		}
	})
}
