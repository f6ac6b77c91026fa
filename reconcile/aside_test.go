// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// A loop stands aside after the pass that is under way, does nothing however
// much it is asked, and then looks at what has become of things.
func TestLoopStandsAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(b *bed, _ *reconcile.LoopOptions) {
			b.pull.slow = func(s plan.Step) time.Duration {
				if stepOf(plan.OpCreate, "a")(s) {
					return time.Minute
				}
				return 0
			}
		}
		b := newBed(t, []plan.Resource{instance("a")}, slow)
		b.wait(time.Second)
		var loads []loading
		err := b.loop.Alone(t.Context(), func(context.Context) {
			if state := b.states()["a"]; state != plan.StateRunning {
				t.Errorf("the pass is not over: a is %q", state)
			}
			b.took()
			b.want(instance("a"), instance("b"))
			b.wait(time.Hour)
			if err := b.loop.Ping(t.Context()); err != nil {
				t.Errorf("ping: %v", err)
			}
			var ended []ending
			if loads, ended = b.took(); len(loads) > 0 || len(ended) > 0 {
				t.Errorf("it loaded %v, and passes ended:\n%s", loads, sum(ended))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		b.wait(time.Second)
		if state := b.states()["b"]; state != plan.StateRunning {
			t.Errorf("what was asked for meanwhile is not done: b is %q", state)
		}
	})
}

// What did not begin when its caller gave up never does.
func TestLoopIsNotToStandAsideAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.wait(time.Second)
		never := func(context.Context) { t.Error("it was run") }
		begun, end := make(chan struct{}), make(chan struct{})
		first := make(chan error, 1)
		go func() {
			first <- b.loop.Alone(t.Context(), func(ctx context.Context) {
				close(begun)
				<-ctx.Done() // as the loop ends
				<-end
			})
		}()
		<-begun
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.loop.Alone(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up: %v", err)
		}
		second := make(chan error, 1)
		go func() { second <- b.loop.Alone(t.Context(), never) }()
		synctest.Wait()
		go b.stop()
		b.wait(time.Minute)
		select {
		case <-first:
			t.Error("the loop's end did not wait")
		default:
		}
		close(end)
		if err := <-first; err != nil {
			t.Errorf("it was run: %v", err)
		}
		if err := <-second; err == nil {
			t.Error("a loop that has ended stood aside")
		}
		if err := b.loop.Alone(t.Context(), never); err == nil {
			t.Error("a loop that has ended stood aside")
		}
	})
}
