// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// summarize sums up what is there now, with the plan made of it.
func summarize(t *testing.T, rt reconcile.Reader, m reconcile.Memory, d plan.Desired) map[string]reconcile.Status {
	t.Helper()
	p, o, err := reconcile.DryRun(t.Context(), rt, m, d, plan.Options{Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]reconcile.Status{}
	for _, st := range reconcile.Summarize(d, o, p) {
		if _, twice := out[st.Name]; twice {
			t.Errorf("two statuses named %s", st.Name)
		}
		out[st.Name] = st
	}
	return out
}

func codes(rs []plan.Reason) []plan.Code {
	out := []plan.Code{}
	for _, r := range rs {
		out = append(out, r.Code)
	}
	return out
}

func TestSummarizeWords(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	stopped := instance("stopped")
	once := instance("once")
	once.Want = plan.WantOnce
	all := []plan.Resource{
		instance("running"), instance("paused"), instance("crashed"), instance("gone"), instance("broken"),
		instance("detached"), stopped, once, instance("dropped"), instance("keeper"),
	}
	d := desired(all...)
	converge(t, rt, mem, d)

	handle := func(name string) string {
		t.Helper()
		for _, obj := range rt.Things() {
			if obj.Name == testWorkspace+"-"+name {
				return obj.Handle
			}
		}
		t.Fatalf("no object %s", name)
		return ""
	}
	rt.Pause(handle("paused"))
	rt.Exit(handle("crashed"), 7)
	rt.Remove(handle("gone"))
	rt.Break(handle("broken"))
	rt.Detach(handle("detached"))
	rt.Exit(handle("stopped"), 143)
	rt.Exit(handle("once"), 0)
	rt.SetKeep(handle("keeper"), true)
	all[6].Want = plan.WantStopped
	fresh, blocked, waiting := instance("fresh"), instance("blocked"), instance("waiting", agent("blocked"))
	blocked.Blocked = []plan.Reason{{Code: plan.CodeUnsupported, Text: "not supported by this build", Origin: "blocked/manifest.yaml:3:1"}}
	d = desired(append(all[:8:8], fresh, blocked, waiting)...)

	type line struct {
		Desired, Actual string
		State           reconcile.Word
		InSync, Orphan  bool
		Codes           []plan.Code
	}
	got := map[string]line{}
	for name, st := range summarize(t, rt, mem, d) {
		got[name] = line{st.Desired, st.Actual, st.State, st.InSync, st.Orphan, codes(st.Reasons)}
	}
	none := []plan.Code{}
	want := map[string]line{
		"acme":          {"exists", "exists", "Present", true, false, none},
		"acme-running":  {"running", "running", "Running", true, false, none},
		"acme-paused":   {"running", "paused", "Paused", false, false, []plan.Code{plan.CodePaused}},
		"acme-crashed":  {"running", "exited", "Exited (7)", false, false, []plan.Code{plan.CodeStopped}},
		"acme-gone":     {"running", "absent", "Removed", false, false, []plan.Code{plan.CodeMissing}},
		"acme-broken":   {"running", "broken", "Broken", false, false, []plan.Code{plan.CodeBroken}},
		"acme-detached": {"running", "running", "Running", false, false, []plan.Code{plan.CodeDetached}},
		"acme-stopped":  {"stopped", "exited", "Stopped", true, false, []plan.Code{plan.CodeKept}},
		"acme-once":     {"once", "exited", "Exited (0)", true, false, []plan.Code{plan.CodeFinished}},
		"acme-fresh":    {"running", "absent", "Waiting", false, false, []plan.Code{plan.CodeNew}},
		"acme-blocked":  {"running", "absent", "Blocked", false, false, []plan.Code{plan.CodeUnsupported}},
		"acme-waiting":  {"running", "absent", "Waiting", false, false, []plan.Code{plan.CodeBlockedBy}},
		"acme-dropped":  {"absent", "running", "Running", false, true, []plan.Code{plan.CodeRemoved}},
		"acme-keeper":   {"absent", "running", "Running", true, true, []plan.Code{plan.CodeKept}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

func TestSummarizeFacts(t *testing.T) {
	created, started := testNow.Add(-time.Hour), testNow.Add(-time.Minute)
	r := instance("a")
	port := plan.Port{HostIP: "127.0.0.1", HostPort: 40001, Container: 80, Protocol: "tcp"}
	obj := plan.Object{
		ID: r.ID, Handle: "h1", Name: r.Name, Digest: "v1:d", Revision: "abc", State: plan.StateExited, ExitCode: 3,
		Created: created, Started: started, Finished: testNow, Image: "sha256:a1", Ports: []plan.Port{port},
	}
	old := obj
	old.Handle, old.Name, old.State, old.Digest = "h0", r.Name+"-old", plan.StateRunning, "v1:old"
	o := plan.Observed{
		Objects: []plan.Object{old, obj},
		Records: plan.Records{Records: []plan.Record{{ID: r.ID, Kind: plan.RecordRestarts, Data: map[string]string{"count": "4", "digest": "v1:d"}}}},
	}
	d := plan.Desired{Workspace: testWorkspace, Resources: []plan.Resource{r}}
	reason := plan.Reason{Code: plan.CodeStopped, Text: "it exited with 3", Origin: r.Origin}
	p := plan.Plan{Changes: []plan.Change{{ID: r.ID, Reasons: []plan.Reason{reason}}}, Drift: []plan.Change{{ID: r.ID, Reasons: []plan.Reason{reason}}}}

	got, err := json.MarshalIndent(reconcile.Summarize(d, o, p), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `[
 {
  "id": "manifest/a",
  "kind": "Manifest",
  "name": "acme-a",
  "desired": "running",
  "actual": "exited",
  "state": "Exited (3)",
  "in_sync": false,
  "reasons": [
   {
    "code": "stopped",
    "text": "it exited with 3",
    "origin": "a/manifest.yaml:1:1"
   }
  ],
  "origin": "a/manifest.yaml:1:1",
  "handle": "h1",
  "digest": "v1:d",
  "revision": "abc",
  "image": "localhost/agent:1",
  "image_id": "sha256:a1",
  "ports": [
   {
    "container": 80,
    "hostIP": "127.0.0.1",
    "hostPort": 40001,
    "protocol": "tcp"
   }
  ],
  "restarts": 4,
  "exit_code": 3,
  "created": "2026-03-04T04:06:07Z",
  "started": "2026-03-04T05:05:07Z",
  "finished": "2026-03-04T05:06:07Z"
 },
 {
  "id": "manifest/a",
  "kind": "Manifest",
  "name": "acme-a-old",
  "desired": "absent",
  "actual": "running",
  "state": "Running",
  "in_sync": false,
  "orphan": true,
  "reasons": [
   {
    "code": "stopped",
    "text": "it exited with 3",
    "origin": "a/manifest.yaml:1:1"
   }
  ],
  "handle": "h0",
  "digest": "v1:old",
  "revision": "abc",
  "image_id": "sha256:a1",
  "ports": [
   {
    "container": 80,
    "hostIP": "127.0.0.1",
    "hostPort": 40001,
    "protocol": "tcp"
   }
  ],
  "restarts": 0,
  "created": "2026-03-04T04:06:07Z",
  "started": "2026-03-04T05:05:07Z",
  "finished": "2026-03-04T05:06:07Z"
 }
]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}
