// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// A folder keeps what was begun and ended; what was only begun is lost; what makes
// no sense stays as it is, and what goes on is not dropped for newer ones.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	a := plan.ID{Kind: plan.TaskAgent, Namespace: "default", Name: "a"}
	f := dispatch.OpenFolder(filepath.Join(dir, "executions"))
	if recent, err := f.Recent(a); len(recent) > 0 || err != nil {
		t.Fatal(recent, err)
	}
	if s, err := f.Cron(a); err != nil || s != (dispatch.CronState{}) {
		t.Fatal(s, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Fatalf("reading has made %v, %v", entries, err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	one := func(n int) dispatch.Execution {
		return dispatch.Execution{
			Agent: a, Key: fmt.Sprintf("%016x", n), ID: "same", Revision: "a-00001",
			Accepted: at.Add(time.Duration(n) * time.Second), Outcome: dispatch.Running,
		}
	}
	if _, err := f.Begin(one(0)); err != nil { // it goes on all the time
		t.Fatal(err)
	}
	exit := 3
	for n := 1; n < 60; n++ {
		e := one(n)
		entry, err := f.Begin(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte("log\n")); err != nil {
			t.Fatal(err)
		}
		e.Outcome, e.Exit, e.Status, e.Ended, e.Reason = dispatch.Failed, &exit, 500, e.Accepted.Add(time.Second), "it ended with status 3"
		if err := entry.End(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Begin(one(59)); err == nil {
		t.Error("a key was used twice")
	}
	folder := f.Dir(a)
	strange := filepath.Join(folder, "ffffffffffffffff")
	empty := filepath.Join(folder, "eeeeeeeeeeeeeeee")
	for _, d := range []string{strange, empty} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(strange, "execution.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	recent, err := dispatch.OpenFolder(filepath.Join(dir, "executions")).Recent(plan.ID{Kind: plan.TaskAgent, Name: "a"})
	if err != nil || len(recent) != 50 {
		t.Fatalf("%d, %v", len(recent), err)
	}
	newest := one(59)
	newest.Agent.Namespace = ""
	newest.Outcome, newest.Exit, newest.Status, newest.Ended, newest.Reason = dispatch.Failed, &exit, 500, newest.Accepted.Add(time.Second), "it ended with status 3"
	lost := one(0)
	lost.Agent.Namespace = ""
	lost.Outcome, lost.Reason = dispatch.Lost, "the daemon was killed while it ran"
	if diff := cmp.Diff([]dispatch.Execution{newest, lost}, []dispatch.Execution{recent[0], recent[49]}); diff != "" {
		t.Errorf("the newest and the oldest (-want +got)\n%s", diff)
	}
	if _, err := os.Stat(strange); err != nil {
		t.Errorf("what cannot be read was dropped: %v", err)
	}
	if _, err := os.Stat(empty); err == nil {
		t.Error("what was never begun is left")
	}
	if b, err := os.ReadFile(filepath.Join(folder, recent[0].Key, "log")); string(b) != "log\n" {
		t.Errorf("%q, %v", b, err)
	}
	state := dispatch.CronState{Slot: at, Outcome: dispatch.Failed, Status: 500, Reply: "x", Execution: "y", Skipped: 2}
	if err := f.PutCron(a, state); err != nil {
		t.Fatal(err)
	}
	kept, err := dispatch.OpenFolder(filepath.Join(dir, "executions")).Cron(a)
	if diff := cmp.Diff(state, kept); err != nil || diff != "" {
		t.Errorf("cron (-want +got)\n%s%v", diff, err)
	}
}

// An execution whose log cannot be kept runs all the same.
func TestNoRoomForLogs(t *testing.T) {
	l := newLab(t, nil)
	l.set(agent("a", "ok"))
	l.ready()
	if err := os.WriteFile(filepath.Join(l.dir, "default"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	res := l.do(request("POST", "a", ""))
	if got := text(t, res); res.StatusCode != 200 || got != "ok" {
		t.Errorf("%s %q", res.Status, got)
	}
}
