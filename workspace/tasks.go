// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const (
	// defaultTTL is how long what is left of a run stays, in seconds.
	defaultTTL = 7 * 24 * 60 * 60
	// rerunAnnotation on a Task, with the value never, means that an edit does not
	// run it again.
	rerunAnnotation = "reconcile/rerun"
	rerunNever      = "never"
)

const summaryAnnotation = "unknown value of an annotation"

// runner is an Agent with everything that its Tasks have in common.
type runner struct {
	spec        *schema.Agent // nil: there is none, or it has errors
	group       string
	image       string
	contexts    []mounted
	credentials credentials
	blocked     []plan.Reason
}

// workspaceDir is that of the Agent; "" without one.
func (a *runner) workspaceDir() string {
	if a.spec == nil {
		return ""
	}
	return a.spec.WorkspaceDir.V
}

// task describes the run of a Task.
func (r *resolver) task(res *plan.Resource, doc schema.Document) {
	res.Run = &plan.Run{TTL: r.ttl(), Once: r.never(doc)}
	t, ok := doc.Object.(*schema.Task)
	if !ok {
		return
	}
	res.Run.Key = runKey(t.TaskSpec)
	r.taskSpec(res, doc, t.TaskSpec)
}

// cronTask describes the runs of a CronTask.
func (r *resolver) cronTask(res *plan.Resource, doc schema.Document) {
	res.Run = &plan.Run{TTL: r.ttl(), Cron: &plan.Cron{}}
	t, ok := doc.Object.(*schema.CronTask)
	if !ok {
		return
	}
	cron := plan.Cron{
		Schedule: t.Schedule.V, Zone: t.TimeZone.V, Policy: plan.CronPolicy(t.Concurrency), Suspend: t.Suspend,
		Deadline:  -1,
		Completed: number(t.SuccessfulHistory), Failed: number(t.FailedHistory),
	}
	if t.StartingDeadlineSeconds.IsSet() {
		cron.Deadline = seconds(t.StartingDeadlineSeconds.V)
	}
	res.Run.Cron = &cron
	r.taskSpec(res, doc, t.Template)
}

// ttl is how long what is left of a run stays; 0 = for ever.
func (r *resolver) ttl() time.Duration {
	if ttl := r.tree.file.TasksTTL; ttl.IsSet() {
		return seconds(ttl.V)
	}
	return seconds(defaultTTL)
}

// never reports whether an edit of a Task does not run it again.
func (r *resolver) never(doc schema.Document) bool {
	v, ok := doc.Meta.Annotations[rerunAnnotation]
	if ok && v != rerunNever {
		r.report.warn(doc.Pos, summaryAnnotation, "", "%s: %q means nothing; only %q does", rerunAnnotation, v, rerunNever)
	}
	return v == rerunNever
}

// seconds is a number of seconds, or as many as a duration can hold.
func seconds(n int64) time.Duration {
	return time.Duration(min(n, math.MaxInt64/int64(time.Second))) * time.Second
}

// number is n, or as much of it as an int can hold anywhere.
func number(n int64) int { return int(min(n, math.MaxInt32)) }

// taskSpec describes the container of a run. Without an Agent there is none, but
// what else is missing is said.
func (r *resolver) taskSpec(res *plan.Resource, doc schema.Document, spec schema.TaskSpec) {
	namespace := namespaceOf(doc)
	agent := r.runner(spec.AgentRef, namespace, doc.Pos)
	res.Run.Group = agent.group
	own := r.contexts(spec.Contexts, namespace, agent.workspaceDir())
	res.Blocked = append(res.Blocked, agent.blocked...)
	for _, m := range slices.Concat(agent.contexts, own) {
		res.Blocked = append(res.Blocked, m.content.blocked...)
	}
	if agent.spec == nil {
		return
	}
	l := r.layOut(agent.workspaceDir(), r.claims(res, agent, own, spec.Description))
	res.Blocked = append(res.Blocked, l.blocked...)
	r.objects.files[res.ID] = l.files
	res.Run.Max = number(agent.spec.MaxConcurrentTasks.V)
	keep := keepAlive(spec, agent.spec)
	env := slices.Concat(agent.credentials.env, taskEnv(namespace, agent.workspaceDir(), keep))
	slices.SortFunc(env, func(a, b plan.EnvVar) int { return cmp.Compare(a.Name, b.Name) })
	timeout := max(spec.Timeout.Milliseconds(), min(1, int64(spec.Timeout))) // 0 would be none
	c := plan.ContainerSpec{
		Image:       agent.image,
		Helper:      true,
		Main:        plan.Process{Command: agent.spec.Command, ImageCmd: agent.spec.Command == nil},
		Env:         env,
		EnvFrom:     agent.credentials.from,
		Labels:      agent.spec.Labels,
		Mounts:      l.mounts,
		SecretFiles: l.secrets,
		Network:     r.tree.networkName(),
		Task:        &plan.TaskSpec{Dir: plan.RunsDir(r.tree.opt.StateDir, r.tree.name, res.ID), Timeout: timeout},
	}
	if keep != nil {
		c.Task.KeepAlive = seconds(keep.KeepAliveSeconds).Milliseconds()
	}
	res.Spec.Container = &c
	res.Needs = []plan.Need{r.needNetwork(doc.Pos)}
	res.Places = map[string]string{"image": agent.spec.Image.Pos.String()}
	maps.Copy(res.Places, agent.credentials.places)
	maps.Copy(res.Places, l.places)
}

// claims are what a Task, whose contexts are own, and its Agent want to have a
// path in the container.
func (r *resolver) claims(res *plan.Resource, agent *runner, own []mounted, description schema.Str) []claim {
	claims := claimsOf(agent.contexts, ofAgent, "the Agent's ")
	claims = append(claims, claimsOf(own, ofTask, "the Task's ")...)
	for _, s := range agent.credentials.files {
		claims = append(claims, claim{path: s.path, pos: s.pos, what: "the " + s.what, owner: ofOther, secrets: s.files})
	}
	if md, ok := r.taskFile(res, description, agent.workspaceDir(), slices.Concat(agent.contexts, own)); ok {
		claims = append(claims, md)
	}
	return claims
}

// keepAlive is the humanInTheLoop that counts, the Task's before the Agent's; nil
// = none is enabled.
func keepAlive(task schema.TaskSpec, agent *schema.Agent) *schema.HumanInTheLoop {
	h := cmp.Or(task.HumanInTheLoop, agent.HumanInTheLoop)
	if h == nil || !h.Enabled {
		return nil
	}
	return h
}

// taskEnv are the variables that are the same in each run; TASK_NAME is the
// runtime's to set.
func taskEnv(namespace, workspaceDir string, keep *schema.HumanInTheLoop) []plan.EnvVar {
	env := []plan.EnvVar{
		{Name: "TASK_NAMESPACE", Value: namespace},
		{Name: "WORKSPACE_DIR", Value: workspaceDir},
	}
	if keep != nil {
		env = append(env, plan.EnvVar{Name: "KUBETASK_KEEP_ALIVE_SECONDS", Value: strconv.FormatInt(keep.KeepAliveSeconds, 10)})
	}
	return env
}

// taskFile is task.md as a claim; false when there is nothing to be in it.
func (r *resolver) taskFile(res *plan.Resource, description schema.Str, dir string, contexts []mounted) (claim, bool) {
	md := claim{path: path.Join(dir, taskFile), owner: ofOther, pos: description.Pos, what: "the description"}
	var parts []taskPart
	var from []string // what it is made of
	if description.V != "" {
		from = []string{md.what}
	}
	unknown := false
	for _, m := range contexts {
		if m.path != "" {
			continue
		}
		if len(from) == 0 {
			md.pos, md.what = m.pos, "the "+m.what()+", which has no mountPath,"
		}
		from = append(from, m.what())
		part := taskPart{name: m.name, namespace: m.namespace, typ: m.content.typ}
		if len(m.content.blocked) > 0 {
			unknown = true
			part.gap = m.what() + " is not known yet: " + m.content.blocked[0].Text
		} else {
			part.content = m.content.text()
		}
		parts = append(parts, part)
	}
	if len(from) == 0 {
		return claim{}, false
	}
	md.from = strings.Join(from, ", ")
	data, err := taskMD(description.V, parts)
	if err != nil {
		res.Blocked = append(res.Blocked, r.blockOnce(md.pos, plan.CodeInvalid, summaryBadContext, "", "%v", err))
	}
	if unknown {
		md.content, md.partial = &content{blocked: []plan.Reason{{}}}, data
		return md, true
	}
	md.file = &blob{data: data}
	return md, err == nil
}

// claimsOf are the claims of contexts with a path.
func claimsOf(contexts []mounted, by owner, whose string) []claim {
	var claims []claim
	for _, m := range contexts {
		if m.path != "" {
			claims = append(claims, claim{path: m.path, pos: m.pathPos, what: whose + m.what(), owner: by, content: m.content})
		}
	}
	return claims
}

// runner returns the Agent of a Task.
func (r *resolver) runner(ref schema.Str, namespace string, task schema.Pos) *runner {
	name := ref
	if !ref.IsSet() {
		name = schema.Str{V: defaultAgent, Pos: task}
	}
	id := refID(schema.KindAgent, namespace, name.V)
	if a, known := r.objects.runners[id]; known {
		return a
	}
	doc, ok := r.objects.byID[id]
	if !ok {
		hint := ""
		if !ref.IsSet() {
			hint = "without agentRef the Agent called default is used: write one, or name another"
		}
		return &runner{group: groupOf(id), blocked: []plan.Reason{r.noSuch(name, id, hint)}}
	}
	a := &runner{group: groupOf(id), blocked: slices.Clone(r.unusable(doc))}
	r.objects.runners[id] = a
	if spec, ok := doc.Object.(*schema.Agent); ok && !doc.Invalid {
		r.resolveRunner(a, spec, namespace)
	}
	return a
}

// groupOf names the Agent whose Tasks share a limit, as messages do.
func groupOf(agent plan.ID) string {
	if agent.Namespace == "" {
		return "Agent " + agent.Name
	}
	return "Agent " + agent.Name + " of " + agent.Namespace
}

func (r *resolver) resolveRunner(a *runner, spec *schema.Agent, namespace string) {
	dir := spec.WorkspaceDir
	if place := reservedBy(dir.V, reservedPaths()); place != "" {
		a.blocked = append(a.blocked, r.blockOnce(dir.Pos, plan.CodeInvalid, summaryReservedPath, "choose another workspaceDir",
			"%s cannot be the workspaceDir: the container has %s for itself", dir.V, place))
		return
	}
	var refused []plan.Reason
	a.spec = spec
	a.image, refused = r.image(spec.Image)
	a.contexts = r.contexts(spec.Contexts, namespace, dir.V)
	a.credentials = r.credentials(spec.Credentials, namespace, dir.V)
	a.blocked = slices.Concat(a.blocked, refused, a.credentials.blocked)
}
