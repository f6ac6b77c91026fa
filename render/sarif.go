// SPDX-License-Identifier: Apache-2.0

package render

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"reconcile/schema"
)

// The parts of SARIF 2.1.0 that are written.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string       `json:"id"`
		ShortDescription sarifMessage `json:"shortDescription"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID              string            `json:"ruleId"`
		RuleIndex           int               `json:"ruleIndex"`
		Level               string            `json:"level"`
		Message             sarifMessage      `json:"message"`
		Locations           []sarifLocation   `json:"locations"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

// SARIF writes diagnostics in the Static Analysis Results Interchange Format
// 2.1.0. The id of a rule is made of the summary, which is constant for a kind
// of problem; fingerprints do not change when lines move. Columns are those of
// the bytes. What has no place is laid at the root of the repository, since
// forges refuse results without one.
func SARIF(w io.Writer, ds schema.Diagnostics, version string, o Options) error {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "reconcile", Version: version, Rules: sarifRules(ds)}},
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifResult{},
	}
	seen := map[string]int{}
	for _, d := range ds {
		id := ruleID(d.Summary)
		same := strings.Join([]string{id, d.Pos.File, moved.ReplaceAllString(d.Detail, "")}, "\x00")
		seen[same]++
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", same, seen[same]))
		run.Results = append(run.Results, sarifResult{
			RuleID:              id,
			RuleIndex:           slices.IndexFunc(run.Tool.Driver.Rules, func(r sarifRule) bool { return r.ID == id }),
			Level:               string(d.Severity),
			Message:             sarifMessage{sarifText(d)},
			Locations:           []sarifLocation{{sarifPlace(d.Pos, o)}},
			PartialFingerprints: map[string]string{"problem/v1": hex.EncodeToString(sum[:16])},
		})
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run},
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, EscapeJSON(b.String()))
	return err
}

// moved finds lines and columns within a text.
var moved = regexp.MustCompile(`:\d+(:\d+)?`)

func sarifRules(ds schema.Diagnostics) []sarifRule {
	rules := []sarifRule{}
	for _, d := range ds {
		rules = append(rules, sarifRule{ruleID(d.Summary), sarifMessage{d.Summary}})
	}
	slices.SortFunc(rules, func(a, b sarifRule) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(rules, func(a, b sarifRule) bool { return a.ID == b.ID })
}

// ruleID is a summary as the id of a rule: its words in lower case.
func ruleID(summary string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(summary), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), "-")
}

func sarifText(d schema.Diagnostic) string {
	text := d.Summary
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	if d.Hint != "" {
		text += "\nhint: " + d.Hint
	}
	return text
}

func sarifPlace(pos schema.Pos, o Options) sarifPhysical {
	if pos.File == "" {
		return sarifPhysical{ArtifactLocation: sarifArtifact{".", "%SRCROOT%"}}
	}
	p := sarifPhysical{ArtifactLocation: sarifArtifact{fileURI(o.based(pos.File)), "%SRCROOT%"}}
	if path.IsAbs(pos.File) {
		p.ArtifactLocation = sarifArtifact{"file://" + fileURI(pos.File), ""}
	}
	if pos.Line > 0 {
		p.Region = &sarifRegion{pos.Line, pos.Col}
	}
	return p
}

// fileURI is the name of a file as a relative reference.
func fileURI(file string) string {
	parts := strings.Split(file, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	// A colon in the first part would make it a scheme.
	parts[0] = strings.ReplaceAll(parts[0], ":", "%3A")
	return strings.Join(parts, "/")
}
