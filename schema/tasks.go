// SPDX-License-Identifier: Apache-2.0

package schema

import "time"

// Task is a KubeTask Task.
type Task struct {
	Pos Pos
	TaskSpec
}

// TaskSpec is what a Task, or a CronTask's template, asks for.
type TaskSpec struct {
	Description    Str // byte for byte
	AgentRef       Str // unset: the Agent called default
	Contexts       []ContextMount
	HumanInTheLoop *HumanInTheLoop
	Timeout        time.Duration // 0: none
}

// HumanInTheLoop keeps the container after its command ended.
type HumanInTheLoop struct {
	Pos              Pos
	Enabled          bool
	KeepAliveSeconds int64 // default filled in
}

// ConcurrencyPolicy says what a slot does while an earlier run goes on.
type ConcurrencyPolicy string

// The policies.
const (
	ConcurrencyForbid  ConcurrencyPolicy = "Forbid"
	ConcurrencyAllow   ConcurrencyPolicy = "Allow"
	ConcurrencyReplace ConcurrencyPolicy = "Replace"
)

// CronTask is a KubeTask CronTask; defaults are filled in.
type CronTask struct {
	Pos                     Pos
	Schedule                Str
	TimeZone                Str // unset: UTC
	Concurrency             ConcurrencyPolicy
	Suspend                 bool
	StartingDeadlineSeconds Int // unset: none
	SuccessfulHistory       int64
	FailedHistory           int64
	Template                TaskSpec
}

func (c cursor) task() *Task {
	return &Task{Pos: c.n.Pos, TaskSpec: c.at("spec").taskSpec()}
}

func (c cursor) taskSpec() TaskSpec {
	return TaskSpec{
		Description:    c.at("description").text(),
		AgentRef:       c.at("agentRef").word(),
		Contexts:       c.at("contexts").mounts(),
		HumanInTheLoop: c.at("humanInTheLoop").humanInTheLoop(),
		Timeout:        c.at("timeout").duration(),
	}
}

func (c cursor) humanInTheLoop() *HumanInTheLoop {
	if !c.is("a map", NodeMap) {
		return nil
	}
	h := &HumanInTheLoop{Pos: c.n.Pos, Enabled: c.at("enabled").boolean().V, KeepAliveSeconds: 3600}
	if v := c.at("keepAliveSeconds").count(); v.IsSet() {
		h.KeepAliveSeconds = v.V
	}
	return h
}

func (c cursor) cronTask() *CronTask {
	spec := c.at("spec")
	t := &CronTask{
		Pos:                     c.n.Pos,
		Schedule:                spec.at("schedule").schedule(),
		TimeZone:                spec.at("timeZone").timeZone(),
		Concurrency:             ConcurrencyForbid,
		Suspend:                 spec.at("suspend").boolean().V,
		StartingDeadlineSeconds: spec.at("startingDeadlineSeconds").count(),
		SuccessfulHistory:       3,
		FailedHistory:           1,
		Template:                spec.at("taskTemplate").at("spec").taskSpec(),
	}
	if p := spec.at("concurrencyPolicy").word(); p.IsSet() {
		t.Concurrency = ConcurrencyPolicy(p.V)
	}
	if v := spec.at("successfulJobsHistoryLimit").count(); v.IsSet() {
		t.SuccessfulHistory = v.V
	}
	if v := spec.at("failedJobsHistoryLimit").count(); v.IsSet() {
		t.FailedHistory = v.V
	}
	return t
}
