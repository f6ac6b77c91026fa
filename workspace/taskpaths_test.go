// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconcile/reconcile/plan"
)

// claimant is what can claim a path.
type claimant struct {
	what  string // in messages
	list  string // that it is an entry of
	entry string // with %s for the path
}

func claimants() []claimant {
	const ofAgent, ofTask, credentials = "agent contexts", "task contexts", "credentials"
	return []claimant{
		{"the Agent's context file", ofAgent, "{name: file, mountPath: %s}"},
		{"the Agent's context folder", ofAgent, "{name: folder, mountPath: %s}"},
		{"the Agent's context placed", ofAgent, "{name: placed, type: Inline, inline: {content: x}, mountPath: %s}"},
		{"the Task's context file", ofTask, "{name: file, mountPath: %s}"},
		{"the Task's context folder", ofTask, "{name: folder, mountPath: %s}"},
		{"the credential key", credentials, "{name: key, secretRef: {name: s, key: k}, mountPath: %s}"},
		{"the credential host", credentials, "{name: host, secretRef: {name: s}, mountPath: %s}"},
		{"the credential document", credentials, "{name: document, secretRef: {name: sealed}, mountPath: %s}"},
	}
}

// meeting is how two paths meet in a container whose workspaceDir is /work.
type meeting struct {
	first, second string
	at            string // the path that both want; "" = they do not meet
	same          bool   // both want that very path
}

func meetings() []meeting {
	return []meeting{
		{"p", "p", "/work/p", true},
		{"p/q", "./p//x/../q/", "/work/p/q", true},
		{"p", "/work/p/", "/work/p", true},
		{"/etc/p", "/etc/./p/", "/etc/p", true},
		{"p", "p/q/r", "/work/p/q/r", false},
		{"/etc/p", "/etc/p/q", "/etc/p/q", false},
		{"p/q", "p", "/work/p/q", false},
		{"p", "p-q", "", false},
		{"/etc/p/q", "/etc/p/r", "", false},
	}
}

// pair are two claims of one Task.
type pair struct {
	first, second claimant
	meeting
}

// overrides reports whether the Task's claim takes the place of the Agent's.
func (p pair) overrides() bool {
	lists := p.first.list + ", " + p.second.list
	return p.same && (lists == "agent contexts, task contexts" || lists == "task contexts, agent contexts")
}

// documents are a Task of the name and its Agent.
func (p pair) documents(name string) string {
	lists := map[string][]string{}
	for c, at := range map[*claimant]string{&p.first: p.meeting.first, &p.second: p.meeting.second} {
		lists[c.list] = append(lists[c.list], fmt.Sprintf(c.entry, at))
	}
	entries := func(list string) string { return "[" + strings.Join(lists[list], ", ") + "]" }
	agent := fmt.Sprintf("---\napiVersion: kubetask.io/v1alpha1\nkind: Agent\nmetadata: {name: %s}\nspec: {agentImage: alpine, workspaceDir: /work/, contexts: %s, credentials: %s}\n",
		name, entries("agent contexts"), entries("credentials"))
	return agent + fmt.Sprintf("---\napiVersion: kubetask.io/v1alpha1\nkind: Task\nmetadata: {name: %s}\nspec: {agentRef: %s, contexts: %s}\n",
		name, name, entries("task contexts"))
}

// check holds what is said of the Task to what is to be.
func (p pair) check(t *testing.T, r *plan.Resource, files []TaskFile) {
	t.Helper()
	about := fmt.Sprintf("%s at %s and %s at %s", p.first.what, p.meeting.first, p.second.what, p.meeting.second)
	if p.at == "" || p.overrides() {
		if len(r.Blocked) > 0 {
			t.Errorf("%s: said %v, want nothing", about, r.Blocked)
		}
		for _, f := range files {
			if p.overrides() && f.Path == p.at && !strings.HasPrefix(f.From, "the Task's ") {
				t.Errorf("%s: the path is of %s", about, f.From)
			}
		}
		return
	}
	said := ""
	if len(r.Blocked) == 1 {
		said = r.Blocked[0].Text
	}
	for _, part := range []string{fmt.Sprintf("mount path conflict: %q is used by both ", p.at), p.first.what + " at all.yaml:", p.second.what + " at all.yaml:"} {
		if !strings.Contains(said, part) {
			t.Errorf("%s: said %v, want one conflict with %q", about, r.Blocked, part)
		}
	}
}

// TestPathsOfPairs has any two things claim paths that meet, in all ways.
func TestPathsOfPairs(t *testing.T) {
	const common = `apiVersion: kubetask.io/v1alpha1
kind: Context
metadata: {name: file}
spec: {type: Inline, inline: {content: x}}
---
apiVersion: kubetask.io/v1alpha1
kind: Context
metadata: {name: folder}
spec: {type: ConfigMap, configMap: {name: folder}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: folder}
data: {a: x}
---
apiVersion: v1
kind: Secret
metadata: {name: sealed}
encryptedData: {a: "-----BEGIN AGE ENCRYPTED FILE-----"}
`
	pairs, overrides := map[string]pair{}, 0
	var documents strings.Builder
	documents.WriteString(common)
	for _, x := range claimants() {
		for _, y := range claimants() {
			for _, m := range meetings() {
				p, name := pair{x, y, m}, fmt.Sprintf("t-%d", len(pairs))
				documents.WriteString(p.documents(name))
				pairs[name] = p
				if p.overrides() {
					overrides++
				}
			}
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(documents.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, ds, err := Load(t.Context(), Options{Dir: dir, Name: "acme", StateDir: "/state"})
	if err != nil || len(ds) > 0 {
		t.Fatal(err, ds)
	}
	res := tree.Resolve()
	for _, d := range res.Diagnostics {
		if d.Summary == summaryOverride {
			overrides--
		}
	}
	if overrides != 0 {
		t.Errorf("%d more contexts of Agents are overridden than warned of", overrides)
	}
	for _, r := range res.Desired.Resources {
		if r.ID.Kind == plan.Task {
			pairs[r.ID.Name].check(t, &r, res.TaskFiles[r.ID])
			delete(pairs, r.ID.Name)
		}
	}
	if len(pairs) > 0 {
		t.Errorf("%d pairs are no Tasks", len(pairs))
	}
}
