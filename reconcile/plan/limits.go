// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"strconv"
)

// Limit names a limit on what a container may use.
type Limit string

// The limits, in the order in which they are told.
const (
	LimitMemory Limit = "memory"
	LimitCPU    Limit = "cpu"
	LimitPids   Limit = "pids"
)

// Limits returns the limits that a container is to have.
func (c ContainerSpec) Limits() []Limit {
	var out []Limit
	for _, l := range []Limit{LimitMemory, LimitCPU, LimitPids} {
		if c.limit(l) > 0 {
			out = append(out, l)
		}
	}
	return out
}

func (c ContainerSpec) limit(l Limit) int64 {
	switch l {
	case LimitMemory:
		return c.Memory
	case LimitCPU:
		return c.NanoCPUs
	case LimitPids:
		return c.PidsLimit
	}
	return 0
}

// LimitText says for people how much of it a container may use.
func (c ContainerSpec) LimitText(l Limit) string {
	switch n := c.limit(l); l {
	case LimitMemory:
		return bytesText(n)
	case LimitCPU:
		return cpuText(n)
	case LimitPids:
		return fmt.Sprintf("%d processes", n)
	}
	return ""
}

// Without is c without the limits that are in vain.
func (c ContainerSpec) Without(vain map[Limit]string) ContainerSpec {
	for l := range vain {
		switch l {
		case LimitMemory:
			c.Memory = 0
		case LimitCPU:
			c.NanoCPUs = 0
		case LimitPids:
			c.PidsLimit = 0
		}
	}
	return c
}

// Place is where the limit of a resource is asked for: a key of its Places.
func (l Limit) Place() string {
	switch l {
	case LimitCPU:
		return "nanoCPUs"
	case LimitPids:
		return "pidsLimit"
	}
	return string(l)
}

// cpuText says how many CPUs n billionths are.
func cpuText(n int64) string { return strconv.FormatFloat(float64(n)/1e9, 'f', -1, 64) + " CPUs" }
