// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// resolved resolves a workspace that is one file.
func resolved(t *testing.T, documents string) Result {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(documents), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, ds, err := Load(t.Context(), Options{Dir: dir, Name: "acme", StateDir: "/state"})
	if err != nil {
		t.Fatal(err)
	}
	res := tree.Resolve()
	if all := append(ds, res.Diagnostics...); all.HasErrors() {
		t.Fatal(all)
	}
	return res
}

const manyUsers = `apiVersion: kubetask.io/v1alpha1
kind: Agent
metadata: {name: default}
spec: {agentImage: alpine, contexts: [{name: of-agent}]}
---
apiVersion: kubetask.io/v1alpha1
kind: Agent
metadata: {name: other}
spec: {agentImage: alpine}
---
apiVersion: kubetask.io/v1alpha1
kind: Context
metadata: {name: of-agent}
spec: {type: Inline, inline: {content: "AGENT"}}
---
apiVersion: kubetask.io/v1alpha1
kind: Context
metadata: {name: mounted}
spec: {type: Inline, inline: {content: "MOUNTED"}}
---
apiVersion: kubetask.io/v1alpha1
kind: Context
metadata: {name: map}
spec: {type: ConfigMap, configMap: {name: m, key: a}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: m}
data: {a: "KEY-A", b: "KEY-B"}
---
apiVersion: kubetask.io/v1alpha1
kind: Task
metadata: {name: plain}
spec: {description: DESCRIPTION}
---
apiVersion: kubetask.io/v1alpha1
kind: Task
metadata: {name: file}
spec: {agentRef: other, contexts: [{name: mounted, mountPath: a.md}]}
---
apiVersion: kubetask.io/v1alpha1
kind: Task
metadata: {name: outside}
spec: {agentRef: other, contexts: [{name: mounted, mountPath: /etc/a.md}, {name: map}]}
---
apiVersion: kubetask.io/v1alpha1
kind: CronTask
metadata: {name: nightly}
spec: {schedule: "@daily", taskTemplate: {spec: {agentRef: other, contexts: [{type: ConfigMap, configMap: {name: m}, mountPath: m}]}}}
`

// TestChangeReachesItsUsers edits one thing after the other: the digests of
// exactly those that use it change, and the key of a Task by nothing but an edit
// of itself.
func TestChangeReachesItsUsers(t *testing.T) {
	facts := func(documents string) (digests, keys map[string]string) {
		digests, keys = map[string]string{}, map[string]string{}
		for _, r := range resolved(t, documents).Desired.Resources {
			if r.Run != nil {
				digests[r.ID.String()], keys[r.ID.String()] = string(r.Spec.Digest()), r.Run.Key
			}
		}
		return digests, keys
	}
	before, keys := facts(manyUsers)
	for _, tt := range []struct{ old, new, digests, keys string }{
		{"AGENT", "agent", "task/plain", ""},
		{"MOUNTED", "mounted", "task/file task/outside", ""},
		{"KEY-A", "key-a", "crontask/nightly task/outside", ""},
		{"KEY-B", "key-b", "crontask/nightly", ""},
		{"DESCRIPTION", "description", "task/plain", "task/plain"},
		{"{name: other}\nspec: {agentImage: alpine}", "{name: other}\nspec: {agentImage: busybox}", "crontask/nightly task/file task/outside", ""},
		{"a.md}]", "b.md}]", "task/file", "task/file"},
		{"metadata: {name: plain}", "metadata: {name: plain, labels: {a: b}, annotations: {reconcile/rerun: never}}", "", ""},
		{"data: {a:", "data: {c: x, a:", "crontask/nightly", ""},
	} {
		if !strings.Contains(manyUsers, tt.old) {
			t.Fatalf("there is no %q", tt.old)
		}
		after, newKeys := facts(strings.Replace(manyUsers, tt.old, tt.new, 1))
		if got := differing(before, after); got != tt.digests {
			t.Errorf("%s → %s changes %q, want %q", tt.old, tt.new, got, tt.digests)
		}
		if got := differing(keys, newKeys); got != tt.keys {
			t.Errorf("%s → %s changes the key of %q, want %q", tt.old, tt.new, got, tt.keys)
		}
	}
}

func differing(a, b map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if a[name] != b[name] {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

// TestRunKey keeps the keys of Tasks: with another one every finished Task would
// run again.
func TestRunKey(t *testing.T) {
	specs := map[string]string{
		"nothing":           `{}`,
		"default agent":     `{agentRef: default}`,
		"description":       `{description: "Fix it"}`,
		"agent":             `{agentRef: claude}`,
		"timeout":           `{timeout: 90s}`,
		"timeout otherwise": `{timeout: 1m30s}`,
		"human":             `{humanInTheLoop: {enabled: true}}`,
		"human disabled":    `{humanInTheLoop: {}}`,
		"context":           `{contexts: [{name: a}]}`,
		"context mounted":   `{contexts: [{name: a, mountPath: a}]}`,
		"context elsewhere": `{contexts: [{name: a, namespace: b}]}`,
		"inline":            `{contexts: [{name: a, type: Inline, inline: {content: ""}}]}`,
		"config map":        `{contexts: [{name: a, type: ConfigMap, configMap: {name: m, key: k, optional: true}}]}`,
		"git":               `{contexts: [{name: a, type: Git, git: {repository: "https://example.org/x"}}]}`,
		"git in full":       `{contexts: [{name: a, type: Git, git: {repository: "https://example.org/x", path: p, ref: r, depth: 0, secretRef: {name: s}, recurseSubmodules: true}}]}`,
	}
	want := map[string]string{
		"agent":             "61c130f54eb3",
		"config map":        "af8b114aea79",
		"context":           "16c3b2c6a22b",
		"context elsewhere": "fd2fb0955a67",
		"context mounted":   "c43cd802373c",
		"default agent":     "9ecd1350d805",
		"description":       "f2d70d109bf8",
		"git":               "79eadbbec18d",
		"git in full":       "0d8ecb36f929",
		"human":             "3ce8c18ca0c6",
		"human disabled":    "97495c5e888f",
		"inline":            "842a91272535",
		"nothing":           "9ecd1350d805",
		"timeout":           "ef667000aa88",
		"timeout otherwise": "ef667000aa88",
	}
	got := map[string]string{}
	for name, spec := range specs {
		f, ds := schema.DecodeFile("task.yaml", []byte("apiVersion: kubetask.io/v1alpha1\nkind: Task\nmetadata: {name: t}\nspec: "+spec+"\n"), schema.Options{})
		if len(ds) > 0 {
			t.Fatal(ds)
		}
		got[name] = runKey(f.Documents[0].Object.(*schema.Task).TaskSpec)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	count := map[string]int{}
	for name := range maps.Values(got) {
		count[name]++
	}
	if len(count) != len(specs)-2 {
		t.Errorf("%d keys of %d specs, of which two are spelled in two ways", len(count), len(specs))
	}
}

// TestSecretValuesStaySealed plants values in documents: they are in
// Desired.Sealed and nowhere that is printed, saved or compared.
func TestSecretValuesStaySealed(t *testing.T) {
	const canary = "CANARY-4711"
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	res := resolved(t, `apiVersion: v1
kind: Secret
metadata: {name: plain}
stringData: {A: `+canary+`}
data: {B: `+encoded+`}
---
apiVersion: kubetask.io/v1alpha1
kind: Agent
metadata: {name: default}
spec:
  agentImage: alpine
  credentials:
    - {name: all, secretRef: {name: plain}}
    - {name: file, secretRef: {name: plain, key: A}, mountPath: /key}
---
apiVersion: kubetask.io/v1alpha1
kind: Task
metadata: {name: t}
spec: {description: x}
`)
	if got := string(res.Desired.Sealed["doc:default/plain/B"].Data); got != canary {
		t.Fatalf("the sealed value is %q", got)
	}
	whole, err := json.Marshal(res.Desired)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(whole) + fmt.Sprintf("%v %+v %#v", res.Desired, res, res.Desired.Sealed)
	for _, text := range []string{canary, encoded} {
		if i := strings.Index(shown, text); i >= 0 {
			t.Errorf("a value is shown: …%s", shown[max(0, i-60):i+20])
		}
	}
	for _, r := range res.Desired.Resources {
		if c := r.Spec.Container; c != nil && (len(c.SecretFiles) != 1 || c.SecretFiles[0].Ref != "doc:default/plain/A") {
			t.Errorf("secret files %v", c.SecretFiles)
		}
	}
}

// TestClaimsSettleInAnyOrder has the same claims in every order.
func TestClaimsSettleInAnyOrder(t *testing.T) {
	of := func(p string, by owner, name string) claim {
		return claim{path: p, owner: by, what: name, content: &content{file: &blob{data: []byte(name)}}}
	}
	claims := []claim{
		of("/workspace/a", ofAgent, "agent a"), of("/workspace/a", ofTask, "task a"),
		of("/workspace/b", ofAgent, "agent b"), of("/workspace/b/c", ofTask, "task b/c"),
		of("/workspace/b-c", ofTask, "task b-c"),
	}
	permute(claims, func(order []claim) {
		tree := &Tree{}
		r := &resolver{tree: tree, resources: map[plan.ID]*plan.Resource{}, objects: newObjects()}
		l := r.layOut("/workspace", append([]claim(nil), order...))
		var got []string
		for _, f := range l.files {
			got = append(got, f.Path+" "+f.From)
		}
		want := []string{"/workspace/a task a", "/workspace/b agent b", "/workspace/b-c task b-c"}
		if diff := cmp.Diff(want, got); diff != "" || len(l.blocked) != 1 {
			t.Fatalf("%v: blocked %v, (-want +got):\n%s", order, l.blocked, diff)
		}
	})
}

func permute(list []claim, f func([]claim)) {
	var walk func(int)
	walk = func(n int) {
		if n == len(list) {
			f(list)
			return
		}
		for i := n; i < len(list); i++ {
			list[n], list[i] = list[i], list[n]
			walk(n + 1)
			list[n], list[i] = list[i], list[n]
		}
	}
	walk(0)
}
