// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseEnable(t *testing.T) {
	pos := Pos{File: "workspace.yaml", Line: 3, Col: 5}
	tests := []struct {
		text string
		want Enable
	}{
		{"database", Enable{Agent: "database"}},
		{"MyAgent", Enable{Agent: "MyAgent"}},
		{"cache global", Enable{Agent: "cache", Mode: EnableGlobal}},
		{"logger devel utils", Enable{Agent: "logger", Mode: EnableDevel, Devel: "utils"}},
		{"explorer as explorer2", Enable{Agent: "explorer", Alias: "explorer2"}},
		{"explorer AS Explorer_2.b", Enable{Agent: "explorer", Alias: "Explorer_2.b"}},
		{"utils/logger", Enable{Repo: "utils", Agent: "logger"}},
		{"utils:logger", Enable{Repo: "utils", Agent: "logger"}},
		{"my_repo.v2/logger global", Enable{Repo: "my_repo.v2", Agent: "logger", Mode: EnableGlobal}},
		{"utils/logger devel utils", Enable{Repo: "utils", Agent: "logger", Mode: EnableDevel, Devel: "utils"}},
		{" \tx\n devel  r   no-wait as\ty ", Enable{Agent: "x", Mode: EnableDevel, Devel: "r", NoWait: true, Alias: "y"}},
		{"x no-wait", Enable{Agent: "x", NoWait: true}},
		{"global global", Enable{Agent: "global", Mode: EnableGlobal}},
		{"as as as", Enable{Agent: "as", Alias: "as"}},
		{strings.Repeat("a", 63), Enable{Agent: strings.Repeat("a", 63)}},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, ds := ParseEnable(tt.text, pos)
			if len(ds) > 0 {
				t.Fatalf("diagnostics:\n%v", ds)
			}
			tt.want.Text, tt.want.Pos = tt.text, pos
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseEnableErrors(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // details
		hint       string   // of the first
	}{
		{"empty", "", []string{`the entry is empty`}, enableGrammar},
		{"blank", " \t\n", []string{`the entry is empty`}, enableGrammar},
		{"keyword case", "cache Global", []string{`unexpected "Global": keywords are written in lower case`}, `did you mean "global"?`},
		{"no-wait case", "cache No-Wait as x", []string{`unexpected "No-Wait": keywords are written in lower case`}, `did you mean "no-wait"?`},
		{"left over", "a b c", []string{`unexpected "b"`}, enableGrammar},
		{"after alias", "a as b c", []string{`unexpected "c"`}, enableGrammar},
		{"wrong order", "a as b no-wait", []string{`unexpected "no-wait": it is repeated or comes too late`}, enableGrammar},
		{"both scopes", "a global devel r", []string{`unexpected "devel": it is repeated or comes too late`}, enableGrammar},
		{"devel alone", "a devel", []string{`devel needs the name of a repo after it`}, enableGrammar},
		{"as alone", "a as", []string{`as needs an alias after it`}, enableGrammar},
		{"two repos", "u/a devel v", []string{`the agent is looked up in repo "u" and in repo "v" at once`}, "drop one of the two"},
		{"empty repo", "/a", []string{`"/a" has an empty part`}, enableGrammar},
		{"empty agent", "r:", []string{`"r:" has an empty part`}, enableGrammar},
		{"three parts", "r/agents/a", []string{`"r/agents/a" has more than two parts`}, enableGrammar},
		{"mixed parts", "r:agents/a", []string{`"r:agents/a" has more than two parts`}, enableGrammar},
		{"dots", "../a", []string{`the repo ".." contains ".."`}, ""},
		{"dots in alias", "a as b..c", []string{`the alias "b..c" contains ".."`}, ""},
		{"underscore", "my_agent", []string{`the agent "my_agent" may hold only letters, digits and '-', and must start and end with a letter or digit`}, ""},
		{"end", "a-", []string{`the agent "a-" may hold only letters, digits and '-', and must start and end with a letter or digit`}, ""},
		{"letters", "agént", []string{`the agent "agént" may hold only letters, digits and '-', and must start and end with a letter or digit`}, ""},
		{"alias start", "a as .b", []string{`the alias ".b" may hold only letters, digits, '_', '.' and '-', and must start with a letter or digit`}, ""},
		{"two problems", "a_b as ?", []string{
			`the agent "a_b" may hold only letters, digits and '-', and must start and end with a letter or digit`,
			`the alias "?" may hold only letters, digits, '_', '.' and '-', and must start with a letter or digit`,
		}, ""},
		{"control", "a\x00b", []string{`"a\x00b" contains the control character U+0000`}, ""},
		{"escape", "a as \x1b[31m", []string{`"a as \x1b[31m" contains the control character U+001B`}, ""},
		{"not UTF-8", "a\xff", []string{`"a\xff" contains the control character 0xFF (not UTF-8)`}, ""},
		{"long", strings.Repeat("a", 64), []string{`the agent "` + strings.Repeat("a", 64) + `" has 64 characters; at most 63 are allowed`}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pos := Pos{File: "manifest.json", Line: 7, Col: 13}
			_, ds := ParseEnable(tt.text, pos)
			var got []string
			for _, d := range ds {
				got = append(got, d.Detail)
				if d.Summary != "invalid enable entry" || d.Pos != pos || d.Severity != Error {
					t.Errorf("got %q at %v (%s)", d.Summary, d.Pos, d.Severity)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
			if ds[0].Hint != tt.hint {
				t.Errorf("hint %q, want %q", ds[0].Hint, tt.hint)
			}
		})
	}
}

func FuzzParseEnable(f *testing.F) {
	for _, s := range []string{"a", "r/a global no-wait as b", "r:a devel r", "a devel", "a as", "A AS B c", "../x", "a\xffb", "global Global"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		entry, ds := ParseEnable(text, Pos{File: "f", Line: 1, Col: 1})
		if len(ds) > 0 {
			if !ds.HasErrors() {
				t.Fatalf("problems that are no errors: %v", ds)
			}
			return
		}
		again, ds := ParseEnable(entry.String(), entry.Pos)
		if len(ds) > 0 {
			t.Fatalf("%q: its own spelling %q is refused: %v", text, entry.String(), ds)
		}
		again.Text = text
		if again != entry {
			t.Fatalf("%q: (-first +second)\n%s", text, cmp.Diff(entry, again))
		}
		for _, name := range []string{entry.Agent, entry.Repo, entry.Devel, entry.Alias} {
			if strings.ContainsAny(name, "/\\: \t\n") || strings.Contains(name, "..") {
				t.Fatalf("%q: the name %q is not safe in a path", text, name)
			}
		}
	})
}
