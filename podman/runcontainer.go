// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

// taskName is the variable with the name of a run.
const taskName = "TASK_NAME"

// accountOf is whom the process of a container runs as.
func (r *Runtime) accountOf(ctx context.Context, img image, c plan.ContainerSpec) (account, error) {
	uid, gid, err := r.owner(ctx, img, c.User)
	return account{uid, gid}, err
}

// prepareRun has the folder of a run ready for a container that is not there yet;
// nil = the container is no run.
func (r *Runtime) prepareRun(ctx context.Context, s plan.Step, d plan.Desired, c plan.ContainerSpec, img image) (*runFolder, error) {
	if c.Task == nil {
		return nil, nil //nolint:nilnil // none is an answer
	}
	own, err := r.accountOf(ctx, img, c)
	if err != nil {
		return nil, err
	}
	f, err := r.runFolderOf(s, c, own)
	if err != nil {
		return nil, err
	}
	return f, r.makeRun(ctx, runMaking{runFolder: f, s: s, d: d, c: c})
}

// restoreRun has the folder ready of a run whose container is there. What a
// container was started with stays as it is.
func (r *Runtime) restoreRun(ctx context.Context, s plan.Step, d plan.Desired, c plan.ContainerSpec) error {
	if c.Task == nil {
		return nil
	}
	held, err := containers.Inspect(ctx, s.Object, nil)
	if err != nil {
		return r.explain("inspect "+s.Name, err)
	}
	if held.Config.Labels[plan.LabelRun] != s.Run {
		return fmt.Errorf("%s is not the run %s", held.Name, s.Run)
	}
	own, err := r.accountOf(ctx, r.imageHeld(held), c)
	if err != nil {
		return err
	}
	f, err := r.runFolderOf(s, c, own)
	if err != nil {
		return err
	}
	x := runMaking{runFolder: f, s: s, d: d, c: c, started: !held.State.StartedAt.IsZero()}
	if err := r.makeRun(ctx, x); err != nil || x.started {
		return err
	}
	return f.restorePlaces(c, held)
}

// restorePlaces makes again what the secrets of a container are mounted upon.
func (f *runFolder) restorePlaces(c plan.ContainerSpec, held *define.InspectContainerData) error {
	modes := map[string]uint32{}
	for _, s := range c.SecretFiles {
		modes[s.Target] = s.Mode
		if err := f.mountPoint(c, s.Target, severalFiles(s)); err != nil {
			return err
		}
	}
	for _, m := range held.Mounts {
		if filepath.Dir(m.Source) != filepath.Join(f.dir, emptyDir) {
			continue
		}
		mode, ok := modes[m.Destination]
		if !ok { // one of a secret with several
			mode = modes[path.Dir(m.Destination)]
		}
		if _, err := f.emptyFile(m.Destination, mode); err != nil {
			return err
		}
	}
	return nil
}

// severalFiles reports whether a secret is a folder with a file for each key.
func severalFiles(f plan.SecretFile) bool { return strings.HasPrefix(f.Ref, "keys:") }

// mounts are those of a container with what is in the folder of its run.
func (f *runFolder) mounts(c plan.ContainerSpec) []plan.Mount {
	if f == nil {
		return c.Mounts
	}
	list := slices.Clone(c.Mounts)
	outcome := plan.Mount{Type: plan.MountDir, Source: filepath.Join(f.dir, taskDir), Target: path.Dir(helper.OutcomeFile)}
	for i, m := range list {
		if m.Type == plan.MountFiles {
			list[i].Source = f.source(m)
		}
		if m.Relabel != "" {
			outcome.Relabel = m.Relabel
		}
	}
	return append(list, outcome)
}

// enter gives a container what makes it the run: its name, and a log that outlives
// it. The volumes of an image would hide files of the run, and are nothing to a
// container that runs once.
func (f *runFolder) enter(s plan.Step, spec *specgen.SpecGenerator) {
	if f == nil {
		return
	}
	spec.Env[taskName] = s.RunName
	spec.Labels[labelRun] = f.dir
	spec.ImageVolumeMode = "ignore"
	spec.LogConfiguration = &specgen.LogConfig{Driver: define.KubernetesLogging, Path: filepath.Join(f.dir, logFile)}
}
