// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// editor collects what one edit replaces in a file.
type editor struct {
	t *text
	scanner
	json bool
	eol  string
	step int // how much deeper a map is indented than the one around it
	root place

	splices []splice
}

// splice replaces the bytes from from to to.
type splice struct {
	from, to int
	with     string
}

func newEditor(name string, src []byte) (*editor, error) {
	t, _ := newText(name, src) // which was read before
	e := &editor{t: t, scanner: scanner{src}, eol: "\n", json: strings.EqualFold(path.Ext(name), ".json")}
	if i := bytes.IndexAny(src, "\r\n"); i >= 0 {
		e.eol = string(src[i : i+1])
		if bytes.HasPrefix(src[i:], []byte("\r\n")) {
			e.eol = "\r\n"
		}
	}
	if e.json {
		n, _ := ParseJSON(name, src)
		e.root, e.step = placeJSON(t, n), 2
		return e, nil
	}
	root, err := placeYAML(t)
	e.root, e.step = root, root.step()
	return e, err
}

// step is how deep the maps of a file are indented.
func (p place) step() int {
	if p.kind == NodeMap && !p.flow {
		for _, e := range p.entries {
			if v := e.value; v.kind == NodeMap && !v.flow && !v.alias && v.col > p.col {
				return v.col - p.col
			}
		}
	}
	return 2
}

func (e *editor) result() []byte {
	slices.SortStableFunc(e.splices, func(a, b splice) int { return a.from - b.from })
	out := slices.Clone(e.src)
	for _, s := range slices.Backward(e.splices) {
		out = slices.Replace(out, s.from, s.to, []byte(s.with)...)
	}
	return out
}

func (e *editor) replace(from, to int, with string) {
	e.splices = append(e.splices, splice{from, to, with})
}

func (e *editor) byHand(p place, why string) error {
	return &ByHandError{e.t.at(p.start), why}
}

// edit walks to the place of the edit, and makes it.
func (e *editor) edit(ed Edit) error {
	at := e.root
	after, col := 0, 0 // of the entry whose value is at
	inFlow := at.flow
	for i, key := range ed.Path {
		if at.alias {
			return e.byHand(at, "it is a YAML alias, and what is changed there changes in other places too")
		}
		rest := nest{keys: ed.Path[i:], value: ed.Value, list: ed.Op == EditAppend}
		if at.kind == NodeNull {
			e.fill(at, col, inFlow, rest)
			return nil
		}
		j := at.find(key)
		switch {
		case at.kind != NodeMap:
			return e.byHand(at, "it is no map")
		case j < 0 && (ed.Op == EditUnset || ed.Op == EditDrop):
			return e.byHand(at, key+" comes from a map that is merged here")
		case j < 0:
			return e.insert(at, rest)
		case i == len(ed.Path)-1 && ed.Op == EditUnset:
			return e.remove(at, j, after)
		}
		after, col, inFlow = at.entries[j].after, at.col, at.flow
		at = at.entries[j].value
	}
	switch {
	case at.alias:
		return e.byHand(at, "it is a YAML alias, and what is changed there changes in other places too")
	case ed.Op == EditSet:
		return e.set(at, after, inFlow, ed.Value)
	case at.kind == NodeNull:
		e.fill(at, col, inFlow, nest{value: ed.Value, list: true})
		return nil
	case at.kind != NodeList:
		return e.byHand(at, "it is no list")
	case ed.Op == EditAppend:
		return e.insert(at, nest{value: ed.Value})
	}
	return e.remove(at, ed.Item, after)
}

// set replaces a value; after is behind the colon of its key.
func (e *editor) set(old place, after int, inFlow bool, value *Node) error {
	text := e.inline(nest{value: value}, old.style, inFlow)
	from := old.start
	if old.start == old.end || !old.flow && (old.kind == NodeMap || old.kind == NodeList) {
		from, text = after, " "+text // it may begin in a line of its own
	}
	e.replace(from, old.end, text)
	return nil
}

// fill puts something where a key has no value, or a null. col is the column of
// the key.
func (e *editor) fill(old place, col int, inFlow bool, n nest) {
	switch {
	case old.start < old.end:
		e.replace(old.start, old.end, e.inline(n, 0, inFlow))
	case inFlow || len(n.keys) == 0 && !n.list:
		e.replace(old.start, old.end, " "+e.inline(n, 0, inFlow))
	default:
		e.insertLines(old.start, e.block(n, col+e.step))
	}
}

// insert adds an entry at the end of a map, or an item at the end of a list.
func (e *editor) insert(p place, n nest) error {
	if p.flow {
		text := ""
		if p.kind == NodeMap {
			text = e.entry(n)
		} else {
			text = e.inline(n, 0, true)
		}
		e.insertFlow(p, text)
		return nil
	}
	last := p.begin(p.len() - 1)
	if p.kind == NodeList && p.items[p.len()-1].dash < 0 {
		return e.byHand(p, "its last item is not on the line of its dash")
	}
	lines := e.block(n, p.col)
	if p.kind == NodeList {
		lines = []string{strings.Repeat(" ", p.col) + "- " + e.inline(n, 0, false)}
	}
	indent := string(e.src[e.lineStart(last):last])
	if p.kind == NodeMap && strings.Trim(indent, " ") != "" && strings.Trim(indent, " -") != "" {
		return e.byHand(p, "its entries do not begin their lines")
	}
	e.insertLines(e.behindComments(p.end, p.col), lines)
	return nil
}

// behindComments is where the comments end that follow the value that ends at i
// and are indented by more than col: they are about what is in that value.
func (e *editor) behindComments(i, col int) int {
	for next := e.nextLine(i); next < len(e.src); next = e.nextLine(next) {
		first := e.space(next)
		if e.isEmpty(next) {
			continue
		}
		if e.src[first] != '#' || e.column(first) <= col {
			break
		}
		i = first
	}
	return i
}

// insertLines adds whole lines behind the one of i.
func (e *editor) insertLines(i int, lines []string) {
	text := strings.Join(lines, e.eol)
	end := e.lineEnd(i)
	if next := e.nextLine(i); next > end {
		e.replace(next, next, text+e.eol)
		return
	}
	e.replace(end, end, e.eol+text)
}

// insertFlow adds text at the end of what is in brackets: in a line of its own
// when that is how the last one stands there.
func (e *editor) insertFlow(p place, text string) {
	n := p.len()
	if n == 0 {
		open := e.properties(p.start) + 1
		e.replace(open, open, text)
		return
	}
	begin, finish := p.begin(n-1), p.finish(n-1)
	comma := e.gap(finish)
	trailing := e.peek(comma) == ','
	line := e.lineStart(begin)
	ownLine := line > p.start && e.space(line) == begin
	if !ownLine {
		separator := ", "
		if n > 1 {
			between := string(e.src[p.finish(n-2):begin])
			if strings.Trim(between, " ,") == "" {
				separator = between
			}
		}
		if trailing {
			e.replace(comma+1, comma+1, strings.TrimPrefix(separator, ",")+text+",")
			return
		}
		e.replace(finish, finish, separator+text)
		return
	}
	indented := string(e.src[line:begin]) + text
	stop := finish
	if trailing {
		stop = comma + 1
		indented += ","
	} else {
		e.replace(finish, finish, ",")
	}
	if rest := e.space(stop); rest < len(e.src) && !isBreak(e.src[rest]) && e.src[rest] != '#' {
		e.replace(stop, stop, e.eol+indented) // the bracket is on the same line
		return
	}
	end := e.lineEnd(stop)
	e.replace(end, end, e.eol+indented)
}

// remove takes out an entry or an item; after is behind the colon of the key of
// p. What is empty then stays as such.
func (e *editor) remove(p place, i, after int) error {
	if p.flow {
		e.removeFlow(p, i)
		return nil
	}
	begin, finish := p.begin(i), p.finish(i)
	from, to := e.lineStart(begin), e.nextLine(finish)
	if e.space(from) != begin || p.kind == NodeList && p.items[i].dash < 0 {
		return e.byHand(p, "what is to be removed does not begin its line")
	}
	if p.len() == 1 {
		if after == 0 {
			return e.byHand(p, "nothing would be left of it")
		}
		empty := " {}"
		if p.kind == NodeList {
			empty = " []"
		}
		e.replace(after, after, empty)
	}
	if to == e.lineEnd(finish) && from > 0 { // the last line ends without a line break, and so does what stays
		from--
		if from > 0 && e.src[from] == '\n' && e.src[from-1] == '\r' {
			from--
		}
	}
	e.replace(from, to, "")
	return nil
}

func (e *editor) removeFlow(p place, i int) {
	begin, finish := p.begin(i), p.finish(i)
	behind := finish // and behind its comma
	comma := e.gap(finish)
	trailing := e.peek(comma) == ','
	if trailing {
		behind = comma + 1
	}
	last := i == p.len()-1
	before := -1 // the comma before the last one, which goes with it
	if last && i > 0 {
		before = e.gap(p.finish(i - 1))
	}
	line, stop := e.lineStart(begin), e.space(behind)
	if e.space(line) == begin && line > p.start && (stop >= len(e.src) || isBreak(e.src[stop]) || e.src[stop] == '#') {
		if before >= 0 && !trailing {
			e.replace(before, before+1, "")
		}
		e.replace(line, e.nextLine(stop), "")
		return
	}
	switch {
	case before >= 0 && trailing && strings.Trim(string(e.src[before+1:begin]), " \t") == "":
		begin = before + 1
	case before >= 0 && trailing:
	case before >= 0 && strings.Trim(string(e.src[p.finish(i-1):begin]), " \t,") == "":
		begin = p.finish(i - 1)
	case before >= 0:
		e.replace(before, before+1, "")
	case !last && strings.Trim(string(e.src[behind:p.begin(i+1)]), " \t") == "":
		behind = p.begin(i + 1)
	}
	e.replace(begin, behind, "")
}
