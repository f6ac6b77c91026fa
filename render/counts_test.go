// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/schema"
)

// tally is what can be counted in a view.
type tally struct {
	Changes   map[string]int // actions, by word
	Held      int            // reasons why something is held
	Blocked   int            // of them, other than as somebody wished
	Drift     int            // reasons
	Refused   int            // and not known
	Errors    int
	Warnings  int
	Authority int
	Total     string // the counts as the view says them
}

// tallyOf counts the report itself.
func tallyOf(r render.Report) tally {
	t := tally{Changes: map[string]int{}, Total: render.Counts(r.Plan), Authority: len(r.Plan.Authority)}
	for _, c := range r.Plan.Changes {
		for _, a := range c.Actions {
			t.Changes[string(a)]++
		}
	}
	for _, c := range r.Plan.Held {
		t.Held += len(c.Reasons)
		if !c.Benign {
			t.Blocked += len(c.Reasons)
		}
	}
	for _, c := range r.Plan.Drift {
		t.Drift += len(c.Reasons)
	}
	t.Refused = len(r.Plan.Refused) + len(r.Plan.Incomplete)
	for _, d := range r.Diagnostics {
		if d.Severity == schema.Error {
			t.Errors++
		} else {
			t.Warnings++
		}
	}
	return t
}

// countLine finds lines of the text view, and of the diff view behind its #.
var (
	countChange    = regexp.MustCompile(`(?m)^(?:# |  )[-+~↻@] [a-z]+/\S+ ([a-z]+(?:, [a-z]+)*): `)
	countHeld      = regexp.MustCompile(`(?m)^(?:# |  )! [a-z]+/\S+ (blocked|held): `)
	countDrift     = regexp.MustCompile(`(?m)^(?:# |  )[≠#] [a-z]+/`)
	countRefused   = regexp.MustCompile(`(?m)^(?:# |  )! (refused|not known): `)
	countError     = regexp.MustCompile(`(?m)^(?:# |  )! error: `)
	countAuthority = regexp.MustCompile(`(?m)^(?:# |  )[+] [a-z]+/.* \((?:not )?approved\)  `)
)

func tallyLines(text string) tally {
	t := tally{Changes: map[string]int{}}
	for _, m := range countChange.FindAllStringSubmatch(text, -1) {
		for a := range strings.SplitSeq(m[1], ", ") {
			t.Changes[a]++
		}
	}
	for _, m := range countHeld.FindAllStringSubmatch(text, -1) {
		t.Held++
		if m[1] == "blocked" {
			t.Blocked++
		}
	}
	t.Drift = len(countDrift.FindAllString(text, -1))
	t.Refused = len(countRefused.FindAllString(text, -1))
	t.Errors = len(countError.FindAllString(text, -1))
	t.Authority = len(countAuthority.FindAllString(text, -1))
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	t.Total = strings.TrimPrefix(lines[len(lines)-1], "# ")
	return t
}

// tallyEvents counts objects with a type, and a summary.
func tallyEvents(t *testing.T, events []map[string]json.RawMessage) tally {
	t.Helper()
	out := tally{Changes: map[string]int{}}
	str := func(raw json.RawMessage) string {
		s, _ := strconv.Unquote(string(raw))
		return s
	}
	number := func(raw json.RawMessage) int {
		var l []json.RawMessage
		if err := json.Unmarshal(raw, &l); err != nil {
			t.Fatal(err)
		}
		return len(l)
	}
	complete := false
	for _, e := range events {
		switch str(e["type"]) {
		case "change":
			var actions []string
			if err := json.Unmarshal(e["actions"], &actions); err != nil {
				t.Fatal(err)
			}
			for _, a := range actions {
				out.Changes[a]++
			}
		case "held":
			out.Held += number(e["reasons"])
		case "drift":
			out.Drift += number(e["reasons"])
		case "authority":
			out.Authority++
		case "diagnostic":
			summary := str(e["summary"])
			switch {
			case strings.HasPrefix(summary, "refused: ") || strings.HasPrefix(summary, "incomplete: "):
				out.Refused++
			case str(e["severity"]) == "error":
				out.Errors++
			default:
				out.Warnings++
			}
		case "plan":
			complete = string(e["complete"]) == "true"
		case "summary":
			raw, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			var sum plan.Summary
			if err := json.Unmarshal(raw, &sum); err != nil {
				t.Fatal(err)
			}
			out.Total = totalOf(sum, complete)
		}
	}
	return out
}

// totalOf says a summary as the views for people do, by another way.
func totalOf(s plan.Summary, complete bool) string {
	var parts []string
	add := func(n int, words string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, words))
		}
	}
	add(s.Create, "to create")
	add(s.Run, "to run")
	add(s.Replace, "to replace")
	add(s.Update, "to update")
	add(s.Start, "to start")
	add(s.Restart, "to restart")
	add(s.Stop, "to stop")
	add(s.Delete, "to delete")
	add(s.Drift, "drifted")
	add(s.Blocked, "blocked")
	if parts == nil {
		parts = []string{map[bool]string{true: "nothing to do", false: "nothing planned"}[complete]}
	}
	return fmt.Sprintf("%s (%d unchanged)", strings.Join(parts, ", "), s.Unchanged)
}

func tallyJSON(t *testing.T, text string) tally {
	t.Helper()
	var doc map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	events := []map[string]json.RawMessage{{"type": json.RawMessage(`"plan"`), "complete": doc["complete"]}}
	for list, kind := range map[string]string{
		"changes": "change", "drift": "drift", "held": "held", "diagnostics": "diagnostic", "authority": "authority",
	} {
		var members []map[string]json.RawMessage
		if raw := doc[list]; raw != nil {
			if err := json.Unmarshal(raw, &members); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range members {
			e["type"] = json.RawMessage(strconv.Quote(kind))
			events = append(events, e)
		}
	}
	var sum map[string]json.RawMessage
	if err := json.Unmarshal(doc["summary"], &sum); err != nil {
		t.Fatal(err)
	}
	sum["type"] = json.RawMessage(`"summary"`)
	return tallyEvents(t, append(events, sum))
}

func tallyJSONLines(t *testing.T, text string) tally {
	t.Helper()
	var events []map[string]json.RawMessage
	for line := range strings.Lines(text) {
		var e map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, e)
	}
	return tallyEvents(t, events)
}

var (
	markdownChange  = regexp.MustCompile(`(?m)^<details><summary><code>[^<]*</code> ([a-z]+(?:, [a-z]+)*)(?:: <code>[^<]*</code>)?</summary>$`)
	markdownHeld    = regexp.MustCompile("(?m)^- `+.*?`+ (\\*\\*blocked\\*\\*|held): ")
	markdownDrift   = regexp.MustCompile("(?m)^- `+.*?`+ drifted: ")
	markdownRefused = regexp.MustCompile(`(?m)^- \*\*(refused|not known)\*\*: `)
	markdownError   = regexp.MustCompile(`(?m)^- error: `)
	markdownWarning = regexp.MustCompile(`(?m)^- warning: `)
	markdownGrant   = regexp.MustCompile("(?m)^- `+.*?`+ (?:\\*\\*not approved\\*\\*|approved): ")
	markdownTotal   = regexp.MustCompile(`(?m)^### (.*)$`)
)

func tallyMarkdown(text string) tally {
	t := tally{Changes: map[string]int{}, Total: "none"}
	for _, m := range markdownChange.FindAllStringSubmatch(text, -1) {
		for a := range strings.SplitSeq(m[1], ", ") {
			t.Changes[a]++
		}
	}
	for _, m := range markdownHeld.FindAllStringSubmatch(text, -1) {
		t.Held++
		if m[1] != "held" {
			t.Blocked++
		}
	}
	t.Drift = len(markdownDrift.FindAllString(text, -1))
	t.Refused = len(markdownRefused.FindAllString(text, -1))
	t.Errors = len(markdownError.FindAllString(text, -1))
	t.Warnings = len(markdownWarning.FindAllString(text, -1))
	t.Authority = len(markdownGrant.FindAllString(text, -1))
	if m := markdownTotal.FindStringSubmatch(text); m != nil {
		t.Total = m[1]
	}
	return t
}

var annotation = regexp.MustCompile(`^::(error|warning|notice) (?:[^:]*,)?title=([^:]*)::(.*)$`)

func tallyGitHub(t *testing.T, text string) tally {
	t.Helper()
	out := tally{Changes: map[string]int{}}
	for line := range strings.Lines(text) {
		m := annotation.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Fatalf("no workflow command: %q", line)
		}
		level, title, reasons := m[1], m[2], strings.Count(m[3], "%0A")+1
		id, words, isObject := strings.Cut(title, " ")
		isObject = isObject && strings.Contains(id, "/")
		switch {
		case strings.HasPrefix(title, "Plan for workspace "):
			out.Total = m[3]
		case isObject && words == "blocked":
			out.Held += reasons
			out.Blocked += reasons
		case isObject && words == "held":
			out.Held += reasons
		case isObject && words == "drifted":
			out.Drift += reasons
		case isObject && strings.HasPrefix(words, "authority"):
			out.Authority++
		case isObject:
			for a := range strings.SplitSeq(words, "%2C ") {
				out.Changes[a]++
			}
		case title == "refused" || title == "not known":
			out.Refused++
		case level == "error":
			out.Errors++
		default:
			out.Warnings++
		}
	}
	return out
}

// Every view shows the same changes, and counts them alike.
func TestViewsAgree(t *testing.T) {
	for file, ar := range scenes(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if name == "hostile" { // its texts break the patterns of this test, which is not how views are read
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := readScene(t, ar)
			r := s.report()
			for _, v := range views {
				text := show(t, v, r, s.Options)
				want := tallyOf(r)
				var got tally
				switch v.name {
				case "sarif":
					continue
				case "json":
					got = tallyJSON(t, text)
				case "jsonl":
					got = tallyJSONLines(t, text)
				case "markdown":
					got = tallyMarkdown(text)
				case "github":
					got = tallyGitHub(t, text)
				default:
					got = tallyLines(text)
					want.Warnings = 0 // they are on stderr
				}
				if v.name == "json" || v.name == "jsonl" {
					got.Blocked = want.Blocked // who wished it is not said there, but in the summary
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-report +view):\n%s\n%s", v.name, diff, text)
				}
			}
		})
	}
}

// The scene that has everything has something under each heading, or
// TestViewsAgree would compare nothing with nothing.
func TestEverythingHasEverything(t *testing.T) {
	all := scenes(t)
	got := tallyOf(readScene(t, all["../testdata/render/everything.txtar"]).report())
	for what, n := range map[string]int{
		"held": got.Held, "blocked": got.Blocked, "drift": got.Drift, "refused": got.Refused,
		"errors": got.Errors, "warnings": got.Warnings, "authority": got.Authority,
	} {
		if n == 0 {
			t.Errorf("there is no %s", what)
		}
	}
	for _, a := range []string{"create", "replace", "update", "start", "restart", "stop", "delete", "run"} {
		if got.Changes[a] == 0 && !slices.Contains([]string{"update", "stop", "run"}, a) {
			t.Errorf("there is nothing to %s", a)
		}
	}
}
