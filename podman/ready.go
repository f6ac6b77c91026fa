// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containers/podman/v5/libpod/define"

	"reconcile/reconcile/plan"
)

// exitPoll is how often a wait for readiness looks whether the container still
// runs. What its probe says comes by itself.
const exitPoll = time.Second

// gate is what a wait for readiness looks at; its zero value is open.
type gate struct {
	r           *Runtime
	key, handle string
	script      string
}

// gateOf is the gate of a container that is waited for.
func (r *Runtime) gateOf(s plan.Step, d plan.Desired, c *define.InspectContainerData) gate {
	i := slices.IndexFunc(d.Resources, func(res plan.Resource) bool { return res.ID.Compare(s.Target) == 0 })
	key := c.Config.Labels[labelChannel]
	if s.Until == plan.UntilFinished || i < 0 || key == "" || r.channels.dir == "" {
		return gate{}
	}
	spec := d.Resources[i].Spec.Container
	if spec == nil || spec.Readiness == nil {
		return gate{}
	}
	return gate{r: r, key: key, handle: c.ID, script: spec.Readiness.Script}
}

// look reports whether the gate is open, and what is closed when that may have
// changed.
func (g gate) look() (open bool, readiness *plan.ProbeState, news <-chan struct{}) {
	if g.r == nil {
		return true, nil, nil
	}
	health, news := g.r.channels.health(g.key, g.handle)
	if health == nil {
		return false, nil, news
	}
	readiness = health.Readiness
	return readiness != nil && readiness.Verdict == plan.VerdictPassing, readiness, news
}

// pause waits for news, or until it is time to look at the container again. It
// reports whether that came before the context ended.
func (g gate) pause(ctx context.Context, news <-chan struct{}) bool {
	if g.r == nil {
		return pause(ctx, pollInterval)
	}
	t := time.NewTimer(exitPoll)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-news:
	case <-t.C:
	}
	return true
}

// late is the error for a container that was last seen as c when there was no more
// time.
func (g gate) late(ctx context.Context, s plan.Step, c *define.InspectContainerData, readiness *plan.ProbeState) error {
	if g.r != nil && c.State.Status == "running" {
		return g.closed(readiness)
	}
	return fmt.Errorf("wait for %s: it is still %s: %w", s.Name, c.State.Status, context.Cause(ctx))
}

// closed is the error for a container that runs and does not become ready.
func (g gate) closed(readiness *plan.ProbeState) error {
	text := "Container failed to become ready: "
	said := ""
	if readiness != nil {
		said = strings.TrimSpace(readiness.Output)
	}
	switch {
	case readiness == nil:
		text += "nothing was heard of its readiness probe " + g.script
	case said != "":
		gap := " "
		if strings.Contains(said, "\n") {
			gap, said = "\n", indent(said)
		}
		text += fmt.Sprintf("its readiness probe %s said last:%s%s", g.script, gap, said)
	case readiness.Failures > 0:
		text += fmt.Sprintf("its readiness probe %s failed %d times in a row and said nothing", g.script, readiness.Failures)
	default:
		text += fmt.Sprintf("its readiness probe %s has not passed yet", g.script)
	}
	return fmt.Errorf("%s", text)
}
