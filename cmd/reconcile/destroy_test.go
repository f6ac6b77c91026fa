// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconcile/reconcile/plan"
)

// A name that is no name leads to no folder: it once led out of the state
// directory.
func TestDestroyFollowsNoName(t *testing.T) {
	ws, outside := t.TempDir(), t.TempDir()
	state := filepath.Join(outside, "state")
	work := filepath.Join(outside, "other", "data", "agents", "a")
	for _, dir := range []string{work, filepath.Join(state, "workspaces")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: ../../other}\n"
	if err := os.WriteFile(filepath.Join(ws, "workspace.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"destroy", "--yes", "--data"}, {"status"}, {"logs", "a"}} {
		var out, said bytes.Buffer
		code := run(t.Context(), append(args, "-C", ws, "--state-dir", state), stdio{strings.NewReader(""), &out, &said})
		if code != plan.ExitFault || !strings.Contains(said.String(), "error: the workspace has no name that can be used") {
			t.Errorf("%v: exit code %d, said %q", args, code, said.String())
		}
	}
	if _, err := os.Stat(work); err != nil {
		t.Error(err)
	}
}

// What was confirmed is destroyed, and nothing else, whatever came or went
// between the question and the answer.
func TestDestroyOnlyWhatWasShown(t *testing.T) {
	object := func(name, handle string, state plan.State) plan.Object {
		return plan.Object{
			ID: plan.ID{Kind: plan.Manifest, Name: name}, Handle: handle, Name: "acme-" + name,
			Workspace: "acme", Root: "/srv/acme", Owner: "me", Role: plan.RoleInstance, State: state,
		}
	}
	planOf := func(objects ...plan.Object) plan.Plan {
		d := plan.Desired{Workspace: "acme", Root: "/srv/acme", Source: "workspace.yaml:1:1", Destroy: true}
		return plan.New(d, plan.Observed{Objects: objects, Records: plan.Records{Owner: "me"}}, plan.Options{})
	}
	web, db := object("web", "1", plan.StateRunning), object("db", "2", plan.StateRunning)
	shown := planOf(db, web)
	for name, tt := range map[string]struct {
		now  plan.Plan
		same bool
	}{
		"nothing moved": {planOf(db, web), true},
		"one came":      {planOf(db, web, object("new", "3", plan.StateRunning)), false},
		"one went":      {planOf(db), false},
		"one is anew":   {planOf(db, object("web", "3", plan.StateRunning)), false},
		"one stopped":   {planOf(db, object("web", "1", plan.StateExited)), true},
	} {
		_, err := onlyShown(shown)(nil, tt.now, plan.Observed{})
		if same := !errors.Is(err, errNotConfirmed); same != tt.same {
			t.Errorf("%s: confirmed %t, want %t", name, same, tt.same)
		}
	}
}
