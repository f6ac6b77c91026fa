// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"reconcile/reconcile/plan"
)

func TestFindID(t *testing.T) {
	ids := []plan.ID{
		{Kind: plan.Network, Name: "acme"},
		{Kind: plan.Manifest, Name: "acme"},
		{Kind: plan.Task, Name: "review"},
		{Kind: plan.Task, Namespace: "team", Name: "review"},
		{Kind: plan.Task, Namespace: "team", Name: "once"},
		{Kind: plan.Task, Namespace: "task", Name: "review"},
	}
	for name, want := range map[string]string{
		"acme":                "manifest/acme",
		"network/acme":        "network/acme",
		"agent/acme":          "manifest/acme",
		"once":                "task/team/once",
		"team/review":         "task/team/review",
		"task/review":         "task/review", // as it is printed
		"default/review":      "task/review",
		"task/default/review": "task/review",
		"task/task/review":    "task/task/review",
		"review":              `"review" is ambiguous: task/review, task/task/review, task/team/review`,
		"team/acme":           `nothing is called "team/acme"`,
	} {
		id, err := findID(name, ids)
		got := id.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("findID(%q) = %s, want %s", name, got, want)
		}
	}
}
