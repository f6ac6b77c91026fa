// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// What is looked at is what was kept, and looking writes nothing.
func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "executions")
	k := dispatch.Look(dir)
	words := plan.ID{Kind: plan.TaskAgent, Name: "words"}
	other := plan.ID{Kind: plan.TaskAgent, Namespace: "lab", Name: "other"}
	if list, err := k.Executions(words); err != nil || list != nil {
		t.Errorf("nothing is there: got %v %v", list, err)
	}
	if ids, err := k.Agents(); err != nil || ids != nil {
		t.Errorf("nothing is there: got %v %v", ids, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("looking has made the folder")
	}

	f := dispatch.OpenFolder(dir)
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	begin := func(agent plan.ID, key string, after time.Duration) (dispatch.Entry, dispatch.Execution) {
		e := dispatch.Execution{Agent: agent, Key: key, ID: "id-" + key[:2], Accepted: at.Add(after), Outcome: dispatch.Running}
		entry, err := f.Begin(e)
		if err != nil {
			t.Fatal(err)
		}
		return entry, e
	}
	entry, ended := begin(words, "aa00000000000000", 0)
	if _, err := entry.Write([]byte("2026-01-01T12:00:00Z stdout F hello\n")); err != nil {
		t.Fatal(err)
	}
	ended.Outcome = dispatch.Succeeded
	if err := entry.End(ended); err != nil {
		t.Fatal(err)
	}
	_, running := begin(words, "bb00000000000000", time.Second)
	begin(other, "cc00000000000000", time.Second)
	slot := dispatch.CronState{Slot: at, Outcome: dispatch.Failed, Status: 500, Reply: "no", Skipped: 2}
	if err := f.PutCron(words, slot); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"default/words/dd00000000000000/execution.json": `{"key":"dd`,                 // on its way
		"default/words/ee00000000000000/execution.json": `{"key":"ee00000000000001"}`, // another's
		"default/words/notes/execution.json":            `{"key":"notes"}`,
		"default/Words/x":                               "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)

	list, err := k.Executions(plan.ID{Kind: plan.TaskAgent, Namespace: plan.DefaultNamespace, Name: "words"})
	if diff := cmp.Diff([]dispatch.Execution{running, ended}, list); diff != "" || err != nil {
		t.Errorf("executions: %v (-want +got)\n%s", err, diff)
	}
	ids, err := k.Agents()
	if diff := cmp.Diff([]plan.ID{other, words}, ids); diff != "" || err != nil {
		t.Errorf("agents: %v (-want +got)\n%s", err, diff)
	}
	got, err := k.Cron(words)
	if diff := cmp.Diff(slot, got); diff != "" || err != nil {
		t.Errorf("cron: %v (-want +got)\n%s", err, diff)
	}
	if got, err := k.Cron(other); err != nil || !got.Slot.IsZero() {
		t.Errorf("cron of one without a schedule: %v %v", got, err)
	}
	if e, ok := k.Execution(words, running.Key); !ok || e.ID != running.ID {
		t.Errorf("execution: got %v %v", e, ok)
	}
	for _, key := range []string{"notes", "../words", "", "ee00000000000000"} {
		if e, ok := k.Execution(words, key); ok {
			t.Errorf("execution %q: got %v", key, e)
		}
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("looking has changed something (-before +after)\n%s", diff)
	}
}

// tree is the files below dir, with what is in them.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			out[path] = "folder"
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
