// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// formatOf is the output format that a command line asks for.
func formatOf(args []string) string {
	for i, a := range args {
		if format, ok := strings.CutPrefix(a, "--output="); ok {
			return format
		}
		if (a == "-o" || a == "--output") && i+1 < len(args) {
			return args[i+1]
		}
		if format, ok := strings.CutPrefix(a, "-o"); ok && format != "" {
			return format
		}
	}
	return formatText
}

// What lines of the views look like.
var (
	countsLine      = regexp.MustCompile(`^(nothing (to do|planned)|\d+ (to [a-z]+|drifted|blocked)(, \d+ (to [a-z]+|drifted|blocked))*) \(\d+ unchanged\)$`)
	workflowCommand = regexp.MustCompile(`^::(error|warning|notice) ([a-z]+=[^:,]*,)*title=[^:,]+::.+$`)
	markerLine      = regexp.MustCompile(`^<!-- reconcile:[A-Za-z0-9._%-]+ -->$`)
	diffLine        = regexp.MustCompile(`^([ +-]|# |@@ -\d|\\ No newline)`)
)

// checkView holds the output of a plan or of diagnostics to the rules of its
// view.
func checkView(format, stdout string, dryRun bool) error {
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	last := lines[len(lines)-1]
	switch format {
	case formatText, "diff":
		if dryRun && !countsLine.MatchString(strings.TrimPrefix(last, "# ")) {
			return fmt.Errorf("the last line is not the counts: %q", last)
		}
		if format == "diff" {
			return each(lines, diffLine)
		}
	case "markdown":
		if !markerLine.MatchString(lines[0]) {
			return fmt.Errorf("the first line is no marker: %q", lines[0])
		}
		if len(stdout) > 60_000 {
			return fmt.Errorf("%d bytes, more than a comment takes", len(stdout))
		}
		if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "### ") }); i < 0 || !countsLine.MatchString(lines[i][4:]) {
			return fmt.Errorf("no heading with the counts")
		}
	case "github":
		if stdout == "" && !dryRun {
			return nil
		}
		return each(lines, workflowCommand)
	case formatLines:
		return checkLines(lines)
	case "sarif":
		var doc struct {
			Version string
			Runs    []struct {
				Results []struct {
					RuleID              string
					Message             struct{ Text string }
					Locations           []any
					PartialFingerprints map[string]string
				}
			}
		}
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
			return err
		}
		if doc.Version != "2.1.0" || len(doc.Runs) != 1 {
			return fmt.Errorf("version %q, %d runs", doc.Version, len(doc.Runs))
		}
		for _, r := range doc.Runs[0].Results {
			if r.RuleID == "" || r.Message.Text == "" || len(r.Locations) != 1 || len(r.PartialFingerprints) == 0 {
				return fmt.Errorf("a result lacks something: %+v", r)
			}
		}
	}
	return nil
}

func each(lines []string, want *regexp.Regexp) error {
	for _, l := range lines {
		if !want.MatchString(l) {
			return fmt.Errorf("line %q does not match %s", l, want)
		}
	}
	return nil
}

// checkLines checks that each line is an event, that the first is a plan and
// that nothing comes after the summary.
func checkLines(lines []string) error {
	var types []string
	for _, l := range lines {
		var e struct{ Type string }
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			return fmt.Errorf("%w: %s", err, l)
		}
		types = append(types, e.Type)
	}
	for _, t := range types {
		if !slices.Contains([]string{"plan", "diagnostic", "authority", "change", "drift", "held", "step", "progress", "summary"}, t) {
			return fmt.Errorf("an event of type %q", t)
		}
	}
	if types[0] != "plan" || types[len(types)-1] != "summary" {
		return fmt.Errorf("the events are not a plan up to its summary: %q", types)
	}
	return nil
}
