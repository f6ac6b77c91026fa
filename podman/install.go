// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

// createImage runs the install hook of an instance in a disposable container of
// the base image and makes an image of what is left of its files. An image that
// was made already, and has all that its hook wrote, is found.
func (r *Runtime) createImage(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource) (plan.Object, error) {
	spec := *res.Spec.Image
	of, err := instanceOf(d, spec)
	if err == nil {
		err = errors.Join(validate(installed(of, spec, nil)), r.needsHost(*of.Spec.Container))
	}
	if err != nil {
		return plan.Object{}, fmt.Errorf("install: %w", err)
	}
	obj := r.newObject(s, d, res)
	obj.Name, obj.State = res.Name, plan.StateExists
	tag := derivedTag(obj)
	found, ok, err := r.derivedImage(ctx, res.Name+":"+tag, s, d)
	if err != nil {
		return plan.Object{}, err
	}
	if obj.Handle = found.id; ok && r.installLost(d, obj) == "" {
		return obj, nil
	}
	if err := r.sweepHooks(ctx, d); err != nil {
		return plan.Object{}, err
	}
	base, err := r.ensure(ctx, s, spec.Base)
	if err != nil {
		return plan.Object{}, err
	}
	run := installRun{r: r, s: s, d: d, of: of, spec: spec, base: base, obj: obj, timeout: res.StartTimeout}
	name, forget := r.hookName(d, of)
	defer forget()
	id, err := run.create(ctx, name)
	if id != "" {
		defer r.dropHook(ctx, id)
	}
	if err == nil {
		err = run.wait(ctx, id)
	}
	if err != nil {
		return plan.Object{}, err
	}
	if ok { // the name goes to what was made once more
		if err := images.Tag(ctx, bareID(found.id), tag+superseded+bareID(found.id)[:tagLen], res.Name, nil); err != nil {
			return plan.Object{}, r.explain("tag "+res.Name, err)
		}
	}
	r.say(s, "commit %s", res.Name)
	made, err := containers.Commit(ctx, id, base.commit(res.Name, tag))
	if err != nil {
		return plan.Object{}, r.explain("commit "+res.Name, err)
	}
	obj.Handle, obj.Created = imageID(made.ID), time.Now()
	return obj, r.markInstalled(d, spec, obj)
}

// instanceOf is the resource whose install hook makes the image.
func instanceOf(d plan.Desired, spec plan.ImageSpec) (plan.Resource, error) {
	i := slices.IndexFunc(d.Resources, func(res plan.Resource) bool { return res.ID.String() == spec.Of })
	if i < 0 || d.Resources[i].Spec.Container == nil {
		return plan.Resource{}, fmt.Errorf("the workspace has no %s", spec.Of)
	}
	return d.Resources[i], nil
}

// installed is the container of an install hook: the instance's own, but for what
// only one that stays needs.
func installed(of plan.Resource, spec plan.ImageSpec, argv []string) plan.ContainerSpec {
	c := *of.Spec.Container
	c.Image, c.Env = spec.Base, spec.Env
	c.Main, c.Beside, c.Helper = plan.Process{Command: argv}, nil, false
	c.Aliases, c.Labels, c.Ports, c.WorkDir = nil, nil, nil, codeDir(c.Mounts)
	c.Liveness, c.Readiness, c.ReadOnlyRoot, c.StopTimeout = nil, nil, false, 1
	if !slices.ContainsFunc(c.Mounts, func(m plan.Mount) bool { return m.Type == plan.MountHelper }) {
		c.Mounts = append(slices.Clone(c.Mounts), plan.Mount{Type: plan.MountHelper, Target: helper.Dir})
	}
	return c
}

// codeDir is where hooks begin: in the agent's folder, when there is one; "" =
// where the image says.
func codeDir(mounts []plan.Mount) string {
	if slices.ContainsFunc(mounts, func(m plan.Mount) bool { return m.Target == codeTarget }) {
		return codeTarget
	}
	return ""
}

// codeTarget is where the agent's folder is in a container.
const codeTarget = "/code"

// installRun is one run of an install hook.
type installRun struct {
	r    *Runtime
	s    plan.Step
	d    plan.Desired
	of   plan.Resource
	spec plan.ImageSpec
	base image
	obj  plan.Object // the image to be made
	// timeout is what the hook may take; 0 = as long as the step.
	timeout time.Duration
	out     *hookOutput

	attached *attached
}

// create creates the container and starts it. Its own configuration is that of
// the base image and has to stay so, since it becomes that of the new image: what
// else it runs with comes with the hook, but for secrets, which Podman keeps out.
func (x *installRun) create(ctx context.Context, name string) (id string, err error) {
	r, c := x.r, installed(x.of, x.spec, nil)
	bundle, err := r.hasBundle(ctx, c, x.base)
	if err != nil {
		return "", err
	}
	vars := secretVariables(c)
	hook := helper.Hook{
		Name: string(plan.HookInstall), Shell: []string{"/bin/sh", "-c"}, Commands: x.spec.Commands,
		Env: variables(environment(c, bundle)), Secrets: sortedKeys(vars), Limit: hookLimit, Timeout: x.timeout,
	}
	c = installed(x.of, x.spec, append([]string{helper.Server}, hook.Args()...))
	spec, err := r.generate(ctx, name, c, nil, x.base, false)
	if err != nil {
		return "", err
	}
	yes := true
	spec.UnsetEnvAll, spec.Env = &yes, map[string]string{}
	if !c.NoImageEnv {
		spec.Env = envOf(x.base.env)
	}
	spec.ImageVolumeMode = "ignore" // what is written there is to stay
	spec.LogConfiguration = &specgen.LogConfig{Driver: "none"}
	spec.Labels = x.obj.ImageLabels()
	spec.Annotations = map[string]string{annotationHook: x.obj.ID.String()}

	// Nobody removes an unused secret or copy before the process has them.
	r.uses.RLock()
	defer r.uses.RUnlock()
	err = r.prepareMounts(ctx, x.s, c, func() (image, error) { return x.base, nil })
	if err != nil {
		return "", err
	}
	if _, err := r.bindSecrets(ctx, binding{s: x.s, d: x.d, c: c, spec: spec}); err != nil {
		return "", err
	}
	for name := range vars {
		delete(spec.Env, name)
	}
	made, err := containers.CreateWithSpec(ctx, spec, nil)
	if err != nil {
		return "", r.explain("create "+name, err)
	}
	x.out = r.openHookOutput(x.s, x.of.ID, plan.HookInstall)
	r.say(x.s, "run install")
	return made.ID, r.startAttached(ctx, x, made.ID)
}

// variables are variables as NAME=value, sorted.
func variables(env map[string]string) []string {
	var list []string
	for _, name := range sortedKeys(env) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// envOf is the inverse of variables.
func envOf(list []string) map[string]string {
	env := map[string]string{}
	for _, v := range list {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	return env
}

// commit says how the files of a container of img become an image that is
// otherwise as img.
func (img image) commit(repo, tag string) *containers.CommitOptions {
	quote := func(list []string) string {
		if list == nil {
			list = []string{}
		}
		b, err := json.Marshal(list)
		if err != nil {
			return "[]" // text always has a JSON form
		}
		return string(b)
	}
	changes := []string{"ENTRYPOINT " + quote(img.entrypoint), "CMD " + quote(img.cmd)}
	if img.user != "" {
		changes = append(changes, "USER "+img.user)
	}
	changes = append(changes, "WORKDIR "+cmp.Or(img.workDir, "/"))
	opt := new(containers.CommitOptions).WithRepo(repo).WithTag(tag).WithChanges(changes).WithPause(false)
	if strings.Contains(img.manifestType, "docker") {
		opt = opt.WithFormat("docker")
	}
	return opt
}
