// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sync"

	"reconcile/helper"
)

// startHealth runs the probes of c and reports how they are at socket. What it
// returns ends that and waits for it.
func startHealth(c helper.Config, f *family, socket string) (end func()) {
	if c.Liveness == nil && c.Readiness == nil {
		return func() {}
	}
	ch := newChannel(socket)
	var probers []*prober
	add := func(p *helper.Probe, of func(*helper.Report) **helper.ProbeState) {
		if p == nil {
			return
		}
		*of(&ch.report) = &helper.ProbeState{Since: ch.report.Started}
		pr := newProber(*p, f, c.Secrets, func(s helper.ProbeState) {
			ch.set(func(r *helper.Report) { *of(r) = &s })
		})
		pr.state.Since = ch.report.Started
		probers = append(probers, pr)
	}
	add(c.Liveness, func(r *helper.Report) **helper.ProbeState { return &r.Liveness })
	add(c.Readiness, func(r *helper.Report) **helper.ProbeState { return &r.Readiness })

	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { ch.run(stop) })
	for _, p := range probers {
		running.Go(func() { p.run(stop) })
	}
	return func() {
		close(stop)
		running.Wait()
	}
}
