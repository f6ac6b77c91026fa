// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// History is bounded: the oldest passes are forgotten first, and of a single
// pass no more is kept than fits.
const (
	maxHistory       = 500     // passes
	maxHistoryBytes  = 1 << 20 // in all
	maxRecordChanges = 500
	maxRecordErrors  = 50
	maxErrorBytes    = 1 << 10
)

// PassRecord is one line of history. Field names are part of the JSON output.
type PassRecord struct {
	Number   int          `json:"number"` // counts up for as long as there is a history
	Began    time.Time    `json:"began"`
	Ended    time.Time    `json:"ended,omitzero"`
	Causes   []Cause      `json:"causes"`
	Revision string       `json:"revision"` // of the workspace; "" without git
	Result   Result       `json:"result"`
	ExitCode int          `json:"exit_code"`      // what the same pass would have exited with at a command line
	Changes  []PassChange `json:"changes"`        // what was done, or was tried
	Runs     []PassRun    `json:"runs,omitempty"` // that were started, or have ended
	Errors   []string     `json:"errors"`         // of failed steps, of diagnostics, of loading, of what stands in the way
	// Omitted counts the changes, runs and errors that were too many to keep.
	Omitted int `json:"omitted,omitempty"`
}

// AppendHistory keeps the record of a pass that did or tried something, or
// whose result, errors or revision are others than those of the pass before.
// It returns the record with its number, which is 0 for one that is not kept.
func (s *Store) AppendHistory(r PassRecord) (PassRecord, error) {
	if s.readOnly {
		return r, fmt.Errorf("append history: %w", errReadOnly)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lines, last := readHistory(s.historyFile())
	// The file may be deleted at any time; numbers go on.
	s.passes = max(s.passes, last.Number)
	r.Number = 0
	if len(lines) > 0 && !r.worthKeeping(last) {
		return r, nil
	}
	r.Number = s.passes + 1
	line, err := json.Marshal(r.cut())
	if err != nil {
		return r, fmt.Errorf("append history: %w", err)
	}
	lines = append(lines, append(line, '\n'))
	lines = lines[max(0, len(lines)-maxHistory):]
	size := 0
	for i, line := range slices.Backward(lines) {
		if size += len(line); size > maxHistoryBytes {
			lines = lines[i+1:]
			break
		}
	}
	if err := s.putCache(s.historyFile(), bytes.Join(lines, nil)); err != nil {
		return r, fmt.Errorf("append history: %w", err)
	}
	s.passes = r.Number
	return r, nil
}

// History returns the records of the last passes, the newest first; limit 0 =
// all. Lines that cannot be understood are left out.
func (s *Store) History(limit int) ([]PassRecord, error) {
	b, err := readSmall(s.historyFile(), 2*maxHistoryBytes)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	var out []PassRecord
	for line := range bytes.Lines(b) {
		if r, ok := parseRecord(line); ok {
			out = append(out, r)
		}
	}
	slices.Reverse(out)
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return out, nil
}

// readHistory returns the lines of the file and the last record that can be
// understood. What cannot be read is lost, as anything in a cache may be.
func readHistory(path string) (lines [][]byte, last PassRecord) {
	b, err := readSmall(path, 2*maxHistoryBytes)
	if err != nil {
		return nil, PassRecord{}
	}
	if len(b) > 0 && b[len(b)-1] != '\n' { // a crash cut it
		b = append(b, '\n')
	}
	lines = slices.Collect(bytes.Lines(b))
	for _, line := range slices.Backward(lines) {
		if r, ok := parseRecord(line); ok {
			return lines, r
		}
	}
	return nil, PassRecord{}
}

func parseRecord(line []byte) (PassRecord, bool) {
	var r PassRecord
	err := json.Unmarshal(line, &r)
	return r, err == nil && r.Number > 0
}

// worthKeeping reports whether r says anything that last, the record before
// it, does not.
func (r PassRecord) worthKeeping(last PassRecord) bool {
	return len(r.Changes)+len(r.Runs) > 0 || r.Revision != last.Revision || r.ExitCode != last.ExitCode ||
		r.Result.fine() != last.Result.fine() || !slices.Equal(r.cut().Errors, last.Errors)
}

// fine results differ only in whether anything was to be done.
func (r Result) fine() bool { return r == ResultUnchanged || r == ResultConverged }

// cut bounds what is kept of a record. Lists are never null.
func (r PassRecord) cut() PassRecord {
	changes, errs := r.Changes[:min(len(r.Changes), maxRecordChanges)], r.Errors[:min(len(r.Errors), maxRecordErrors)]
	runs := r.Runs[:min(len(r.Runs), maxRecordRuns)]
	r.Omitted += len(r.Changes) - len(changes) + len(r.Runs) - len(runs) + len(r.Errors) - len(errs)
	r.Runs = runs
	r.Changes = append([]PassChange{}, changes...)
	r.Errors = make([]string, 0, len(errs))
	for _, text := range errs {
		r.Errors = append(r.Errors, cutText(text))
	}
	r.Causes = append([]Cause{}, r.Causes...)
	return r
}

// cutText bounds a text, between characters.
func cutText(text string) string {
	if len(text) <= maxErrorBytes {
		return text
	}
	end := maxErrorBytes
	for end > 0 && text[end]&0xc0 == 0x80 {
		end--
	}
	return text[:end] + "…"
}

func (s *Store) historyFile() string { return filepath.Join(s.cacheDir(), "history.jsonl") }
