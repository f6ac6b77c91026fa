// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"

	"golang.org/x/term"
)

// escape makes text from manifests safe on a terminal: control and format
// characters (escape codes, bidi overrides, line breaks) show as \u{HEX}.
func escape(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unprintable(r) {
			fmt.Fprintf(&b, `\u{%x}`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// escapeLines is escape for texts of several lines.
func escapeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = escape(l)
	}
	return strings.Join(lines, "\n")
}

// escapeJSON is escape for a JSON document: what the encoder leaves as it is
// stands within strings, where it has a form in plain ASCII.
func escapeJSON(doc string) string {
	special := func(r rune) bool { return r != '\n' && unprintable(r) }
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

func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar ||
		unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

// style colours text when its stream is a terminal that wants colours.
type style struct{ on bool }

func (a *app) styleFor(w io.Writer) style {
	switch a.color {
	case "always":
		return style{true}
	case "never":
		return style{}
	}
	if v, ok := a.lookupEnv("NO_COLOR"); ok && v != "" {
		return style{}
	}
	if v, _ := a.lookupEnv("TERM"); v == "dumb" {
		return style{}
	}
	return style{isTerminal(w)}
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (s style) paint(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(t string) string   { return s.paint("1", t) }
func (s style) dim(t string) string    { return s.paint("2", t) }
func (s style) red(t string) string    { return s.paint("31", t) }
func (s style) green(t string) string  { return s.paint("32", t) }
func (s style) yellow(t string) string { return s.paint("33", t) }
func (s style) cyan(t string) string   { return s.paint("36", t) }

// table writes rows as left-aligned columns; cells are plain text that the
// caller has escaped, painted per column by paint (nil = as is).
func table(w io.Writer, header []string, rows [][]string, paint func(col int, cell string) string) {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	line := func(row []string, paint func(int, string) string) {
		var b strings.Builder
		for i, cell := range row {
			text := cell
			if paint != nil {
				text = paint(i, cell)
			}
			b.WriteString(text)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-len([]rune(cell))+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	line(header, nil)
	for _, row := range rows {
		line(row, paint)
	}
}
