// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// editable draws a workspace file in any style that a person may use.
func editable(g *rapid.T) (name, src string) {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(g, label) }
	comment := func(label string) string { return pick(label, "", "", " # "+label, "   #: { [ - "+label) }
	above := func(label, indent string) string {
		return pick(label, "", "", "\n", indent+"# above "+label+"\n", "# far "+label+":\n\n")
	}
	text := func(label string) string {
		return pick(label, "plain", "two words", "'quoted # it''s'", `"esc \" # \\"`, "12", "https://x.y/#z", "a:b", "żółw", `""`)
	}
	step := pick("step", "  ", "    ")
	var b strings.Builder
	b.WriteString(pick("head", "", "# head\n", "---\n", "# x\n---\n"))
	b.WriteString("kind: Workspace" + comment("kind") + "\n")
	b.WriteString(above("spec", "") + "spec:" + comment("spec") + "\n")
	sections := []string{"enable", "vars", "profile", "repos"}
	sections = rapid.Permutation(sections).Draw(g, "sections")
	for _, s := range sections[:rapid.IntRange(1, 4).Draw(g, "n")] {
		b.WriteString(above(s, step))
		n := rapid.IntRange(0, 3).Draw(g, "size")
		style := pick("style", "block", "block", "flow", "lines")
		switch s {
		case "profile":
			b.WriteString(step + "profile: p" + comment("profile") + "\n")
		case "repos":
			b.WriteString(step + "repos: {x: ./x}" + comment("repos") + "\n")
		case "enable":
			var items []string
			for i := range n {
				items = append(items, pick("item", fmt.Sprintf("a%d", i), fmt.Sprintf("a%d as b%d", i, i), fmt.Sprintf("'c%d'", i), fmt.Sprintf(`"d%d no-wait"`, i)))
			}
			writeList(&b, g, step, style, items, comment, above)
		case "vars":
			var items []string
			for i := range n {
				value := text("value")
				if style == "block" {
					value = pick("long", value, value, "|\n"+step+step+"  one\n"+step+step+"  # two\n", ">-\n"+step+step+step+"x\n\n"+step+step+step+"y\n",
						"one\n"+step+step+"  two", "\n"+step+step+"  secret: s", "", "null")
				} else if strings.ContainsAny(value, "#:") && value[0] != '"' && value[0] != '\'' {
					value = "v"
				}
				items = append(items, strings.TrimSuffix(fmt.Sprintf("V%d: %s", i, value), "\n"))
			}
			writeMap(&b, g, step, style, items, comment, above)
		}
	}
	src = b.String()
	if rapid.Bool().Draw(g, "crlf") {
		src = strings.ReplaceAll(src, "\n", "\r\n")
	}
	// With a line behind it, a block of text at the end would be another text.
	if rapid.Bool().Draw(g, "bare end") && !strings.HasSuffix(src, "# two\r\n") && !strings.HasSuffix(src, "# two\n") && !strings.Contains(src, ">-") {
		src = strings.TrimRight(src, "\r\n")
	}
	return "workspace.yaml", src
}

type drawText = func(label string) string

func writeList(b *strings.Builder, g *rapid.T, step, style string, items []string, comment drawText, above func(label, indent string) string) {
	switch {
	case len(items) == 0:
		b.WriteString(step + "enable:" + rapid.SampledFrom([]string{"", " []", " [ ]", " null", " ~"}).Draw(g, "none") + comment("enable") + "\n")
	case style == "flow":
		b.WriteString(step + "enable: [" + strings.Join(items, ", ") + rapid.SampledFrom([]string{"", ","}).Draw(g, "comma") + "]" + comment("enable") + "\n")
	case style == "lines":
		b.WriteString(step + "enable: [" + comment("enable") + "\n")
		writeLines(b, g, step, "]", items, comment)
	default:
		b.WriteString(step + "enable:" + comment("enable") + "\n")
		indent := step + rapid.SampledFrom([]string{"", step}).Draw(g, "list")
		for i, item := range items {
			b.WriteString(above(fmt.Sprint("item ", i), indent) + indent + "- " + item + comment(fmt.Sprint("of item ", i)) + "\n")
		}
	}
}

func writeMap(b *strings.Builder, g *rapid.T, step, style string, items []string, comment drawText, above func(label, indent string) string) {
	switch {
	case len(items) == 0:
		b.WriteString(step + "vars:" + rapid.SampledFrom([]string{"", " {}", " { }", " null"}).Draw(g, "none") + comment("vars") + "\n")
	case style == "flow":
		b.WriteString(step + "vars: {" + strings.Join(items, ", ") + "}" + comment("vars") + "\n")
	case style == "lines":
		b.WriteString(step + "vars: {" + comment("vars") + "\n")
		writeLines(b, g, step, "}", items, comment)
	default:
		b.WriteString(step + "vars:" + comment("vars") + "\n")
		for i, item := range items {
			b.WriteString(above(fmt.Sprint("var ", i), step+step) + step + step + item)
			if !strings.Contains(item, "\n") {
				b.WriteString(comment(fmt.Sprint("of var ", i)))
			}
			b.WriteString("\n")
		}
	}
}

func writeLines(b *strings.Builder, g *rapid.T, step, bracket string, items []string, comment drawText) {
	trailing := rapid.Bool().Draw(g, "trailing")
	for i, item := range items {
		b.WriteString(step + step + item)
		if i < len(items)-1 || trailing {
			b.WriteString(",")
		}
		b.WriteString(comment(fmt.Sprint("line ", i)) + "\n")
	}
	b.WriteString(step + bracket + "\n")
}

func drawEdit(g *rapid.T, n *Node) Edit {
	value := rapid.SampledFrom([]string{"x", "", "two words", "12", "#", "a: b", "it's", "a\nb", "[", "é\u0085", "no", "- a", "{}", `"`}).Draw(g, "new value")
	switch rapid.SampledFrom([]EditOp{EditSet, EditUnset, EditAppend, EditDrop}).Draw(g, "op") {
	case EditSet:
		name := fmt.Sprintf("V%d", rapid.IntRange(0, 3).Draw(g, "var"))
		if rapid.Bool().Draw(g, "secret") {
			return setSecret(name, "s")
		}
		return setVar(name, value)
	case EditUnset:
		return unsetVar(fmt.Sprintf("V%d", rapid.IntRange(0, 3).Draw(g, "var")))
	case EditAppend:
		return addEnable("new" + value)
	}
	return dropEnable(rapid.IntRange(0, 2).Draw(g, "drop"))
}

// Whatever is edited, every line that is not about it stays as it is, in its
// order, and taking back what was added gives the file as it was.
func TestEditKeepsTheRest(t *testing.T) {
	rapid.Check(t, func(g *rapid.T) {
		name, src := editable(g)
		before, err := oneDocument(name, []byte(src))
		if err != nil {
			g.Fatalf("the file makes no sense: %v\n%s", err, src)
		}
		ed := drawEdit(g, before)
		out, err := EditFile(name, []byte(src), ed)
		if err != nil {
			g.Fatalf("%+v: %v\n%s", ed, err, src)
		}
		if want, _ := ed.apply(before, ed.Path); want != nil {
			got, err := oneDocument(name, out)
			if err != nil || !want.same(got) {
				g.Fatalf("%+v: %v\n%s\n--- became\n%s", ed, err, src, out)
			}
		}
		checkLines(g, ed, src, string(out), touched(before, ed))
		if back, ok := inverse(before, ed); ok {
			again, err := EditFile(name, out, back)
			if err != nil || string(again) != src {
				g.Fatalf("%+v and back: %v\n%q\n--- became\n%q\n--- and then\n%q", ed, err, src, out, again)
			}
		}
	})
}

// touched is how many lines of the value are to go with an edit.
func touched(n *Node, ed Edit) int {
	if ed.Op != EditSet && ed.Op != EditUnset {
		return 1
	}
	return 5 // of the longest value that is drawn
}

func checkLines(g *rapid.T, ed Edit, src, out string, most int) {
	before, after := slices.Collect(strings.Lines(src)), slices.Collect(strings.Lines(out))
	left := map[string]int{}
	for _, l := range after {
		left[strings.TrimRight(l, "\r\n")]++
	}
	gone := 0
	for _, l := range before {
		l = strings.TrimRight(l, "\r\n")
		if left[l] > 0 {
			left[l]--
			continue
		}
		if l == "" {
			continue // a last line without its line break is nothing
		}
		gone++
		if c := strings.TrimSpace(l); strings.HasPrefix(c, "#") && !strings.HasPrefix(c, "# two") && !strings.Contains(out, l) {
			g.Fatalf("%+v: the comment %q is gone\n%s\n--- became\n%s", ed, l, src, out)
		}
	}
	fresh := 0
	for _, n := range left {
		fresh += n
	}
	// A line more: the key of the list or map, or the line before.
	if gone > most+1 || fresh > 4 {
		g.Fatalf("%+v: %d lines are gone, %d are new\n%s\n--- became\n%s", ed, gone, fresh, src, out)
	}
	if strings.Contains(src, "\r\n") && strings.Count(out, "\n") != strings.Count(out, "\r\n") {
		g.Fatalf("%+v: the line endings are mixed\n%q", ed, out)
	}
}

// inverse takes back what was added to a list or map that has something in it.
func inverse(n *Node, ed Edit) (Edit, bool) {
	at := n
	for _, key := range ed.Path {
		at = at.field(key)
	}
	list := n.field("spec").field("enable")
	vars := n.field("spec").field("vars")
	switch {
	case ed.Op == EditAppend && list != nil && len(list.Items) > 0:
		return dropEnable(len(list.Items)), true
	case ed.Op == EditSet && at == nil && vars != nil && len(vars.Fields) > 0:
		return Edit{Op: EditUnset, Path: ed.Path}, true
	}
	return Edit{}, false
}

func FuzzEditFile(f *testing.F) {
	for _, src := range []string{
		"spec:\n  enable:\n    - a # x\n  vars:\n    A: x\n", "spec: {enable: [a, b], vars: {A: {secret: b}}}\r\n",
		"spec:\n  enable: [\n    a, # x\n  ]\n", "x: &a [b]\nspec: {enable: *a}\n", "spec:\n- a\n", "\ufeffspec:\n", "spec:\n  vars:\n    A: |+\n      x\n\n",
		"spec:\n  vars: !!map\n    ? A\n    : b\n", `{"spec":{"enable":["a"],"vars":{"A":"x"}}}`,
	} {
		f.Add(src, "A", "new", 0, false)
		f.Add(src, "B", "b: c", 1, true)
	}
	f.Fuzz(func(t *testing.T, src, key, value string, item int, isJSON bool) {
		name := "workspace.yaml"
		if isJSON {
			name = "workspace.json"
		}
		for _, ed := range []Edit{setVar(key, value), setSecret(key, value), unsetVar(key), addEnable(value), dropEnable(item)} {
			out, err := EditFile(name, []byte(src), ed)
			if err != nil {
				continue
			}
			before, err := oneDocument(name, []byte(src))
			if err != nil {
				t.Fatalf("%+v: what cannot be read was edited: %v", ed, err)
			}
			want, _ := ed.apply(before, ed.Path)
			if got, err := oneDocument(name, out); err != nil || !want.same(got) {
				t.Fatalf("%+v: %v\n%q\n%q", ed, err, src, out)
			}
		}
	})
}
