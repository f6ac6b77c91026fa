// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"testing"

	"reconcile/reconcile/plan"
)

// TestIDSpellings: the default namespace, written or not, is one.
func TestIDSpellings(t *testing.T) {
	for name, test := range map[string]struct{ namespace, text, canonical, full, named string }{
		"none":    {"", "taskagent/a", "", "default", "default/a"},
		"default": {"default", "taskagent/a", "", "default", "default/a"},
		"other":   {"team", "taskagent/team/a", "team", "team", "team/a"},
	} {
		id := plan.ID{Kind: plan.TaskAgent, Namespace: test.namespace, Name: "a"}
		if got := id.String(); got != test.text {
			t.Errorf("%s: String() = %q, want %q", name, got, test.text)
		}
		if got, want := id.Canonical(), (plan.ID{Kind: plan.TaskAgent, Namespace: test.canonical, Name: "a"}); got != want {
			t.Errorf("%s: Canonical() = %#v, want %#v", name, got, want)
		}
		if got := id.FullNamespace(); got != test.full {
			t.Errorf("%s: FullNamespace() = %q, want %q", name, got, test.full)
		}
		if got := id.NamespacedName(); got != test.named {
			t.Errorf("%s: NamespacedName() = %q, want %q", name, got, test.named)
		}
	}
}
