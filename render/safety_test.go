// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/schema"
)

// hostile are texts that would like to be more than text.
var hostile = []string{
	"plain", "", " ", "two words", "x\ny", "\n", "\r\n::error::x", "::error file=a::b", "  ::set-env name=X::y", "\n::stop-commands::t",
	"##[error]x", "###[error]x", "##vso[task.setvariable variable=a]b", "%0A::error::x", "a%25b", "a,b:c",
	"\x1b[31mred\x1b[0m", "\x1b]8;;https://evil.example\x07x", "\u009b31m", "\u202egnp.exe", "\u2066x\u2069", "zero\u200bwidth", "\ufeff", "\u2028", "\u2029", "\U000e0041", "a\U000e0100\ufe0f", "\x00", "\x7f", "\xff\xfe", "\u115f", "e\u0301",
	"`", "``", "```", "````\n", "` ", " `", "`` ` ``", "```diff\n+x\n```", "~~~", "a`b`c", "\\`", "\\",
	"<b>", "</code></summary></details>", "<script>alert(1)</script>", "<!-- x", "-->", "<img src=x onerror=y>", "&lt;b&gt;", "&#64;user", "<details>", "<!--", "<?php", "<![CDATA[",
	"@user", "@org/team", "#1", "org/repo#1", "GH-1", "https://evil.example/", "www.evil.example", "mail@evil.example", "0123456789abcdef0123456789abcdef01234567",
	"![i](https://evil.example/x.png)", "[a](b)", "[a]: b", "[^1]", "*a*", "__b__", "~~c~~", "# head", "> quote", "- [ ] task", "1. one", "---", "===", "| a | b |\n|---|---|\n| c | d |", "$`x`$", "$$x$$", ":smile:",
	"+added", "-removed", "@@ -1 +1 @@", "--- a/x", "+++ b/x", "\\ No newline at end of file", "key: value", "- item", "|", "true", "null", "{a: b}",
}

// everywhere puts a text wherever one from elsewhere can be.
func everywhere(s string) render.Report {
	id := plan.ID{Kind: plan.Manifest, Name: s}
	why := func(code plan.Code) []plan.Reason { return []plan.Reason{{Code: code, Text: s, Origin: s + ":3:4"}} }
	spec := func(v string) json.RawMessage {
		raw, err := json.Marshal(map[string]any{"container": map[string]any{
			"env":   []any{map[string]any{"name": s, "value": v + s}, map[string]any{"name": "F", "value": "first\n" + s + "\nlast " + v}},
			"image": s, "labels": map[string]any{s: v}, "main": map[string]any{"args": []any{s, v}},
			"mounts":      []any{map[string]any{"target": "/w", "type": "files", "files": []any{map[string]any{"path": s, "digest": v}}}},
			"secretFiles": []any{map[string]any{"target": s, "ref": "key:" + s + "/" + v, "mode": 0o400}},
		}})
		if err != nil {
			panic(err)
		}
		return raw
	}
	change := plan.Change{
		ID: id, Name: s, Actions: []plan.Action{plan.ActionReplace}, Reasons: why(plan.CodeSpec),
		Before: spec("one"), After: spec("two"), ReplacePaths: []string{"env." + inJSON(s), "image", "secret." + s},
	}
	made := plan.Change{ID: id, Name: s, Actions: []plan.Action{plan.ActionCreate}, Reasons: append(why(plan.CodeNew), why(plan.CodeNeeds)...), After: spec("new")}
	found := plan.Change{ID: id, Name: s, Reasons: why(plan.CodeStopped)}
	line := strings.ReplaceAll(s, "\n", " ") // the lines of a hook are lines
	hook := plan.Hook{Name: plan.HookPreinstall, Commands: []string{line, "second"}, Files: map[string]string{"f" + line: line}, Origin: s + ":1:2"}
	held := found
	made.Hook = &plan.HookChange{Hook: hook, Approved: true}
	held.Hook = &plan.HookChange{Hook: hook, Before: []string{line + "x", "second"}}
	pos := schema.Pos{File: s, Line: 1, Col: 2}
	return render.Report{
		Mode: plan.ModeAgainst, Against: s,
		Content: func(digest string) ([]byte, bool) { return []byte(s + "\n" + digest + s), true },
		Plan: plan.Plan{
			Workspace: s, Revision: s, Changes: []plan.Change{change, made}, Drift: []plan.Change{found}, Held: []plan.Change{held},
			Steps:   []plan.Step{{ID: "exec:" + s, Op: plan.OpExec, Target: id, Hook: &hook}},
			Refused: why(plan.CodeOtherRoot), Incomplete: why(plan.CodePartial),
			Authority: []plan.Grant{{ID: id, Kind: plan.GrantSecret, Text: s, Origin: s + ":1:2", Key: s}},
		},
		Diagnostics: schema.Diagnostics{
			{Severity: schema.Error, Summary: s, Detail: s, Pos: pos, Hint: s},
			{Severity: schema.Warning, Summary: s, Detail: "detail\n" + s, Pos: pos},
		},
	}
}

// inJSON is what is left of a text in JSON.
func inJSON(s string) string { return string([]rune(s)) }

func TestHostileTexts(t *testing.T) {
	for _, s := range hostile {
		t.Run(fmt.Sprintf("%q", s), func(t *testing.T) { checkSafe(t, s) })
	}
}

// FuzzViews holds all views to what they promise of texts from elsewhere.
func FuzzViews(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 2000 { // a long text is shortened where a short one is not
			s = s[:2000]
		}
		checkSafe(t, s)
	})
}

func checkSafe(t *testing.T, s string) {
	t.Helper()
	r := everywhere(s)
	for _, v := range views {
		o := render.Options{MaxBytes: wide, Base: "base"}
		got := show(t, v, r, o)
		checkText(t, v.name, got)
		if s == "" { // what there is no text for is left out
			continue
		}
		like := harmless()[v.name]
		switch v.name {
		case "text", "text.ascii", "text.verbose", "github", "jsonl":
			if got, want := strings.Count(got, "\n"), strings.Count(like, "\n"); got != want && v.name != "text.verbose" {
				t.Errorf("%s: %d lines, %d without %q", v.name, got, want, s)
			}
		case "markdown":
			if diff := cmp.Diff(harmless()["skeleton"], skeleton(t, got)); diff != "" {
				t.Errorf("the text %q changes the document (-without +with):\n%s\n%s", s, diff, got)
			}
		}
		if v.name == "json" && !json.Valid([]byte(got)) {
			t.Errorf("%s: not JSON: %s", v.name, got)
		}
	}
}

// harmless are the views of a report in which nothing is hostile.
var harmless = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for _, v := range views {
		var b strings.Builder
		if err := v.render(&b, everywhere("x"), render.Options{MaxBytes: wide}); err != nil {
			panic(err)
		}
		all[v.name] = b.String()
	}
	all["skeleton"] = skeleton(nil, all["markdown"])
	return all
})

// wide is more than any view of these tests needs.
const wide = 10_000_000

// runner is what CI runners take for a command.
var runner = regexp.MustCompile(`(?m)^\s*::|##[A-Za-z]*\[`)

// checkText checks what holds for all views: nothing acts on a terminal or on a
// CI runner.
func checkText(t *testing.T, name, got string) {
	t.Helper()
	if i := strings.IndexFunc(got, func(r rune) bool {
		return r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Variation_Selector)) || r == unicode.ReplacementChar
	}); i >= 0 {
		t.Errorf("%s: character that is not text at byte %d: %q", name, i, got[i:min(len(got), i+20)])
	}
	if name == "text.ascii" {
		if i := strings.IndexFunc(got, func(r rune) bool { return r > unicode.MaxASCII }); i >= 0 {
			t.Errorf("%s: not ASCII: %q", name, got[i:min(len(got), i+20)])
		}
	}
	for _, at := range runner.FindAllStringIndex(got, -1) {
		line, _, _ := strings.Cut(got[at[0]:], "\n")
		if name == "github" && annotation.MatchString(line) {
			continue
		}
		t.Errorf("%s: a command to a CI runner: %q", name, line)
	}
}

// forge reads Markdown as forges do.
var forge = goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote))

// inSummary finds the texts of others within the HTML of ours.
var inSummary = regexp.MustCompile(`<code>[^<>]*</code>`)

// skeleton is what a forge makes of a Markdown document, without the texts that
// stand in code.
func skeleton(t *testing.T, doc string) string {
	if t != nil {
		t.Helper()
	}
	src := []byte(doc)
	var out []string
	err := ast.Walk(forge.Parser().Parse(text.NewReader(src)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		line := n.Kind().String()
		switch n := n.(type) {
		case *ast.CodeSpan:
			out = append(out, line)
			return ast.WalkSkipChildren, nil
		case *ast.FencedCodeBlock:
			out = append(out, line+" "+string(n.Language(src)))
			return ast.WalkSkipChildren, nil
		case *ast.HTMLBlock:
			html := ""
			for i := range n.Lines().Len() {
				seg := n.Lines().At(i)
				html += string(seg.Value(src))
			}
			if n.HasClosure() {
				html += string(n.ClosureLine.Value(src))
			}
			line += " " + marker.ReplaceAllString(inSummary.ReplaceAllString(html, "<code/>"), "MARKER")
		case *ast.Text:
			line += " " + string(n.Segment.Value(src))
		case *ast.RawHTML, *ast.Link, *ast.Image, *ast.AutoLink:
			t.Errorf("a %s is in the document:\n%s", line, doc)
		}
		out = append(out, line)
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

var marker = regexp.MustCompile(`<!-- reconcile:[A-Za-z0-9._%-]* -->`)

// Whatever does not fit is counted, and nothing is cut in two.
func TestMarkdownSize(t *testing.T) {
	var r render.Report
	r.Plan.Workspace, r.Mode = "acme", plan.ModeLive
	for i := range 400 {
		c := everywhere(strings.Repeat(hostile[i%len(hostile)], 1+i%7)).Plan.Changes[i%2]
		c.ID.Name = fmt.Sprintf("a%03d", i)
		r.Plan.Changes = append(r.Plan.Changes, c)
		r.Plan.Drift = append(r.Plan.Drift, plan.Change{ID: c.ID, Reasons: c.Reasons[:1]})
		r.Plan.Held = append(r.Plan.Held, plan.Change{ID: c.ID, Reasons: c.Reasons})
	}
	notShown := regexp.MustCompile(`(?m)^_(\d+) more not shown: (\d+) (change|drift|problem)s?_$`)
	for _, limit := range []int{0, 1, 2_000, 5_000, 20_000, 60_000, 200_000, 10_000_000} {
		doc := show(t, view{"markdown", render.Markdown, func(*render.Options) {}}, r, render.Options{MaxBytes: limit})
		most := limit
		if limit == 0 {
			most = 60_000
		}
		if most = max(most, 2_000); len(doc) > most {
			t.Errorf("limit %d: %d bytes", limit, len(doc))
		}
		got := tallyMarkdown(doc)
		left := map[string]int{}
		for _, m := range notShown.FindAllStringSubmatch(doc, -1) {
			fmt.Sscan(m[1], new(int))
			var n int
			if _, err := fmt.Sscan(m[2], &n); err != nil {
				t.Fatal(err)
			}
			left[m[3]] = n
		}
		shown := strings.Count(doc, "\n<details>")
		if shown+left["change"] != 400 || strings.Count(doc, "\n</details>") != shown {
			t.Errorf("limit %d: %d changes shown, %d not, of 400", limit, shown, left["change"])
		}
		if got.Drift+left["drift"] != 400 {
			t.Errorf("limit %d: %d drifted shown, %d not, of 400", limit, got.Drift, left["drift"])
		}
		if got.Total != render.Counts(r.Plan) {
			t.Errorf("limit %d: counts %q", limit, got.Total)
		}
		skeleton(t, doc)
	}
}

// No view shows a fingerprint: specs have references, and what is bound to them
// is in the steps.
func TestNoFingerprint(t *testing.T) {
	const fingerprint = "k1:9f86d081884c7d65"
	r := everywhere("x")
	r.Plan.Steps = []plan.Step{{
		ID: "create:manifest/x", Op: plan.OpCreate, Target: plan.ID{Kind: plan.Manifest, Name: "x"},
		Bound:  map[string]string{"secret:secret:db": fingerprint},
		Record: &plan.Record{Data: map[string]string{"f": fingerprint}},
	}}
	for _, v := range views {
		if got := show(t, v, r, render.Options{Verbose: true}); strings.Contains(got, fingerprint) {
			t.Errorf("%s shows a fingerprint:\n%s", v.name, got)
		}
	}
}

func TestEscape(t *testing.T) {
	tests := map[string]string{
		"plain":             "plain",
		"a\nb":              `a\u{a}b`,
		"\x1b[31m":          `\u{1b}[31m`,
		"\u202e":            `\u{202e}`,
		"\xff":              `\u{fffd}`,
		"##[error]":         `\u{23}#[error]`,
		"###[error]":        `#\u{23}#[error]`,
		"## a heading":      "## a heading",
		"##vso[task]":       `\u{23}#vso[task]`,
		"→ …":               "→ …",
		"\U000e0041\u3164":  `\u{e0041}\u{3164}`,
		"a\ufe0f\U000e0100": `a\u{fe0f}\u{e0100}`,
	}
	for in, want := range tests {
		if got := render.Escape(in); got != want {
			t.Errorf("Escape(%q) = %s, want %s", in, got, want)
		}
	}
	if got, want := render.EscapeLines("a\n  ::error::b\n:: c\nd:: e"), "a\n  \\u{3a}:error::b\n\\u{3a}: c\nd:: e"; got != want {
		t.Errorf("EscapeLines: %q, want %q", got, want)
	}
	for _, s := range slices.Concat(hostile, []string{"\U0001f600 \u202e \U000e0041"}) {
		raw, err := json.MarshalIndent([]string{s}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(render.EscapeJSON(string(raw))), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("EscapeJSON(%q) means something else:\n%s", s, diff)
		}
	}
}
