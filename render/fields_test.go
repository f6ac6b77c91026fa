// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
	"reconcile/render"
)

// fieldLines are the lines of the text view below a change.
func fieldLines(t *testing.T, c plan.Change, o render.Options) []string {
	t.Helper()
	c.ID, c.Actions = plan.ID{Kind: plan.Manifest, Name: "a"}, []plan.Action{plan.ActionReplace}
	c.Reasons = []plan.Reason{{Code: plan.CodeSpec, Text: "why", Origin: "a.yaml:1:1"}}
	text := show(t, view{"text", render.Text, func(*render.Options) {}}, render.Report{Plan: plan.Plan{Changes: []plan.Change{c}}}, o)
	var lines []string
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "      "); ok {
			lines = append(lines, strings.TrimSuffix(rest, "\n"))
		}
	}
	return lines
}

func TestFields(t *testing.T) {
	tests := map[string]struct {
		before, after string // of a container
		paths         []string
		want          []string
	}{
		"value":             {`"user":"1"`, `"user":"2"`, []string{"user"}, []string{`user: "1" → "2" (forces replacement)`}},
		"not forced":        {`"user":"1"`, `"user":"2"`, nil, []string{`user: "1" → "2"`}},
		"new":               {`"memory":1`, `"memory":1,"user":"2"`, nil, []string{`user: (none) → "2"`}},
		"gone":              {`"memory":1,"user":"2"`, `"memory":1`, nil, []string{`user: "2" → (none)`}},
		"number":            {`"memory":1073741824`, `"memory":0`, nil, []string{`memory: 1073741824 → 0`}},
		"below":             {`"main":{"imageCmd":true}`, `"main":{"imageCmd":false}`, []string{"main"}, []string{`main.imageCmd: true → false (forces replacement)`}},
		"variable":          {`"env":[{"name":"A","value":"x"}]`, `"env":[{"name":"A","value":"y"},{"name":"B","value":"z"}]`, nil, []string{`env.A: "x" → "y"`, `env.B: (none) → "z"`}},
		"empty value":       {`"env":[{"name":"A","value":"x"}]`, `"env":[{"name":"A"}]`, nil, []string{`env.A: "x" → ""`}},
		"to a secret":       {`"env":[{"name":"A","value":"x"}]`, `"env":[{"name":"A","secret":"secret:db"}]`, nil, []string{`env.A: "x" → secret db`}},
		"of the operator":   {`"env":[{"name":"A","secret":"env:KEY"}]`, `"env":[{"name":"A","value":"x"}]`, nil, []string{`env.A: variable KEY of the operator → "x"`}},
		"secret changed":    {`"env":[{"name":"A","secret":"secret:db"}]`, `"env":[{"name":"A","secret":"secret:db"}]`, []string{"secret.db"}, []string{`secret db changed (forces replacement)`}},
		"image moved":       {`"image":"i:1"`, `"image":"i:1"`, []string{"image"}, []string{`image: the tag names another image now (forces replacement)`}},
		"image":             {`"image":"i:1"`, `"image":"i:2"`, []string{"image"}, []string{`image: "i:1" → "i:2" (forces replacement)`}},
		"list, same size":   {`"capAdd":["A","B","C"]`, `"capAdd":["A","X","C"]`, nil, []string{`capAdd[1]: "B" → "X"`}},
		"list, inserted":    {`"capAdd":["A","C"]`, `"capAdd":["A","B","C"]`, nil, []string{`capAdd[1]: (none) → "B"`}},
		"list, removed":     {`"capAdd":["A","B","C"]`, `"capAdd":["A","C"]`, nil, []string{`capAdd[1]: "B" → (none)`}},
		"list, new":         {`"user":"1"`, `"user":"1","capAdd":["A"]`, nil, []string{`capAdd: (none) → ["A"]`}},
		"list, now empty":   {`"capAdd":["A"]`, `"capAdd":[]`, nil, []string{`capAdd: ["A"] → (none)`}},
		"list of lists":     {`"x":[["a"],["b"]]`, `"x":[["a"],["c"]]`, []string{"x"}, []string{`x[1][0]: "b" → "c" (forces replacement)`}},
		"mount":             {`"mounts":[{"target":"/a","type":"dir","source":"/s"}]`, `"mounts":[{"target":"/a","type":"dir","source":"/s","readOnly":true}]`, nil, []string{`mounts./a.readOnly: (none) → true`}},
		"mount, new":        {`"mounts":[]`, `"mounts":[{"target":"/a","type":"dir","source":"/s"}]`, nil, []string{`mounts: (none) → [{source: "/s", target: "/a", type: "dir"}]`}},
		"files":             {`"mounts":[{"target":"/a","treeHash":"0123456789abcdef","from":"x"}]`, `"mounts":[{"target":"/a","treeHash":"fedcba9876543210","from":"y"}]`, nil, []string{`files of /a: 0123456789ab → fedcba987654`}},
		"files of an image": {`"base":"b","treeHash":"0123456789abcdef"`, `"base":"b","treeHash":"fedcba9876543210"`, nil, []string{`files of the agent: 0123456789ab → fedcba987654`}},
		"only from where":   {`"mounts":[{"target":"/a","treeHash":"0","from":"x"}]`, `"mounts":[{"target":"/a","treeHash":"0","from":"y"}]`, nil, nil},
		"port":              {`"ports":[{"container":80,"protocol":"tcp","hostPort":1},{"container":80,"protocol":"udp","hostPort":1}]`, `"ports":[{"container":80,"protocol":"tcp","hostPort":2},{"container":80,"protocol":"udp","hostPort":1}]`, nil, []string{`ports.80/tcp.hostPort: 1 → 2`}},
		"kind":              {`"user":["1"]`, `"user":"1"`, nil, []string{`user: ["1"] → "1"`}},
		"name with a dot":   {`"env":[{"name":"A.B","value":"x"}]`, `"env":[{"name":"A.B","value":"y"}]`, []string{"env.A.B"}, []string{`env.A.B: "x" → "y" (forces replacement)`}},
		"like another's":    {`"env":[{"name":"A","value":"x"},{"name":"AB","value":"x"}]`, `"env":[{"name":"A","value":"y"},{"name":"AB","value":"y"}]`, []string{"env.A"}, []string{`env.A: "x" → "y" (forces replacement)`, `env.AB: "x" → "y"`}},
		"unnamed members":   {`"env":[{"value":"x"}]`, `"env":[{"value":"y"}]`, nil, []string{`env[0].value: "x" → "y"`}},
		"path of no field":  {`"user":"1"`, `"user":"1"`, []string{"odd"}, []string{`odd differs (forces replacement)`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			spec := func(s string) json.RawMessage { return json.RawMessage(`{"container":{` + s + `}}`) }
			got := fieldLines(t, plan.Change{Before: spec(tt.before), After: spec(tt.after), ReplacePaths: tt.paths}, render.Options{})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A long value is shortened to where it differs, with its length, and never so
// that both sides look the same.
func TestLongValues(t *testing.T) {
	for _, width := range []int{0, 80, 200} {
		for _, at := range []int{0, 1, 30, 500, 998, 999} {
			for _, fill := range []string{"a", "é", "→", "\"", "\x00"} {
				value := func(sign string) json.RawMessage {
					runes := slices.Repeat([]string{fill}, 1000)
					runes[at] = sign
					raw, err := json.Marshal(map[string]any{"container": map[string]any{"user": strings.Join(runes, "")}})
					if err != nil {
						t.Fatal(err)
					}
					return raw
				}
				lines := fieldLines(t, plan.Change{Before: value("X"), After: value("Y")}, render.Options{Width: width})
				if len(lines) != 1 {
					t.Fatalf("lines %q", lines)
				}
				before, after, ok := strings.Cut(strings.TrimPrefix(lines[0], "user: "), " → ")
				if !ok || !strings.Contains(before, "X") || !strings.Contains(after, "Y") || !strings.Contains(after, " characters)") {
					t.Errorf("width %d, %q at %d: %s", width, fill, at, lines[0])
				}
				if n := len([]rune(before)); n > 1200/5 && fill != "\x00" {
					t.Errorf("width %d, %q at %d: %d characters of 1000", width, fill, at, n)
				}
			}
		}
	}
}

// What was made from specs that cannot be read is told apart from what is new.
func TestUnreadableSpecs(t *testing.T) {
	for _, raw := range []string{"", "null", "{", `"text"`, "[]", "7"} {
		lines := fieldLines(t, plan.Change{Before: json.RawMessage(raw), After: json.RawMessage(`{"container":{"user":"1"}}`)}, render.Options{})
		if raw == "" || raw == "null" || raw == "{" {
			if diff := cmp.Diff([]string{"what it was made from is no longer known here"}, lines); diff != "" {
				t.Errorf("%q (-want +got):\n%s", raw, diff)
			}
		} else if len(lines) == 0 {
			t.Errorf("%q: nothing is shown", raw)
		}
	}
}

func ExampleMarker() {
	fmt.Println(render.Marker("acme"))
	// Output: <!-- reconcile:acme -->
}
