// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// group runs the parts of a daemon. The first that fails ends all of them.
type group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	parts  sync.WaitGroup
}

func newGroup(ctx context.Context) *group {
	g := &group{}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g
}

// run starts a part, which returns when the group's context ends.
func (g *group) run(what string, part func(context.Context) error) {
	g.parts.Go(func() {
		if err := part(g.ctx); err != nil && g.ctx.Err() == nil {
			g.cancel(fmt.Errorf("%s: %w", what, err))
		}
	})
}

// end ends all parts and waits for them.
func (g *group) end() {
	g.cancel(context.Canceled)
	g.parts.Wait()
}

// failure is why a part ended everything; nil when it was told to end.
func (g *group) failure() error {
	if err := context.Cause(g.ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
