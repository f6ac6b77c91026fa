// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Delivery says how a request reaches a TaskAgent.
type Delivery string

// The ways.
const (
	DeliveryStdin    Delivery = "Stdin"
	DeliveryMetadata Delivery = "Metadata"
)

const (
	maxScheduleInput = 128 << 10
	maxSizeMB        = 1 << 40
	leastMemory      = 64 << 10
)

// TaskAgent is a CLRK TaskAgent; defaults are filled in.
type TaskAgent struct {
	Pos             Pos
	WorkerPoolRef   string
	Template        Template
	Timeout         time.Duration
	Delivery        Delivery
	Schedule        Str    // unset: none
	ScheduleInput   []byte // JSON
	TimeZone        Str    // unset: UTC
	MaxConcurrent   int64  // 0: no limit
	WarmPoolSize    int64
	WarmPoolIdleTTL time.Duration
	Streaming       bool
	State           *State
	ContentType     string // of replies; "": none is given
	WarmStarted     bool   // the processes of the warm pool are started
}

// State is the volume that a TaskAgent's executions share.
type State struct {
	Pos         Pos // of MountPath, or of what has it by default
	MountPath   string
	SizeLimitMB int64 // 0: no limit
}

func (c cursor) taskAgent() *TaskAgent {
	spec := c.at("spec")
	t := &TaskAgent{
		Pos:             c.n.Pos,
		WorkerPoolRef:   spec.at("workerPoolRef").workerPool(),
		Template:        spec.at("template").at("spec").template(),
		Timeout:         spec.at("timeout").duration(),
		Delivery:        DeliveryStdin,
		Schedule:        spec.at("schedule").schedule(),
		ScheduleInput:   []byte("{}"),
		TimeZone:        spec.at("timeZone").timeZone(),
		MaxConcurrent:   spec.at("maxConcurrent").count().V,
		WarmPoolSize:    spec.at("warmPoolSize").count().V,
		WarmPoolIdleTTL: spec.at("warmPoolIdleTTL").duration(),
		Streaming:       spec.at("streaming").at("enabled").boolean().V,
		State:           spec.at("state").state(),
	}
	if t.Timeout == 0 {
		t.Timeout = 100 * time.Second
	}
	switch {
	case t.WarmPoolIdleTTL == 0:
		t.WarmPoolIdleTTL = 10 * time.Minute
	case !spec.at("warmPoolSize").set():
		c.warn(spec.at("warmPoolIdleTTL").n.Pos, summaryNoEffect, "there is no warm pool: warmPoolSize is 0", "")
	}
	if m := spec.at("delivery").at("mode").word(); m.IsSet() {
		t.Delivery = Delivery(m.V)
	}
	if in := spec.at("scheduleInput"); in.set() {
		t.ScheduleInput = in.n.appendJSON(nil)
		if n := len(t.ScheduleInput); n > maxScheduleInput {
			in.invalid(fmt.Sprintf("it takes %d bytes as JSON; at most %d are kept", n, maxScheduleInput), "keep large data where the agent can fetch it")
		}
	}
	for _, name := range []string{"scheduleInput", "timeZone"} {
		if v := spec.at(name); v.set() && !spec.at("schedule").set() {
			c.warn(v.n.Pos, summaryNoEffect, "there is no schedule", "")
		}
	}
	t.annotations(c)
	return t
}

func (c cursor) daemonAgent() *DaemonAgent {
	spec := c.at("spec")
	spec.at("workerPoolRef").workerPool()
	d := &DaemonAgent{
		Pos:                c.n.Pos,
		WorkerPoolRef:      spec.at("workerPoolRef").word(),
		Template:           spec.at("template").at("spec").template(),
		RestartPolicy:      spec.at("restartPolicy").word(),
		MaxRestarts:        spec.at("maxRestarts").count(),
		MaxLifetimeSeconds: spec.at("maxLifetimeSeconds").count(),
	}
	if d.RestartPolicy.V == "" {
		d.RestartPolicy.V = "Always"
	}
	for _, a := range c.at("metadata").at("annotations").entriesOf(NodeMap) {
		if strings.HasPrefix(a.key.V, annotationPrefix) {
			c.warn(a.key.Pos, summaryNoEffect, fmt.Sprintf("there is no annotation %s of DaemonAgents", quoteKey(a.key.V)), "")
		}
	}
	return d
}

// workerPool warns about any pool but this host.
func (c cursor) workerPool() string {
	s := c.filled()
	if s.IsSet() && s.V != "default" {
		c.warn(s.Pos, summaryNoEffect, fmt.Sprintf("every worker pool is this host, %s too", quoteKey(s.V)), "")
	}
	return s.V
}

func (c cursor) template() Template {
	t := Template{
		Image:   c.at("image").image(),
		Command: c.at("command").argv(),
		Args:    c.at("args").argv(),
		Env:     c.at("env").nameValues(),
	}
	t.CPU, t.NanoCPUs = c.at("resources").at("cpu").quantity(big.NewRat(1, 1e9), `0.5 or "500m"`)
	memory := c.at("resources").at("memory")
	t.Memory, t.MemoryBytes = memory.quantity(big.NewRat(1, 1), `"512Mi"`)
	if t.MemoryBytes > 0 && t.MemoryBytes < leastMemory {
		memory.invalid(quoteKey(t.Memory.V)+" is less than 64 KiB, and nothing runs in so little",
			fmt.Sprintf("units are Ki, Mi and Gi: write %q", strings.TrimRight(t.Memory.V, "mkKi")+"Mi"))
		t.MemoryBytes = 0
	}
	return t
}

func (c cursor) nameValues() []NameValue {
	var out []NameValue
	seen := map[string]Pos{}
	for _, x := range c.items() {
		name := x.at("name").text()
		if !name.IsSet() || !x.envName(name) {
			continue
		}
		if first, again := seen[name.V]; again {
			c.warn(name.Pos, summaryRepeated, fmt.Sprintf("%s is also on line %d; this later one counts", name.V, first.Line), "")
		}
		seen[name.V] = name.Pos
		out = append(out, NameValue{Name: name, Value: x.at("value").text().V})
	}
	return out
}

func (c cursor) state() *State {
	if !c.is("a map", NodeMap) {
		return nil
	}
	s := &State{Pos: c.n.Pos, MountPath: "/var/clrk/state", SizeLimitMB: c.at("sizeLimitMB").count().V}
	if s.SizeLimitMB > maxSizeMB {
		c.at("sizeLimitMB").invalid(fmt.Sprintf("%d is more than any disk has", s.SizeLimitMB), "leave it out for no limit")
		s.SizeLimitMB = 0
	}
	if p := c.at("mountPath").absolutePath(); p.IsSet() {
		s.MountPath, s.Pos = p.V, p.Pos
	}
	return s
}
