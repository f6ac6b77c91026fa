// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/render"
	"reconcile/schema"
)

// sarifResults are the results of diagnostics, as a reader has them.
type sarifResults []struct {
	RuleID    string
	RuleIndex int
	Level     string
	Locations []struct {
		PhysicalLocation struct {
			ArtifactLocation struct{ URI, URIBaseID string }
			Region           struct{ StartLine, StartColumn int }
		}
	}
	PartialFingerprints map[string]string
}

func resultsOf(t *testing.T, ds schema.Diagnostics, o render.Options) sarifResults {
	t.Helper()
	var doc struct {
		Runs []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results sarifResults
		}
	}
	text := show(t, view{"sarif", sarif, func(*render.Options) {}}, render.Report{Diagnostics: ds}, o)
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Runs) != 1 || len(doc.Runs[0].Results) != len(ds) {
		t.Fatalf("%d problems, but the log is %s", len(ds), text)
	}
	for _, r := range doc.Runs[0].Results {
		if rules := doc.Runs[0].Tool.Driver.Rules; rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("rule %d is not %s: %v", r.RuleIndex, r.RuleID, rules)
		}
	}
	return doc.Runs[0].Results
}

// A problem keeps its fingerprint when lines move, and no two have the same.
func TestSARIFFingerprints(t *testing.T) {
	problem := func(line int, summary, detail string) schema.Diagnostic {
		return schema.Diagnostic{Severity: schema.Error, Summary: summary, Detail: detail, Pos: schema.Pos{File: "a.yaml", Line: line, Col: 3}}
	}
	list := func(down int) schema.Diagnostics {
		return schema.Diagnostics{
			problem(3+down, "unknown field", "x: there is no such field"),
			problem(5+down, "unknown field", "y: there is no such field"),
			problem(7+down, "unknown field", "y: there is no such field"),
			problem(9+down, "duplicate key", fmt.Sprintf("it is already at a.yaml:%d:3", 3+down)),
		}
	}
	prints := func(down int) []string {
		var all []string
		for _, r := range resultsOf(t, list(down), render.Options{}) {
			all = append(all, r.PartialFingerprints["problem/v1"])
		}
		return all
	}
	was := prints(0)
	if diff := cmp.Diff(was, prints(40)); diff != "" {
		t.Errorf("fingerprints move with the lines (-before +after):\n%s", diff)
	}
	seen := map[string]bool{}
	for _, p := range was {
		if seen[p] || p == "" {
			t.Errorf("fingerprint %q is not the problem's own", p)
		}
		seen[p] = true
	}
}

func TestSARIFPlaces(t *testing.T) {
	tests := map[string]struct {
		pos       schema.Pos
		base      string
		uri, root string
		line, col int
	}{
		"in the workspace": {schema.Pos{File: "a/b.yaml", Line: 2, Col: 5}, "", "a/b.yaml", "%SRCROOT%", 2, 5},
		"below the root":   {schema.Pos{File: "a/b.yaml", Line: 2}, "deploy/x", "deploy/x/a/b.yaml", "%SRCROOT%", 2, 0},
		"odd name":         {schema.Pos{File: "a b/ü?#%.yaml", Line: 1}, "", "a%20b/%C3%BC%3F%23%25.yaml", "%SRCROOT%", 1, 0},
		"with a colon":     {schema.Pos{File: "c:x", Line: 1}, "", "c%3Ax", "%SRCROOT%", 1, 0},
		"of the host":      {schema.Pos{File: "/etc/policy.yaml", Line: 1, Col: 1}, "deploy", "file:///etc/policy.yaml", "", 1, 1},
		"nowhere":          {schema.Pos{}, "deploy", ".", "%SRCROOT%", 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ds := schema.Diagnostics{{Severity: schema.Warning, Summary: "Something, odd!", Pos: tt.pos}}
			got := resultsOf(t, ds, render.Options{Base: tt.base})[0]
			if got.RuleID != "something-odd" || got.Level != "warning" {
				t.Errorf("rule %q, level %q", got.RuleID, got.Level)
			}
			at := got.Locations[0].PhysicalLocation
			if at.ArtifactLocation.URI != tt.uri || at.ArtifactLocation.URIBaseID != tt.root || at.Region.StartLine != tt.line || at.Region.StartColumn != tt.col {
				t.Errorf("place %+v, want %s of %q at %d:%d", at, tt.uri, tt.root, tt.line, tt.col)
			}
		})
	}
}

// An error that something held repeats word for word is told once.
func TestErrorsAreToldOnce(t *testing.T) {
	r := everywhere("x")
	r.Diagnostics = schema.Diagnostics{
		{Severity: schema.Error, Summary: "not supported", Detail: "a", Pos: schema.ParsePos("x:3:4")},
		{Severity: schema.Error, Summary: "not supported", Detail: "a", Pos: schema.ParsePos("x:9:9")},
	}
	r.Plan.Held[0].Reasons[0].Text = "not supported: a"
	if got := tallyLines(show(t, views[0], r, render.Options{})); got.Errors != 1 || got.Held != 1 {
		t.Errorf("%d errors and %d held, want 1 and 1", got.Errors, got.Held)
	}
}
