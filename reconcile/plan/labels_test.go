// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

var labelled = plan.Object{
	ID:        plan.ID{Kind: plan.Manifest, Namespace: "prod", Name: "a"},
	Workspace: "acme", Root: "/w", Owner: "o1", Role: plan.RoleInstance, Session: "s", Digest: "v1:ff",
	Inputs:   map[string]string{"secret:secret:b": "k:1", "image:img:1": "sha256:<a&b>"},
	Revision: "abc+dirty", Version: "1.2.3", Keep: true,
}

func TestLabels(t *testing.T) {
	want := map[string]string{
		"reconcile.workspace": "acme",
		"reconcile.root":      "/w",
		"reconcile.id":        "manifest/prod/a",
		"reconcile.owner":     "o1",
		"reconcile.role":      "instance",
		"reconcile.session":   "s",
		"reconcile.digest":    "v1:ff",
		"reconcile.inputs":    `{"image:img:1":"sha256:<a&b>","secret:secret:b":"k:1"}`,
		"reconcile.revision":  "abc+dirty",
		"reconcile.keep":      "true",
		"reconcile.version":   "1.2.3",
	}
	if diff := cmp.Diff(want, labelled.Labels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	got, ok := plan.ParseLabels(want)
	if diff := cmp.Diff(labelled, got); !ok || diff != "" {
		t.Errorf("parsed %t (-want +got):\n%s", ok, diff)
	}
}

func TestParseLabelsOfForeignObjects(t *testing.T) {
	tests := map[string]struct{ label, value string }{
		"no workspace":   {plan.LabelWorkspace, ""},
		"no id":          {plan.LabelID, ""},
		"unknown kind":   {plan.LabelID, "pod/a"},
		"id in capitals": {plan.LabelID, "Manifest/a"},
		"no role":        {plan.LabelRole, ""},
		"broken inputs":  {plan.LabelInputs, "{"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := maps.Clone(labelled.Labels())
			l[tt.label] = tt.value
			if o, ok := plan.ParseLabels(l); ok {
				t.Errorf("taken for ours: %+v", o)
			}
		})
	}
	if _, ok := plan.ParseLabels(nil); ok {
		t.Error("an object without labels is taken for ours")
	}
}

func TestParseLabelsKeep(t *testing.T) {
	for value, want := range map[string]bool{"": false, "false": false, "true": true, "1": true, "please": true} {
		l := maps.Clone(labelled.Labels())
		l[plan.LabelKeep] = value
		if o, ok := plan.ParseLabels(l); !ok || o.Keep != want {
			t.Errorf("%q: kept is %t, want %t", value, o.Keep, want)
		}
	}
}

func FuzzParseLabels(f *testing.F) {
	f.Add(lines(labelled.Labels()))
	f.Add("reconcile.workspace=w\nreconcile.id=task/x\nreconcile.role=instance\nreconcile.inputs={\"a\":\"\\ud800\"}")
	f.Fuzz(func(t *testing.T, text string) {
		l := map[string]string{}
		for line := range strings.Lines(text) {
			k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			l[k] = v
		}
		o, ok := plan.ParseLabels(l)
		if !ok {
			return
		}
		again, ok := plan.ParseLabels(o.Labels())
		if diff := cmp.Diff(o, again); !ok || diff != "" {
			t.Fatalf("parsed again %t (-first +again):\n%s", ok, diff)
		}
	})
}

func lines(m map[string]string) string {
	var b strings.Builder
	for k, v := range m {
		b.WriteString(k + "=" + v + "\n")
	}
	return b.String()
}
