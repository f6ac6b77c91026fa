// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"maps"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

func TestUnenforcedLimits(t *testing.T) {
	all := []string{"cpuset", "cpu", "io", "memory", "pids"}
	for name, test := range map[string]struct {
		host cgroups
		want []plan.Limit
	}{
		"v2, root":                     {cgroups{"v2", all, false}, nil},
		"v1, root":                     {cgroups{"v1", []string{"cpu", "cpuacct", "memory", "pids"}, false}, nil},
		"v1, rootless":                 {cgroups{"v1", all, true}, []plan.Limit{plan.LimitCPU, plan.LimitMemory, plan.LimitPids}},
		"v2, rootless, all delegated":  {cgroups{"v2", all, true}, nil},
		"v2, rootless, as systemd has": {cgroups{"v2", []string{"memory", "pids"}, true}, []plan.Limit{plan.LimitCPU}},
		"v2, rootless, none delegated": {cgroups{"v2", nil, true}, []plan.Limit{plan.LimitCPU, plan.LimitMemory, plan.LimitPids}},
		"v1, a kernel without memory":  {cgroups{"v1", []string{"cpu", "pids"}, false}, []plan.Limit{plan.LimitMemory}},
		"v2, a container without pids": {cgroups{"v2", []string{"cpu", "memory"}, false}, []plan.Limit{plan.LimitPids}},
	} {
		t.Run(name, func(t *testing.T) {
			got := slices.Sorted(maps.Keys(test.host.unenforced()))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestMountedCgroups(t *testing.T) {
	file := &fstest.MapFile{}
	v1 := fstest.MapFS{"memory/memory.limit_in_bytes": file, "cpu/cpu.cfs_quota_us": file, "pids/cgroup.procs": file}
	without := maps.Clone(v1)
	delete(without, "cpu/cpu.cfs_quota_us")
	hybrid := maps.Clone(v1)
	hybrid["unified/cgroup.controllers"] = file
	v2 := func(list string) fstest.MapFS {
		return fstest.MapFS{"cgroup.controllers": &fstest.MapFile{Data: []byte(list + "\n")}}
	}
	for name, test := range map[string]struct {
		files fstest.MapFS
		want  []plan.Limit
	}{
		"v1":                 {v1, nil},
		"v1 and v2":          {hybrid, nil},
		"v1 without quotas":  {without, []plan.Limit{plan.LimitCPU}},
		"v2":                 {v2("cpuset cpu io memory hugetlb pids rdma misc"), nil},
		"v2 without cpu":     {v2("cpuset io memory pids"), []plan.Limit{plan.LimitCPU}},
		"nothing is mounted": {fstest.MapFS{}, []plan.Limit{plan.LimitCPU, plan.LimitMemory, plan.LimitPids}},
	} {
		t.Run(name, func(t *testing.T) {
			got := slices.Sorted(maps.Keys(mounted(test.files).unenforced()))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
