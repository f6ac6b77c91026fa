// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"reconcile/reconcile/plan"
)

// What is shown of the difference of one file.
const (
	maxDiffLines = 1_000
	maxDiffBytes = 64 << 10
	maxDiffLine  = 2_000 // bytes of a line
)

// hunk is a run of lines that stand for others.
type hunk struct{ removed, added int }

// hunks are the places in which two texts differ.
func hunks(before, after string) []hunk {
	var out []hunk
	for _, e := range udiff.Lines(before, after) {
		h := hunk{countLines([]byte(before[e.Start:e.End])), countLines([]byte(e.New))}
		out = append(out, h)
	}
	return out
}

// contentDiffs are the differences of the files of a change, one below the other.
// What cannot be shown is said in a line that begins with #. Of what goes away
// altogether nothing is shown.
func (r Report) contentDiffs(c plan.Change) string {
	var b strings.Builder
	for _, f := range r.filesIn(c) {
		if text, ok := r.contentDiff(c.ID, f); ok {
			b.WriteString(text)
			continue
		}
		b.WriteString("# " + Escape(f.one().name) + ": " + r.fileWords(f) + "\n")
	}
	return b.String()
}

// contentDiff is the unified difference of a file; false: there is none to show.
func (r Report) contentDiff(id plan.ID, f fileChange) (string, bool) {
	before, ok := r.side(f.before)
	after, ok2 := r.side(f.after)
	if !ok || !ok2 || before == after {
		return "", false
	}
	from, to := "a/"+Escape(id.String()+f.one().path), "b/"+Escape(id.String()+f.one().path)
	if f.before == nil {
		from = "/dev/null"
	}
	if f.after == nil {
		to = "/dev/null"
	}
	text, err := udiff.ToUnified(from, to, before, udiff.Lines(before, after), udiff.DefaultContextLines)
	if err != nil { // the edits are those of before
		return "", false
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, l := range lines {
		lines[i] = clipEscaped(EscapeLines(l), maxDiffLine)
	}
	shown, size := 0, 0
	for shown < min(len(lines), maxDiffLines) && (size == 0 || size+len(lines[shown]) <= maxDiffBytes) {
		size += len(lines[shown]) + 1
		shown++
	}
	more := len(lines) - shown
	lines = slices.Clone(lines[:shown])
	if more > 0 {
		lines = append(lines, fmt.Sprintf("# %s of this difference not shown", moreLines(more)))
	}
	return join(lines), true
}

func moreLines(n int) string { return strings.Replace(Count(n, "line"), " ", " more ", 1) }

// side is what is in a file that can be compared line by line; a file that is not
// there is empty.
func (r Report) side(f *file) (string, bool) {
	if f == nil {
		return "", true
	}
	content, known := r.content(f)
	return string(content), known && isText(content) && len(content) <= maxCompared
}
