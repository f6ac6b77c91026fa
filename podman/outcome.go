// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

// maxOutcome bounds in bytes what is read of what a helper wrote.
const maxOutcome = 4 << 10

// outcomePoll is how often is looked whether the command of a run has ended whose
// container stays: no event tells of it.
const outcomePoll = 500 * time.Millisecond

// outcomePath is where the helper in a container writes how its command ended; "" =
// the container is no run, or was never started, or ends with its command and has
// not: what is there then is not the helper's, but its command's.
func (r *Runtime) outcomePath(c types.ListContainer, state plan.State) string {
	dir := c.Labels[labelRun]
	if dir == "" || r.remote || c.StartedAt <= 0 || !filepath.IsAbs(dir) || state != plan.StateExited && !stays(c.Command) {
		return ""
	}
	return outcomeIn(dir)
}

// outcomeIn is the file of the helper in the folder of a run.
func outcomeIn(dir string) string {
	return filepath.Join(dir, taskDir, path.Base(helper.OutcomeFile))
}

// stays reports whether a container stays when the command has ended that the helper
// runs in it, given by the helper's arguments.
func stays(args []string) bool {
	cfg, err := helper.ParseArgs(args)
	return err == nil && cfg.Task != nil && cfg.Task.KeepAlive > 0
}

// readOutcome reads how the command of a run ended; nil = nobody knows. The
// container can write to that file and to its folder, so that anything may be there.
func readOutcome(file string) *plan.Outcome {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxOutcome {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(f, maxOutcome))
	if err != nil {
		return nil
	}
	var o helper.Outcome
	if json.Unmarshal(b, &o) != nil || o.Code < 0 || o.Code > 255 {
		return nil
	}
	// Whoever writes the file may say any time, but not choose that of the file.
	if written := info.ModTime(); o.Finished.IsZero() || o.Finished.After(written) {
		o.Finished = written
	}
	return &plan.Outcome{Code: o.Code, Timeout: o.Timeout, Finished: o.Finished}
}

// outcome adds to a run how its command ended, or has somebody look for it.
func (o *observation) outcome(c types.ListContainer, obj *plan.Object) {
	file := o.r.outcomePath(c, obj.State)
	if file == "" {
		return
	}
	obj.Outcome = readOutcome(file)
	if obj.Outcome == nil && obj.State == plan.StateRunning {
		o.awaited = append(o.awaited, file)
	}
}

// lostRuns reads how the commands of runs ended whose containers are gone.
func (o *observation) lostRuns() {
	if o.r.remote {
		return
	}
	there := map[string]bool{}
	for _, obj := range o.out.Objects {
		there[obj.ID.String()+" "+obj.Run] = true
	}
	for _, res := range o.d.Resources {
		c := res.Spec.Container
		if c == nil || c.Task == nil {
			continue
		}
		entries, err := os.ReadDir(c.Task.Dir)
		if err != nil {
			continue // no run has begun, or nobody knows
		}
		for _, e := range entries {
			if !runKey.MatchString(e.Name()) || there[res.ID.String()+" "+e.Name()] {
				continue
			}
			if how := readOutcome(outcomeIn(filepath.Join(c.Task.Dir, e.Name()))); how != nil {
				o.out.AddOutcome(res.ID, e.Name(), *how)
			}
		}
	}
}

// awaitOutcomes calls notify when the command of a run that went on as it was
// observed last has ended, until ctx does.
func (r *Runtime) awaitOutcomes(ctx context.Context, notify func()) {
	for pause(ctx, outcomePoll) {
		r.mu.Lock()
		var still []string
		for _, file := range r.awaited {
			if _, err := os.Lstat(file); err != nil {
				still = append(still, file)
			}
		}
		ended := len(still) < len(r.awaited)
		r.awaited = still
		r.mu.Unlock()
		if ended {
			notify()
		}
	}
}

// beside runs f until the function that it returns is called.
func beside(ctx context.Context, f func(ctx context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { f(ctx) })
	return func() { cancel(); group.Wait() }
}
