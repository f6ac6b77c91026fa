// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// historyStore is a store and the file of its history.
func historyStore(t *testing.T) (*reconcile.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "acme")
	s, err := reconcile.OpenStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	return s, filepath.Join(dir, "cache", "history.jsonl")
}

// passed is the record of a pass that created something.
func passed(name string) reconcile.PassRecord {
	return reconcile.PassRecord{
		Began: testNow, Ended: testNow.Add(time.Second), Causes: []reconcile.Cause{reconcile.CauseEdit}, Result: reconcile.ResultConverged,
		Changes: []reconcile.PassChange{{ID: agent(name), Action: plan.ActionCreate, Done: true, Reason: plan.Reason{Code: plan.CodeNew, Text: "it is new", Origin: "-"}}},
		Errors:  []string{},
	}
}

func mustAppend(t *testing.T, s *reconcile.Store, r reconcile.PassRecord) reconcile.PassRecord {
	t.Helper()
	out, err := s.AppendHistory(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func mustHistory(t *testing.T, s *reconcile.Store, limit int) []reconcile.PassRecord {
	t.Helper()
	out, err := s.History(limit)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHistoryKeepsWhatSaysSomething(t *testing.T) {
	nothing := reconcile.PassRecord{Began: testNow, Causes: []reconcile.Cause{reconcile.CauseInterval}, Result: reconcile.ResultUnchanged}
	failed := nothing
	failed.Result, failed.ExitCode, failed.Errors = reconcile.ResultFailed, 1, []string{"pull img:1: connection refused"}
	other := failed
	other.Errors = []string{"pull img:2: connection refused"}
	commit := nothing
	commit.Revision = "1a2b"
	refused := commit
	refused.Result, refused.ExitCode = reconcile.ResultRefused, 3

	s, _ := historyStore(t)
	steps := []struct {
		name string
		rec  reconcile.PassRecord
		want int // 0 = not kept
	}{
		{"the first", nothing, 1},
		{"nothing again", nothing, 0},
		{"something", passed("a"), 2},
		{"something again", passed("a"), 3},
		{"nothing after something", nothing, 0},
		{"a failure", failed, 4},
		{"the same failure", failed, 0},
		{"another failure", other, 5},
		{"mended", nothing, 6},
		{"another commit", commit, 7},
		{"the same commit", commit, 0},
		{"refused", refused, 8},
	}
	for _, st := range steps {
		if got := mustAppend(t, s, st.rec).Number; got != st.want {
			t.Errorf("%s: number %d, want %d", st.name, got, st.want)
		}
	}
	var numbers []int
	for _, r := range mustHistory(t, s, 3) {
		numbers = append(numbers, r.Number)
	}
	if diff := cmp.Diff([]int{8, 7, 6}, numbers); diff != "" {
		t.Errorf("the last three (-want +got):\n%s", diff)
	}
}

func TestHistorySurvives(t *testing.T) {
	s, file := historyStore(t)
	if got := mustHistory(t, s, 0); len(got) != 0 {
		t.Errorf("history of a new store: %v", got)
	}
	want := passed("a")
	want.Number = 1
	mustAppend(t, s, passed("a"))
	if diff := cmp.Diff([]reconcile.PassRecord{want}, mustHistory(t, s, 0)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}

	// A line that a crash cut, and one of something else.
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Join([][]byte{[]byte("{\"number\":\n[1]\n\n"), b, b[:20]}, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mustHistory(t, s, 0); len(got) != 1 || got[0].Number != 1 {
		t.Errorf("history with broken lines: %v", got)
	}
	if got := mustAppend(t, s, passed("b")).Number; got != 2 {
		t.Errorf("number %d after broken lines, want 2", got)
	}
	if got := mustHistory(t, s, 0); len(got) != 2 {
		t.Errorf("history after broken lines: %v", got)
	}

	// Another process goes on counting, and so does this one without its cache.
	again, err := reconcile.OpenStore(filepath.Dir(filepath.Dir(file)), false)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustAppend(t, again, passed("c")).Number; got != 3 {
		t.Errorf("number %d in another process, want 3", got)
	}
	if err := os.RemoveAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	if got := mustAppend(t, again, passed("d")).Number; got != 4 {
		t.Errorf("number %d without the cache, want 4", got)
	}

	reader, err := reconcile.OpenStore(filepath.Dir(filepath.Dir(file)), true)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustHistory(t, reader, 0); len(got) != 1 {
		t.Errorf("read only: %v", got)
	}
	if _, err := reader.AppendHistory(passed("e")); err == nil {
		t.Error("a store that is open for reading was written")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	s, file := historyStore(t)
	for i := range 520 {
		mustAppend(t, s, passed(fmt.Sprint("a", i)))
	}
	if got := mustHistory(t, s, 0); len(got) != 500 || got[0].Number != 520 || got[499].Number != 21 {
		t.Errorf("%d records from %d to %d", len(got), got[len(got)-1].Number, got[0].Number)
	}

	huge := passed("huge")
	huge.Errors = []string{strings.Repeat("ä", 1<<20)}
	for i := range 10_000 {
		huge.Changes = append(huge.Changes, reconcile.PassChange{ID: agent(fmt.Sprint("agent-with-a-long-name-", i)), Action: plan.ActionDelete})
		huge.Errors = append(huge.Errors, strings.Repeat("x", 1<<10))
	}
	for range 30 {
		mustAppend(t, s, huge)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 1<<20 {
		t.Errorf("%d bytes", info.Size())
	}
	last := mustHistory(t, s, 1)[0]
	if last.Number != 550 || len(last.Changes) != 500 || len(last.Errors) != 50 || last.Omitted != 9501+9951 {
		t.Errorf("the last record is %d with %d changes, %d errors, %d omitted", last.Number, len(last.Changes), len(last.Errors), last.Omitted)
	}
	if !strings.HasSuffix(last.Errors[0], "ä…") {
		t.Errorf("a text was cut to %q", last.Errors[0][len(last.Errors[0])-5:])
	}
}

func TestRecordOf(t *testing.T) {
	d := desired()
	d.Revision = "1a2b"
	broken := schema.Diagnostics{{Severity: schema.Error, Summary: "unknown field", Pos: schema.Pos{File: "a.yaml", Line: 1, Col: 2}}, {Severity: schema.Warning, Summary: "unused"}}
	forbidden := schema.Diagnostics{{Severity: schema.Error, Summary: "not allowed", Detail: "host hooks\nare locked", Policy: true}}
	create := plan.Change{ID: agent("a"), Actions: []plan.Action{plan.ActionCreate}, Reasons: []plan.Reason{{Code: plan.CodeNew, Text: "it is new", Origin: "-"}}}
	started := reconcile.StepResult{Step: step("create:a"), State: reconcile.StepDone, Started: testNow}
	failed := started
	failed.State, failed.Err = reconcile.StepFailed, errors.New("create manifest/a: no space left")
	never := reconcile.StepResult{Step: step("start:a"), State: reconcile.StepSkipped}
	held := plan.Plan{Held: []plan.Change{
		{ID: agent("b"), Reasons: []plan.Reason{{Code: plan.CodeImageMissing, Text: "image img:1 does not exist"}}},
		{ID: agent("c"), Reasons: []plan.Reason{{Code: plan.CodeBlockedBy, Text: "it needs b"}}},
		{ID: agent("d"), Benign: true, Reasons: []plan.Reason{{Code: plan.CodeKept, Text: "it is to stay stopped"}}},
	}}
	tests := []struct {
		name   string
		res    reconcile.PassResult
		loaded reconcile.Loaded
		result reconcile.Result
		code   int
		want   []string // changes, then errors
	}{
		{name: "nothing", result: reconcile.ResultUnchanged},
		{name: "done", res: reconcile.PassResult{Plan: plan.Plan{Changes: []plan.Change{create}}, Outcome: reconcile.Outcome{Steps: []reconcile.StepResult{started}}}, result: reconcile.ResultConverged, want: []string{"create a true"}},
		{name: "failed", res: reconcile.PassResult{Plan: plan.Plan{Changes: []plan.Change{create}}, Outcome: reconcile.Outcome{Steps: []reconcile.StepResult{failed, never}}}, result: reconcile.ResultFailed, code: 1, want: []string{"create a false", "create manifest/a: no space left"}},
		{name: "never tried", res: reconcile.PassResult{Plan: plan.Plan{Changes: []plan.Change{create}}, Outcome: reconcile.Outcome{Steps: []reconcile.StepResult{never}, Superseded: true}}, result: reconcile.ResultSuperseded},
		{name: "interrupted", res: reconcile.PassResult{Plan: plan.Plan{Changes: []plan.Change{create}}, Outcome: reconcile.Outcome{Steps: []reconcile.StepResult{started, never}, Interrupted: true}}, result: reconcile.ResultInterrupted, code: 1, want: []string{"create a false"}},
		{name: "held", res: reconcile.PassResult{Plan: held}, result: reconcile.ResultFailed, code: 1, want: []string{"manifest/b: image img:1 does not exist"}},
		{name: "invalid", loaded: reconcile.Loaded{Diagnostics: broken}, result: reconcile.ResultFailed, code: 1, want: []string{"a.yaml:1:2: unknown field"}},
		{name: "fatal", loaded: reconcile.Loaded{Fatal: true}, result: reconcile.ResultFailed, code: 1},
		{name: "forbidden", loaded: reconcile.Loaded{Diagnostics: forbidden}, result: reconcile.ResultRefused, code: 3, want: []string{"-: not allowed: host hooks; are locked"}},
		{name: "refused source", loaded: reconcile.Loaded{Refused: []plan.Reason{{Code: plan.CodePolicy, Text: "not signed", Origin: "acme.git"}}}, result: reconcile.ResultRefused, code: 3, want: []string{"acme.git: not signed"}},
		{name: "refused plan", res: reconcile.PassResult{Plan: plan.Plan{Refused: []plan.Reason{{Code: plan.CodeMassDelete, Text: "4 of 5", Origin: "-"}}}}, result: reconcile.ResultRefused, code: 3, want: []string{"-: 4 of 5"}},
		{name: "not begun", res: reconcile.PassResult{Err: errors.New("observe: down")}, result: reconcile.ResultFailed, code: 1, want: []string{"observe: down"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.loaded.Desired = d
			rec := reconcile.RecordOf(tt.res, tt.loaded, []reconcile.Cause{reconcile.CausePush}, testNow)
			var got []string
			for _, c := range rec.Changes {
				got = append(got, fmt.Sprintf("%s %s %t", c.Action, c.ID.Name, c.Done))
			}
			got = append(got, rec.Errors...)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("changes and errors (-want +got):\n%s", diff)
			}
			if rec.Result != tt.result || rec.ExitCode != tt.code {
				t.Errorf("%s with exit code %d, want %s with %d", rec.Result, rec.ExitCode, tt.result, tt.code)
			}
			if rec.Revision != "1a2b" || !rec.Began.Equal(testNow) || rec.Ended.IsZero() {
				t.Errorf("record %+v", rec)
			}
		})
	}
}
