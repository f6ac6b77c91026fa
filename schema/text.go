// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what is decoded. A document beyond them is an error, so that no
// input can exhaust memory: aliases count as often as they are used.
const (
	maxFileBytes = 8 << 20
	maxMarks     = 1 << 20 // characters that can start a value, in one file
	maxNodes     = 100_000 // values of one document, aliases expanded
	maxDepth     = 100
	maxDigits    = 40   // digits of an integer
	maxByteCol   = 4096 // columns beyond it count characters, not bytes
)

// text is a source file: its bytes, where its lines start, and the problems
// found in it so far.
type text struct {
	name  string
	src   []byte
	lines []int // byte offsets of line starts
	ascii bool  // columns in characters are columns in bytes
	ds    Diagnostics
}

// yamlLines counts the further line breaks that YAML knows, so that positions
// from its parser are found.
func (t *text) yamlLines() {
	for _, br := range []string{"\u0085", "\u2028", "\u2029"} {
		for i := 0; !t.ascii; {
			n := bytes.Index(t.src[i:], []byte(br))
			if n < 0 {
				break
			}
			i += n + len(br)
			t.lines = append(t.lines, i)
		}
	}
	slices.Sort(t.lines)
}

// newText checks size and encoding. The second result is false when the file
// must not be parsed.
func newText(name string, src []byte) (*text, bool) {
	t := &text{name: name, src: src, lines: []int{0}, ascii: true}
	if len(src) > maxFileBytes {
		t.fail(Pos{name, 1, 1}, summaryTooLarge,
			fmt.Sprintf("the file has %d bytes; at most %d (%d MiB) are read", len(src), maxFileBytes, maxFileBytes>>20), "split it into several files")
		return t, false
	}
	for i, b := range src {
		if b == '\n' || b == '\r' && (i+1 == len(src) || src[i+1] != '\n') {
			t.lines = append(t.lines, i+1)
		}
	}
	for _, b := range src {
		if b >= utf8.RuneSelf {
			t.ascii = false
			break
		}
	}
	if !t.ascii && !utf8.Valid(src) {
		at := invalidUTF8(src)
		hint := "save the file as UTF-8"
		if bytes.HasPrefix(src, []byte("\xff\xfe")) || bytes.HasPrefix(src, []byte("\xfe\xff")) {
			hint = "the file looks like UTF-16; save it as UTF-8"
		}
		t.fail(t.at(at), summaryEncoding, fmt.Sprintf("byte 0x%02x is not valid UTF-8 here", src[at]), hint)
		return t, false
	}
	return t, true
}

func invalidUTF8(src []byte) int {
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return 0
}

// at is the position of a byte offset.
func (t *text) at(offset int) Pos {
	line, found := slices.BinarySearch(t.lines, offset)
	if !found {
		line--
	}
	return Pos{t.name, line + 1, offset - t.lines[line] + 1}
}

// pos is the position of a line and a column that counts characters, both
// from 1.
func (t *text) pos(line, col int) Pos {
	line, col = max(line, 1), max(col, 1)
	if line > len(t.lines) { // the parser counts one more at the end of a file
		return t.at(len(t.src))
	}
	if t.ascii || col > maxByteCol {
		return Pos{t.name, line, col}
	}
	rest := t.src[t.lines[line-1]:]
	n := 0
	for range col - 1 {
		_, size := utf8.DecodeRune(rest[n:])
		if size == 0 {
			break
		}
		n += size
	}
	return Pos{t.name, line, n + 1}
}

func (t *text) fail(pos Pos, summary, detail, hint string) {
	t.ds = append(t.ds, Diagnostic{Severity: Error, Summary: summary, Detail: detail, Hint: hint, Pos: pos})
}

// duplicate reports a key that its map already has.
func (t *text) duplicate(key string, pos, first Pos) {
	t.fail(pos, summaryDupKey, fmt.Sprintf("%s is already set on line %d", quoteKey(key), first.Line), "remove one of the two")
}

// checkKey reports keys that nothing may be named.
func (t *text) checkKey(key string, pos Pos) {
	if i := strings.IndexFunc(key, isControl); i >= 0 {
		t.fail(pos, summaryControl, fmt.Sprintf("the key %q contains a control character", key), "")
	}
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// quoteKey quotes text for messages, with everything unprintable escaped and
// long text cut.
func quoteKey(s string) string {
	const limit = 80
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
