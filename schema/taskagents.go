// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"math/big"
	"time"
)

// Delivery says how a request reaches a TaskAgent.
type Delivery string

// The ways.
const (
	DeliveryStdin    Delivery = "Stdin"
	DeliveryMetadata Delivery = "Metadata"
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
}

// State is the volume that a TaskAgent's executions share.
type State struct {
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
	if t.WarmPoolIdleTTL == 0 {
		t.WarmPoolIdleTTL = 10 * time.Minute
	}
	if m := spec.at("delivery").at("mode").word(); m.IsSet() {
		t.Delivery = Delivery(m.V)
	}
	if in := spec.at("scheduleInput"); in.set() {
		t.ScheduleInput = in.n.appendJSON(nil)
	}
	for _, name := range []string{"scheduleInput", "timeZone"} {
		if v := spec.at(name); v.set() && !spec.at("schedule").set() {
			c.warn(v.n.Pos, summaryNoEffect, "there is no schedule", "")
		}
	}
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
	t.Memory, t.MemoryBytes = c.at("resources").at("memory").quantity(big.NewRat(1, 1), `"512Mi"`)
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
	s := &State{MountPath: "/var/clrk/state", SizeLimitMB: c.at("sizeLimitMB").count().V}
	if p := c.at("mountPath").absolutePath(); p.IsSet() {
		s.MountPath = p.V
	}
	return s
}
