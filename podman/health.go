// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"time"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

// firstReports is how long an observation waits for helpers that can only now
// report. They try some times a second; a host that has just come up is slow.
const firstReports = 2 * time.Second

// helperProbe is a probe in the helper's terms.
func helperProbe(p *plan.Probe) *helper.Probe {
	if p == nil {
		return nil
	}
	return &helper.Probe{
		Script:   p.Script,
		Interval: milliseconds(p.Interval), Timeout: milliseconds(p.Timeout), InitialDelay: milliseconds(p.InitialDelay),
		FailureThreshold: p.FailureThreshold, SuccessThreshold: p.SuccessThreshold,
	}
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// probed reports whether the helper of a container has something to report, and
// somewhere.
func (r *Runtime) probed(c plan.ContainerSpec) bool {
	return r.channels.dir != "" && c.Helper && (c.Liveness != nil || c.Readiness != nil)
}

// openChannel has somebody listen to the helper of a container that is about to be
// created or started.
func (r *Runtime) openChannel(s plan.Step, d plan.Desired, c plan.ContainerSpec) error {
	if !r.probed(c) {
		return nil
	}
	_, err := r.channels.listen(channelKey(d.Workspace, s.Target))
	return err
}

// listen has somebody listen to the helpers of all containers that were found, and
// fills in what they say. What could only now be listened to gets a moment.
func (o *observation) listen(ctx context.Context) {
	if o.r.channels.dir == "" {
		return
	}
	wait, used := map[string]string{}, map[string]bool{} // handle → key
	for _, obj := range o.out.Objects {
		key := o.channels[obj.Handle]
		if key == "" {
			continue
		}
		used[key] = true
		fresh, err := o.r.channels.listen(key)
		if err != nil {
			o.r.opt.Progress(Progress{Target: obj.ID, Text: "its probes are not heard of: " + err.Error()})
		}
		if fresh && obj.State == plan.StateRunning {
			wait[obj.Handle] = key
		}
	}
	o.r.channels.await(ctx, wait)
	for i, obj := range o.out.Objects {
		if key := o.channels[obj.Handle]; key != "" && obj.State == plan.StateRunning {
			o.out.Objects[i].Health, _ = o.r.channels.health(key, obj.Handle)
		}
	}
	o.r.mu.Lock()
	first := !o.r.channelsSwept
	o.r.channelsSwept = true
	o.r.mu.Unlock()
	if first {
		if err := o.r.channels.sweep(o.d.Workspace, used); err != nil {
			o.r.opt.Progress(Progress{Text: "channels of probes that nobody has stay: " + err.Error()})
		}
	}
}

// await waits a moment until something was heard of each container.
func (cs *channels) await(ctx context.Context, wait map[string]string) {
	late := time.NewTimer(firstReports)
	defer late.Stop()
	for {
		var news <-chan struct{}
		for handle, key := range wait {
			var health *plan.Health
			health, news = cs.health(key, handle)
			if health == nil {
				break
			}
			delete(wait, handle)
		}
		if len(wait) == 0 {
			return
		}
		select {
		case <-news:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// dropChannel removes the channel of a container that was deleted, given by its
// labels, unless another container of the instance has it.
func (r *Runtime) dropChannel(ctx context.Context, labels map[string]string) error {
	key := labels[labelChannel]
	if key == "" || r.channels.dir == "" {
		return nil
	}
	others, err := r.sameInstance(ctx, labels, labelChannel)
	if err != nil {
		return err
	}
	for _, c := range others {
		if c.Labels[labelChannel] == key {
			return nil
		}
	}
	return r.channels.remove(key)
}
