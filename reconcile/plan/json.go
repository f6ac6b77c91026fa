// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// FormatVersion is the version of the JSON form. Minor versions add, major
// versions break.
const FormatVersion = "1.0"

// Modes of a plan: what it was made against.
const (
	ModeLive     = "live"     // the runtime
	ModeAgainst  = "against"  // another desired state
	ModeObserved = "observed" // a recorded host
)

// Diagnostic is a problem of the workspace, as the JSON form has it.
type Diagnostic struct {
	Severity string `json:"severity"` // error or warning
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Hint     string `json:"hint"`
}

type planJSON struct {
	FormatVersion string       `json:"format_version"`
	Workspace     string       `json:"workspace"`
	Revision      string       `json:"revision"`
	Mode          string       `json:"mode"`
	Complete      bool         `json:"complete"`
	Changes       []changeJSON `json:"changes"`
	Drift         []heldJSON   `json:"drift"`
	Held          []heldJSON   `json:"held"`
	Authority     []grantJSON  `json:"authority"`
	Diagnostics   []Diagnostic `json:"diagnostics"`
	Summary       Summary      `json:"summary"`
	Steps         []stepJSON   `json:"steps"`
}

type changeJSON struct {
	ID           string          `json:"id"`
	Kind         string          `json:"kind"`
	Name         string          `json:"name"`
	Actions      []Action        `json:"actions"`
	Reasons      []Reason        `json:"reasons"`
	Before       json.RawMessage `json:"before"`
	After        json.RawMessage `json:"after"`
	ReplacePaths []string        `json:"replace_paths"`
	Hook         *hookJSON       `json:"hook"`
	// Files are only there where some differ, as before a run.
	Files []FileChange `json:"files,omitempty"`
}

// hookJSON is a hook on the host that is run, or held for want of approval.
type hookJSON struct {
	Name     HookName          `json:"name"`
	Commands []string          `json:"commands"`
	Files    map[string]string `json:"files"` // digests, by path in the agent's folder
	Digest   string            `json:"digest"`
	Origin   string            `json:"origin"`
	Approved bool              `json:"approved"`
	// Before is what was approved, a line a command and a file, as far as that is
	// known.
	Before []string `json:"before"`
}

type heldJSON struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Name    string    `json:"name"`
	Reasons []Reason  `json:"reasons"`
	Hook    *hookJSON `json:"hook"`
}

type grantJSON struct {
	ID       string    `json:"id"`
	Kind     GrantKind `json:"kind"`
	Text     string    `json:"text"`
	Origin   string    `json:"origin"`
	Approved bool      `json:"approved"`
}

type stepJSON struct {
	ID     string   `json:"id"`
	Op     Op       `json:"op"`
	Target string   `json:"target"`
	After  []string `json:"after"`
	// Commands are those of the hook that the step runs.
	Commands []string `json:"commands"`
}

// JSON returns the plan in its published form, indented and with a final
// newline. Every key is there and no list is null. Refusals of the whole pass,
// and what could not be known, come as diagnostics after diags.
func (p Plan) JSON(mode string, diags []Diagnostic) ([]byte, error) {
	out := planJSON{
		FormatVersion: FormatVersion,
		Workspace:     p.Workspace,
		Revision:      p.Revision,
		Mode:          mode,
		Complete:      p.Complete,
		Changes:       []changeJSON{},
		Drift:         heldForm(p.Drift),
		Held:          heldForm(p.Held),
		Authority:     []grantJSON{},
		Diagnostics:   append(append([]Diagnostic{}, diags...), p.diagnostics()...),
		Summary:       p.Summary(),
		Steps:         []stepJSON{},
	}
	for _, c := range p.Changes {
		out.Changes = append(out.Changes, changeJSON{
			ID: c.ID.String(), Kind: string(c.ID.Kind), Name: c.ID.Name,
			Actions: list(c.Actions), Reasons: list(c.Reasons),
			Before: c.Before, After: c.After, ReplacePaths: list(c.ReplacePaths), Hook: c.Hook.form(), Files: c.Files,
		})
	}
	for _, g := range p.Authority {
		out.Authority = append(out.Authority, grantJSON{g.ID.String(), g.Kind, g.Text, g.Origin, g.Approved})
	}
	for _, s := range p.Steps {
		out.Steps = append(out.Steps, stepJSON{ID: s.ID, Op: s.Op, Target: s.Target.String(), After: list(s.After), Commands: s.commands()})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func heldForm(cs []Change) []heldJSON {
	out := []heldJSON{}
	for _, c := range cs {
		out = append(out, heldJSON{c.ID.String(), string(c.ID.Kind), c.ID.Name, list(c.Reasons), c.Hook.form()})
	}
	return out
}

func (h *HookChange) form() *hookJSON {
	if h == nil {
		return nil
	}
	files := h.Files
	if files == nil {
		files = map[string]string{}
	}
	return &hookJSON{h.Name, list(h.Commands), files, h.Digest, h.Origin, h.Approved, list(h.Before)}
}

func (s Step) commands() []string {
	if s.Hook == nil {
		return []string{}
	}
	return list(s.Hook.Commands)
}

// list keeps an empty list from printing as null.
func list[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}

// diagnostics returns the pass-wide stops, which no ID carries.
func (p Plan) diagnostics() []Diagnostic {
	var ds []Diagnostic
	for _, r := range p.Refused {
		ds = append(ds, r.diagnostic("error", "refused: "+string(r.Code)))
	}
	for _, r := range p.Incomplete {
		ds = append(ds, r.diagnostic("error", "incomplete: "+string(r.Code)))
	}
	return ds
}

func (r Reason) diagnostic(severity, summary string) Diagnostic {
	d := Diagnostic{Severity: severity, Summary: summary, Detail: r.Text}
	d.File, d.Line, d.Column = splitOrigin(r.Origin)
	return d
}

// splitOrigin takes file:line:col apart; what is not of that form is all file,
// and "-" is none.
func splitOrigin(origin string) (file string, line, col int) {
	if origin == "-" {
		return "", 0, 0
	}
	rest, c, ok := cutLast(origin)
	file, l, ok2 := cutLast(rest)
	if !ok || !ok2 {
		return origin, 0, 0
	}
	return file, l, c
}

func cutLast(s string) (before string, n int, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0, false
	}
	n, err := strconv.Atoi(s[i+1:])
	return s[:i], n, err == nil
}
