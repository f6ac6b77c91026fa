// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"reconcile/reconcile/plan"
)

// Podman lists the start of a container in whole seconds. A restart may follow a
// hook, or somebody's wish, within the same second, and has to be told from the
// start before it: the process of the container knows better.

// ticksPerSecond is the unit of times in /proc, the same on all of Linux.
const ticksPerSecond = 100

// run is one run of a container, as a list tells it.
type run struct {
	handle string
	pid    int
	second int64
}

// begun is when the run began, at least to the second. It is the same whenever it
// is asked for again.
func (r *Runtime) begun(x run) time.Time {
	second := time.Unix(x.second, 0)
	if r.remote || x.pid <= 0 {
		return second
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.runs[x.handle]; ok && old.run == x {
		return old.at
	}
	at, err := processBegan(x.pid, time.Now())
	switch {
	case err != nil:
		return second
	case at.Before(second):
		// The process is made a moment before Podman says that it has started.
		if second.Sub(at) > time.Second {
			return second
		}
	case at.Sub(second) >= time.Second:
		return second // the process of somebody else, in another namespace
	}
	r.runs[x.handle] = runBegun{x, at}
	return at
}

// began is when a run that has ended began, to the second when Podman does not
// say more.
func (r *Runtime) began(ctx context.Context, x run) time.Time {
	second := time.Unix(x.second, 0)
	r.mu.Lock()
	old, known := r.runs[x.handle]
	r.mu.Unlock()
	if known && old.run.second == x.second {
		return old.at
	}
	c, err := containers.Inspect(ctx, x.handle, nil)
	if err != nil || c.State == nil || c.State.StartedAt.Unix() != x.second {
		return second
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs[x.handle] = runBegun{x, c.State.StartedAt}
	return c.State.StartedAt
}

// startTakes bounds how long after the process of a container was made Podman
// says that it has started: one that ends at once has ended before that.
const startTakes = 10 * time.Second

// endedUnseen reports whether the last run of a container that is said to have
// exited ended with the host. What is told of its end is that of the run before,
// if there was one. Older services say of such a container that it was never
// started since.
func (r *Runtime) endedUnseen(c types.ListContainer) bool {
	if c.StartedAt <= 0 {
		return false
	}
	started := time.Unix(c.StartedAt, 0)
	if c.ExitedAt <= 0 || time.Unix(c.ExitedAt, 0).Add(startTakes).Before(started) {
		return true
	}
	if r.remote {
		return false
	}
	booted, err := hostBooted(time.Now())
	return err == nil && started.Before(booted)
}

// hostBooted is when this host was started, by its present clock, to a few
// hundredths of a second.
func hostBooted(now time.Time) (time.Time, error) {
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return time.Time{}, err
	}
	return bootTime(string(uptime), now)
}

// bootTime is when a host was started that says now what /proc/uptime does.
func bootTime(uptime string, now time.Time) (time.Time, error) {
	up, _, _ := strings.Cut(uptime, " ")
	seconds, err := strconv.ParseFloat(up, 64)
	if err != nil {
		return time.Time{}, err
	}
	return now.Add(-time.Duration(seconds * float64(time.Second))), nil
}

// withHooks are the instances in whose containers hooks are run: what such a hook
// leaves owed is told from when the container was started.
func withHooks(d plan.Desired) map[plan.ID]bool {
	out := map[plan.ID]bool{}
	for _, r := range d.Resources {
		for _, h := range r.Hooks {
			if !h.Host() {
				out[r.ID] = true
			}
		}
	}
	return out
}

// runBegun is a run and when it began.
type runBegun struct {
	run run
	at  time.Time
}

// processBegan is when a process of this host began, to a few hundredths of a
// second.
func processBegan(pid int, now time.Time) (time.Time, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Time{}, err
	}
	ticks, err := startTicks(string(stat))
	if err != nil {
		return time.Time{}, err
	}
	booted, err := hostBooted(now)
	return booted.Add(time.Duration(ticks) * (time.Second / ticksPerSecond)), err
}

// startTicks is the 22nd field of /proc/PID/stat. The second one is a name that
// may hold anything, in parentheses.
func startTicks(stat string) (uint64, error) {
	i := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[i+1:])
	if i < 0 || len(fields) < 20 {
		return 0, fmt.Errorf("%q tells of no process", stat)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
