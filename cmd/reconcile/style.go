// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"reconcile/render"
)

// escape makes a text from elsewhere safe on a terminal, escapeLines one of
// several lines, and escapeJSON a JSON document.
func escape(s string) string       { return render.Escape(s) }
func escapeLines(s string) string  { return render.EscapeLines(s) }
func escapeJSON(doc string) string { return render.EscapeJSON(doc) }

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
func count(n int, noun string) string { return render.Count(n, noun) }

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
