// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"reconcile/helper"
)

// prober runs one probe again and again: the next run begins an interval after
// the last one began, or when that has ended if it took longer.
type prober struct {
	probe  helper.Probe
	family *family
	out    *probeOutput
	tell   func(helper.ProbeState) // of every change
	timer  *time.Timer
	last   *process // of the last run, until it has ended

	state     helper.ProbeState
	successes int // in a row
}

func newProber(p helper.Probe, f *family, secrets []string, tell func(helper.ProbeState)) *prober {
	return &prober{probe: p, family: f, out: newProbeOutput(secrets), tell: tell}
}

// run returns when it is told to stop. Nothing of a run that was under way is
// left then.
func (p *prober) run(stop <-chan struct{}) {
	p.timer = time.NewTimer(p.probe.InitialDelay)
	defer p.timer.Stop()
	for {
		select {
		case <-p.timer.C:
		case <-stop:
			return
		}
		begin := time.Now()
		failure, ok := p.once(stop)
		if !ok {
			return
		}
		p.judge(failure)
		p.timer.Reset(max(time.Until(begin.Add(p.probe.Interval)), 0))
	}
}

// judge counts a run, of which failure is what to say of it; "" = it succeeded.
func (p *prober) judge(failure string) {
	old := p.state
	verdict := p.state.Verdict
	if failure == "" {
		p.successes = min(p.successes+1, p.probe.SuccessThreshold)
		p.state.Failures = 0
		if p.successes == p.probe.SuccessThreshold {
			verdict = helper.Passing
		}
	} else {
		p.successes = 0
		p.state.Failures++
		p.state.Output = failure
		if p.state.Failures >= p.probe.FailureThreshold {
			verdict = helper.Failing
		}
	}
	if verdict != p.state.Verdict {
		p.state.Verdict, p.state.Since = verdict, time.Now()
	}
	if p.state != old {
		p.tell(p.state)
	}
}
