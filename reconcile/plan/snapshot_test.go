// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

// TestSnapshotTellsAll holds a snapshot to lead to the same plan as the host
// that it is of.
func TestSnapshotTellsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, false)
		w.busy, w.backoff = false, nil // of the moment, and not in a snapshot
		s := plan.Snapshot{
			Taken: testNow, Workspace: "acme", Root: testRoot, Dir: testRoot, StateDir: "/state",
			Supervised: w.opts.Supervise, Observed: w.observe(),
		}
		b, err := s.JSON()
		if err != nil {
			t.Fatal(err)
		}
		got, err := plan.ParseSnapshot(b)
		if err != nil {
			t.Fatal(err)
		}
		opt := w.opts
		opt.Now, opt.Supervise = got.Taken, got.Supervised
		if diff := cmp.Diff(w.plan(), plan.New(w.desired, got.Observed, opt), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("another plan than for the host (-host +snapshot)\n%s", diff)
		}
		again, err := got.JSON()
		if err != nil || !bytes.Equal(b, again) {
			t.Fatalf("written again it is another file (%v)\n%s", err, cmp.Diff(string(b), string(again)))
		}
	})
}

// fullObject has a value of its own in every field.
func fullObject() plan.Object {
	at := func(n int) time.Time { return testNow.Add(time.Duration(n) * time.Second) }
	return plan.Object{
		ID: manifest("a"), Handle: "handle", Name: "name", Workspace: "acme", Root: "/root", Owner: "owner",
		Role: plan.RoleInstance, Session: "session", Digest: "v1:1", Inputs: map[string]string{"image:img:1": "sha256:1"},
		Revision: "revision", Version: "version", Keep: true, State: plan.StateExited, ExitCode: 7,
		Created: at(1), Started: at(2), Finished: at(3), Image: "sha256:2",
		Ports: []plan.Port{{Container: 1, HostIP: "127.0.0.1", HostPort: 2, Protocol: "tcp"}},
		Drift: []plan.Reason{{Code: plan.CodeDetached, Text: "text", Origin: "a.yaml:1:1"}}, UsedBy: "somebodys",
		Health: &plan.Health{Liveness: &plan.ProbeState{Verdict: plan.VerdictFailing, Since: at(4), Failures: 3, Output: "no answer"}},
	}
}

func fullSnapshot() plan.Snapshot {
	return plan.Snapshot{
		Taken: testNow, Workspace: "acme", Root: "/root", Dir: "/dir", StateDir: "/state", Supervised: true,
		Observed: plan.Observed{
			Objects: []plan.Object{fullObject()},
			Foreign: []plan.Object{{ID: plan.ID{Kind: plan.Manifest}, Handle: "theirs", Name: "acme-b"}},
			Inputs: map[plan.Input]plan.Fact{
				{Kind: plan.InputImage, Name: "img:1"}: {State: plan.FactMissing, Value: "v", Detail: "d", Local: true},
			},
			Incomplete: []plan.Reason{{Code: plan.CodeUnknown, Text: "text", Origin: "-"}},
			Records: plan.Records{Owner: "owner", Accepted: []string{"earlier"}, Records: []plan.Record{{
				ID: manifest("a"), Kind: plan.RecordPorts, Key: "k", At: testNow, Data: map[string]string{"7000/tcp": "1"},
			}}},
			Specs:     map[string]json.RawMessage{"v1:1": json.RawMessage(`{"volume":{}}`)},
			Converged: []plan.ID{manifest("a")},
			HostHooks: map[plan.ID]plan.HostHook{manifest("a"): {Digest: "sha256:1", State: plan.HookFailed, Code: 3, At: testNow, Detail: "no"}},
			NoCommit:  true, NoHostPaths: true, Unenforced: map[plan.Limit]string{plan.LimitCPU: "no controller"},
		},
	}
}

func TestSnapshotRoundTrip(t *testing.T) {
	want := fullSnapshot()
	b, err := want.JSON()
	if err != nil {
		t.Fatal(err)
	}
	got, err := plan.ParseSnapshot(b)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got)\n%s", err, diff)
	}
}

func TestParseSnapshotRefuses(t *testing.T) {
	b, err := fullSnapshot().JSON()
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	for name, tt := range map[string]struct{ src, want string }{
		"not JSON":         {"hello", "it is no snapshot: "},
		"another kind":     {strings.Replace(good, `"snapshot"`, `"plan"`, 1), `its kind is "plan"`},
		"another major":    {strings.Replace(good, `"1.0"`, `"2.0"`, 1), `format "2.0"`},
		"no version":       {strings.Replace(good, `"format_version": "1.0",`, "", 1), `format ""`},
		"unknown field":    {strings.Replace(good, `"handle": "handle"`, `"handle": "handle", "password": "x"`, 1), `unknown field "password"`},
		"invalid id":       {strings.Replace(good, `"id": "manifest/a"`, `"id": "what/a"`, 1), "parse id"},
		"nameless object":  {strings.Replace(good, `"id": "manifest/a"`, `"id": "manifest/"`, 1), "no name"},
		"invalid input":    {strings.Replace(good, `"image:img:1": {`, `"image": {`, 1), "parse input"},
		"nothing said":     {`{"format_version":"1.0","kind":"snapshot"}`, "of which workspace"},
		"followed by more": {good + "{}", "it is no snapshot: "},
	} {
		if tt.src == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := plan.ParseSnapshot([]byte(tt.src)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

func FuzzParseSnapshot(f *testing.F) {
	b, err := fullSnapshot().JSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format_version":"1.0","kind":"snapshot","taken":"2026-05-01T12:00:00Z","workspace":"a","root":"/","observed":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := plan.ParseSnapshot(b)
		if err != nil {
			return
		}
		plan.New(plan.Desired{Workspace: s.Workspace, Root: s.Root}, s.Observed, plan.Options{Now: s.Taken})
		once, err := s.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := plan.ParseSnapshot(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, once)
		}
		twice, err := again.JSON()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not stable (%v)\n%s\n%s", err, once, twice)
		}
	})
}
