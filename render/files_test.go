// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
	"reconcile/render"
)

// ofTask is a report with one run whose task.md differs; "" = there is none.
func ofTask(before, after string) render.Report {
	spec := func(content string) json.RawMessage {
		if content == "" {
			return nil
		}
		return json.RawMessage(fmt.Sprintf(
			`{"container":{"image":"a","main":{},"mounts":[{"files":[{"digest":%q,"path":"task.md"}],"target":"/w","type":"files"}]}}`, content))
	}
	return render.Report{
		Plan: plan.Plan{Complete: true, Changes: []plan.Change{{
			ID: plan.ID{Kind: plan.Task, Name: "t"}, Actions: []plan.Action{plan.ActionRun},
			Reasons: []plan.Reason{{Code: plan.CodeSpec, Text: "its spec changed", Origin: "t.yaml:1:1"}},
			Before:  spec("before"), After: spec("after"),
		}}},
		Content: func(digest string) ([]byte, bool) {
			return []byte(map[string]string{"before": before, "after": after}[digest]), true
		},
	}
}

func TestFileWords(t *testing.T) {
	big := strings.Repeat("x\n", 1<<20)
	tests := map[string]struct{ before, after, want string }{
		"one line":             {"a\nb\nc\n", "a\nB\nc\n", "1 line changed"},
		"three lines":          {"a\nb\nc\n", "1\n2\n3\n", "3 lines changed"},
		"added":                {"a\n", "a\nb\nc\n", "2 lines added"},
		"removed":              {"a\nb\n", "a\n", "1 line removed"},
		"all kinds":            {"a\nb\nc\nd\ne\nf\n", "a\nB\nc\ne\nf\ng\nh\n", "1 line changed, 2 added, 1 removed"},
		"the last line break":  {"a\nb", "a\nb\n", "1 line changed"},
		"line breaks of DOS":   {"a\nb\n", "a\r\nb\r\n", "2 lines changed"},
		"becomes empty":        {"a\nb\n", "", "2 lines removed"},
		"binary":               {"a\x00", "a\x00b", "binary, 2 → 3 bytes"},
		"text becomes binary":  {"ab", "\xff", "binary, 2 → 1 byte"},
		"too large to compare": {big, big + "y", "changed, 2097152 → 2097153 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := show(t, views[0], ofTask(tt.before, tt.after), render.Options{})
			if want := "      task.md: " + tt.want + "\n"; !strings.Contains(got, want) {
				t.Errorf("got\n%swant %s", got, want)
			}
		})
	}
}

// What is not shown of a long difference is counted.
func TestLongFileDiff(t *testing.T) {
	tests := map[string]struct{ after, want string }{
		"many lines": {strings.Repeat("x\n", 5000), "# 4003 more lines of this difference not shown"},
		"long lines": {strings.Repeat(strings.Repeat("y", 5000)+"\n", 100), "# 68 more lines of this difference not shown"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := ofTask("", tt.after)
			r.Plan.Changes[0].Before = nil
			got := show(t, view{"diff", render.Diff, func(*render.Options) {}}, r, render.Options{})
			if len(got) > 80<<10 {
				t.Errorf("%d bytes", len(got))
			}
			lines := strings.Split(strings.TrimSpace(got), "\n")
			if diff := cmp.Diff(tt.want, lines[len(lines)-2]); diff != "" {
				t.Errorf("last line but one (-want +got)\n%s", diff)
			}
		})
	}
}
