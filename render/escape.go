// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Escape makes a text from elsewhere safe on a terminal and in the log of a CI
// job: control and format characters (escape codes, bidi overrides, line breaks)
// and what cannot be seen show as \u{HEX}. So does the first character of what
// a CI runner would take for a command in the middle of a line.
func Escape(s string) string {
	s = escapeFunc(s, unprintable)
	if !strings.Contains(s, "##") {
		return s
	}
	return runnerCommand.ReplaceAllString(s, `\u{23}$1`)
}

// runnerCommand finds what the runners of GitHub and Azure take for a command
// wherever it stands in a line.
var runnerCommand = regexp.MustCompile(`#(#[A-Za-z]*\[)`)

// EscapeLines is [Escape] for a text of several lines, none of which begins
// with the command of a CI runner afterwards.
func EscapeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		l = Escape(l)
		if rest := strings.TrimLeft(l, " "); strings.HasPrefix(rest, "::") {
			l = l[:len(l)-len(rest)] + `\u{3a}` + rest[1:]
		}
		lines[i] = l
	}
	return strings.Join(lines, "\n")
}

// EscapeJSON is [Escape] for a JSON document: what the encoder leaves as it is
// stands within strings, where it has a form in plain ASCII.
func EscapeJSON(doc string) string {
	special := func(r rune) bool { return r != '\n' && unprintable(r) }
	if strings.Contains(doc, "##") {
		doc = runnerCommand.ReplaceAllString(doc, `\u0023$1`)
	}
	if !strings.ContainsFunc(doc, special) {
		return doc
	}
	var b strings.Builder
	for _, r := range doc {
		if !special(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// escapeFunc shows the characters that special reports as \u{HEX}.
func escapeFunc(s string, special func(rune) bool) string {
	if !strings.ContainsFunc(s, special) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if special(r) {
			fmt.Fprintf(&b, `\u{%x}`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// unprintable reports whether r does something other than to show itself.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || r == unicode.ReplacementChar || unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func notASCII(r rune) bool { return r > unicode.MaxASCII }

// ASCII leaves nothing but ASCII in a text for people: signs of ours have a
// stand-in, other characters show as \u{HEX}.
func ASCII(s string) string {
	s = strings.NewReplacer("├─", "|-", "└─", "`-", "│", "|", "→", "->", "…", "...", "↻", "@", "≠", "#", "✓", "v", "✗", "x", "·", ".").Replace(s)
	return escapeFunc(s, notASCII)
}
