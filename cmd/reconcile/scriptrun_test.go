// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"reconcile/schema"
)

// codeCmd runs a command and checks its exit code: code N reconcile ARGS…
func codeCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command [args...]")
	}
	if got := run1(ts, args[1:]); fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// run1 runs a command and returns its exit code.
func run1(ts *testscript.TestScript, args []string) int {
	s := scriptOf(ts)
	dryRun := args[0] == "reconcile" && slices.Contains(args, "--dry-run")
	var before string
	if dryRun {
		before = s.snapshot(ts, false)
	}
	var err error
	exec := func() { err = ts.Exec(args[0], args[1:]...) }
	if args[0] == "reconcile" && reads(args[1:]) {
		s.watched(ts, exec)
	} else {
		exec()
	}
	code := 0
	if err != nil {
		if _, scanErr := fmt.Sscanf(err.Error(), "exit status %d", &code); scanErr != nil {
			ts.Fatalf("%v", err)
		}
	}
	if args[0] == "reconcile" {
		checkRun(ts, args[1:], code)
	}
	if dryRun {
		if diff := cmp.Diff(before, s.snapshot(ts, false)); diff != "" {
			ts.Fatalf("a dry run changed something (-before +after)\n%s", diff)
		}
	}
	return code
}

// checkRun holds one run of reconcile to what all of them promise: no control
// characters, no planted secret, JSON alone on stdout, and a plan that is as
// published. Dry runs are compared before and after by [run1].
func checkRun(ts *testscript.TestScript, args []string, code int) {
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	raw := slices.ContainsFunc(args, func(a string) bool {
		return slices.Contains([]string{"logs", "schema", "completion", "--help", "-h", "--color=always"}, a)
	})
	inner := len(args) > 0 && slices.Contains([]string{"exec", "shell", "cli"}, args[0]) // what it prints, and its exit code, are another's
	for name, text := range map[string]string{"stdout": stdout, "stderr": stderr} {
		if i := strings.IndexFunc(text, isControl); i >= 0 && !raw && !inner {
			ts.Fatalf("%s has a control character at byte %d: %q", name, i, text)
		}
		for _, c := range scriptOf(ts).canaries {
			if form, found := c.in(text); found {
				ts.Fatalf("%s has a secret value (%s)", name, form)
			}
		}
	}
	for line := range strings.Lines(stdout) {
		if aboutOne.MatchString(line) && !placed.MatchString(line) && !raw {
			ts.Fatalf("a line of the plan or the result lacks its place: %q", line)
		}
	}
	if code != 0 && stdout+stderr == "" && !inner {
		ts.Fatalf("exit code %d without a word", code)
	}
	isPlan := slices.Contains(args, "--dry-run") && !slices.Contains(args, "update")
	if (isPlan || slices.Contains([]string{formatLines, "sarif", "github"}, formatOf(args))) && (stdout != "" || code != 1) && !raw {
		if err := checkView(formatOf(args), stdout, isPlan); err != nil {
			ts.Fatalf("the %s view is not as promised: %v", formatOf(args), err)
		}
	}
	if formatOf(args) != formatJSON || code == 1 && stdout == "" {
		return
	}
	dec := json.NewDecoder(strings.NewReader(stdout))
	var doc any
	if err := dec.Decode(&doc); err != nil {
		ts.Fatalf("stdout is not JSON: %v", err)
	}
	if dec.More() {
		ts.Fatalf("stdout has something after the JSON document")
	}
	if isPlan {
		if err := checkPlan(stdout); err != nil {
			ts.Fatalf("the plan is not as published: %v", err)
		}
	}
}

func isControl(r rune) bool {
	return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
}

var planValidator = sync.OnceValues(func() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.PlanJSONSchema()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("plan.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("plan.json")
})

// planKeys are the keys of the plan's JSON form; the published schema admits
// more, for readers of later minor versions.
type planKeys struct {
	FormatVersion string `json:"format_version"`
	Workspace     string `json:"workspace"`
	Revision      string `json:"revision"`
	Mode          string `json:"mode"`
	Complete      bool   `json:"complete"`
	Changes       []struct {
		findingKeys
		Actions      []string        `json:"actions"`
		Before       json.RawMessage `json:"before"`
		After        json.RawMessage `json:"after"`
		ReplacePaths []string        `json:"replace_paths"`
		Files        []struct {
			Path   string `json:"path"`
			Action string `json:"action"`
			Text   string `json:"text"`
		} `json:"files"`
	} `json:"changes"`
	Drift     []findingKeys `json:"drift"`
	Held      []findingKeys `json:"held"`
	Authority []struct {
		ID       string `json:"id"`
		Kind     string `json:"kind"`
		Text     string `json:"text"`
		Origin   string `json:"origin"`
		Approved bool   `json:"approved"`
	} `json:"authority"`
	Diagnostics []struct {
		Severity string `json:"severity"`
		Summary  string `json:"summary"`
		Detail   string `json:"detail"`
		File     string `json:"file"`
		Line     int    `json:"line"`
		Column   int    `json:"column"`
		Hint     string `json:"hint"`
	} `json:"diagnostics"`
	Summary struct {
		Create    int `json:"create"`
		Replace   int `json:"replace"`
		Update    int `json:"update"`
		Start     int `json:"start"`
		Restart   int `json:"restart"`
		Stop      int `json:"stop"`
		Delete    int `json:"delete"`
		Run       int `json:"run"`
		Drift     int `json:"drift"`
		Unchanged int `json:"unchanged"`
		Blocked   int `json:"blocked"`
	} `json:"summary"`
	Steps []struct {
		ID     string   `json:"id"`
		Op     string   `json:"op"`
		Target string   `json:"target"`
		After  []string `json:"after"`

		Commands []string `json:"commands"`
	} `json:"steps"`
}

type findingKeys struct {
	Hook    json.RawMessage `json:"hook"` // of changes, and of what is held
	ID      string          `json:"id"`
	Kind    string          `json:"kind"`
	Name    string          `json:"name"`
	Reasons []struct {
		Code   string `json:"code"`
		Text   string `json:"text"`
		Origin string `json:"origin"`
	} `json:"reasons"`
}

// checkPlan validates a plan against the published schema and its own promises:
// exactly the keys of format 1.0, a reason with text and place for each change,
// steps after steps that exist.
func checkPlan(text string) error {
	validator, err := planValidator()
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	if err := validator.Validate(doc); err != nil {
		return err
	}
	var p planKeys
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, s := range p.Steps {
		for _, id := range s.After {
			if !known[id] {
				return fmt.Errorf("step %s is after %s, which does not come before it", s.ID, id)
			}
		}
		known[s.ID] = true
	}
	findings := slices.Concat(p.Drift, p.Held)
	for _, c := range p.Changes {
		findings = append(findings, c.findingKeys)
		if len(c.Actions) == 0 {
			return fmt.Errorf("%s changes without an action", c.ID)
		}
	}
	for _, f := range findings {
		if len(f.Reasons) == 0 {
			return fmt.Errorf("%s has no reason", f.ID)
		}
		for _, r := range f.Reasons {
			if r.Code == "" || r.Text == "" || !place.MatchString(r.Origin) {
				return fmt.Errorf("%s: the reason %+v lacks a code, a text or a place", f.ID, r)
			}
		}
	}
	return nil
}

// aboutOne are lines of a plan or a result that are about one object, and placed
// those that end with their place. What failed may take several lines.
var (
	aboutOne = regexp.MustCompile(`^ *[-+~↻!≠] [a-z]+/\S+ `)
	placed   = regexp.MustCompile(`  \S+:\d+:\d+\n$`)
)

// place is file:line:col.
var place = regexp.MustCompile(`^.+:\d+:\d+$`)

// awaitCmd runs a command until what it prints matches: await REGEXP command
// ARGS…
func awaitCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await regexp command [args...]")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline := time.Now().Add(patience)
	for pause := 50 * time.Millisecond; ; pause = min(pause*3/2, 500*time.Millisecond) { // other scripts need the processor
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && re.MatchString(ts.ReadFile("stdout")+ts.ReadFile("stderr")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("never matched %q (last: %v)", args[0], err)
		}
		time.Sleep(pause)
	}
}

// canary is a secret value in every form in which it may leak.
type canary map[string]string

func newCanary(value string) canary {
	forms := canary{
		"as it is":    value,
		"hexadecimal": hex.EncodeToString([]byte(value)),
		"URL query":   url.QueryEscape(value),
		"URL path":    url.PathEscape(value),
		"HTML":        html.EscapeString(value),
		// What is the same on every host can be guessed at.
		"SHA-256": fmt.Sprintf("%x", sha256.Sum256([]byte(value))),
	}
	if quoted, err := json.Marshal(value); err == nil {
		forms["JSON"] = strings.Trim(string(quoted), `"`)
	}
	// Within a longer text base64 may begin at each of three offsets; what
	// neighbours share is left out.
	for offset := range 3 {
		padded := append(make([]byte, offset), value...)
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "URL base64": base64.RawURLEncoding} {
			text := enc.EncodeToString(padded)
			forms[fmt.Sprintf("%s at %d", name, offset)] = text[(offset*8+5)/6 : len(padded)*8/6]
		}
	}
	return forms
}

// in returns the form in which the value is in text.
func (c canary) in(text string) (form string, found bool) {
	for form, value := range c {
		if strings.Contains(text, value) {
			return form, true
		}
	}
	return "", false
}

// canaryCmd names secret values that no later run may print: canary VALUE…
func canaryCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: canary value...")
	}
	s := scriptOf(ts)
	for _, v := range args {
		s.canaries = append(s.canaries, newCanary(v))
	}
}
