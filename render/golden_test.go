// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/schema"
)

var update = flag.Bool("update", false, "rewrite the views in testdata/render")

// scene is a report as the files of testdata/render have it.
type scene struct {
	Workspace, Revision, Mode, Against string

	Complete            bool
	Unchanged           int
	Changes             []sceneChange
	Drift               []sceneChange
	Held                []sceneChange
	Refused, Incomplete []plan.Reason
	Authority           []plan.Grant
	Steps               []plan.Step
	Diagnostics         []plan.Diagnostic
	Options             render.Options
	// Contents are what is in files, by digest; "base64:…" for bytes.
	Contents map[string]string
}

type sceneChange struct {
	ID            plan.ID
	Actions       []plan.Action
	Reasons       []plan.Reason
	Before, After json.RawMessage
	ReplacePaths  []string `json:"replace_paths"`
	Policy        bool
	Benign        bool
	Hook          *plan.HookChange
}

func (s scene) report() render.Report {
	changes := func(in []sceneChange) []plan.Change {
		var out []plan.Change
		for _, c := range in {
			out = append(out, plan.Change{
				ID: c.ID, Name: c.ID.Name, Actions: c.Actions, Reasons: c.Reasons, Before: c.Before, After: c.After,
				ReplacePaths: c.ReplacePaths, Policy: c.Policy, Benign: c.Benign, Hook: c.Hook,
			})
		}
		return out
	}
	r := render.Report{
		Mode: s.Mode, Against: s.Against,
		Content: func(digest string) ([]byte, bool) {
			text, known := s.Contents[digest]
			if encoded, ok := strings.CutPrefix(text, "base64:"); ok {
				b, err := base64.StdEncoding.DecodeString(encoded)
				return b, err == nil
			}
			return []byte(text), known
		},
		Plan: plan.Plan{
			Workspace: s.Workspace, Revision: s.Revision, Complete: s.Complete, Unchanged: s.Unchanged,
			Changes: changes(s.Changes), Drift: changes(s.Drift), Held: changes(s.Held),
			Refused: s.Refused, Incomplete: s.Incomplete, Authority: s.Authority, Steps: s.Steps,
		},
	}
	for _, d := range s.Diagnostics {
		r.Diagnostics = append(r.Diagnostics, schema.Diagnostic{
			Severity: schema.Severity(d.Severity), Summary: d.Summary, Detail: d.Detail, Hint: d.Hint,
			Pos: schema.Pos{File: d.File, Line: d.Line, Col: d.Column},
		})
	}
	return r
}

// view is one of the views, with options of its own.
type view struct {
	name   string
	render func(io.Writer, render.Report, render.Options) error
	adapt  func(*render.Options)
}

func sarif(w io.Writer, r render.Report, o render.Options) error {
	return render.SARIF(w, r.Diagnostics, "v1.2.3", o)
}

var views = []view{
	{"text", render.Text, func(*render.Options) {}},
	{"text.ascii", render.Text, func(o *render.Options) { o.ASCII = true }},
	{"text.verbose", render.Text, func(o *render.Options) { o.Verbose = true }},
	{"diff", render.Diff, func(*render.Options) {}},
	{"json", render.JSON, func(*render.Options) {}},
	{"jsonl", render.JSONLines, func(*render.Options) {}},
	{"markdown", render.Markdown, func(*render.Options) {}},
	{"github", render.GitHub, func(*render.Options) {}},
	{"sarif", sarif, func(*render.Options) {}},
}

func show(t testing.TB, v view, r render.Report, o render.Options) string {
	t.Helper()
	v.adapt(&o)
	var b strings.Builder
	if err := v.render(&b, r, o); err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	return b.String()
}

func readScene(t testing.TB, ar *txtar.Archive) scene {
	t.Helper()
	for _, f := range ar.Files {
		if f.Name != "report.json" {
			continue
		}
		var s scene
		dec := json.NewDecoder(bytes.NewReader(f.Data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Fatal("no report.json")
	return scene{}
}

// scenes are the files of testdata/render by name.
func scenes(t testing.TB) map[string]*txtar.Archive {
	t.Helper()
	files, err := filepath.Glob("../testdata/render/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenes: %v", err)
	}
	all := map[string]*txtar.Archive{}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = ar
	}
	return all
}

// TestViews renders the report of each file in testdata/render in all views.
func TestViews(t *testing.T) {
	for file, ar := range scenes(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			s := readScene(t, ar)
			want := map[string]string{}
			for _, f := range ar.Files {
				want[f.Name] = string(f.Data)
			}
			out := &txtar.Archive{Comment: ar.Comment, Files: []txtar.File{{Name: "report.json", Data: []byte(want["report.json"])}}}
			for _, v := range views {
				got := show(t, v, s.report(), s.Options)
				if again := show(t, v, s.report(), s.Options); again != got {
					t.Errorf("%s: the same report gives other bytes", v.name)
				}
				out.Files = append(out.Files, txtar.File{Name: v.name, Data: []byte(got)})
				if diff := cmp.Diff(want[v.name], got); diff != "" && !*update {
					t.Errorf("%s (-want +got):\n%s", v.name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
