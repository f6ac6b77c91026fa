// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// progress shows a pass on stderr while it goes on: one line an instance that
// is rewritten in place on a terminal, a line a finished step elsewhere.
type progress struct {
	w      io.Writer
	style  style
	plain  func(string) string
	live   bool
	width  func() int
	height func() int

	mu    sync.Mutex
	rows  []*progressRow // in the order of their first step
	byID  map[plan.ID]*progressRow
	drawn int // lines on the screen that the next drawing replaces
	stop  chan struct{}
	done  chan struct{}
}

// progressRow is what one line says about one resource.
type progressRow struct {
	id       plan.ID
	op       plan.Op
	detail   string
	since    time.Time
	running  int
	left     int
	failed   bool
	skipped  bool
	finished time.Time
}

func (a *app) newProgress() *progress {
	p := &progress{w: a.std.err, style: a.styleFor(a.std.err), plain: a.plainText, byID: map[plan.ID]*progressRow{}}
	if f, ok := a.std.err.(*os.File); ok && isTerminal(f) {
		v, _ := a.lookupEnv("TERM")
		p.live = v != "dumb"
		size := func(pick func(w, h int) int, otherwise int) func() int {
			return func() int {
				w, h, err := term.GetSize(int(f.Fd()))
				if err != nil || pick(w, h) <= 0 { // some terminals do not know
					return otherwise
				}
				return pick(w, h)
			}
		}
		p.width = size(func(w, _ int) int { return w }, 80)
		p.height = size(func(_, h int) int { return h }, 24)
	}
	return p
}

// start learns which steps there will be, or which more.
func (p *progress) start(pl plan.Plan) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range pl.Steps {
		row := p.byID[s.Target]
		if row == nil {
			row = &progressRow{id: s.Target}
			p.byID[s.Target] = row
			p.rows = append(p.rows, row)
		}
		row.left++
	}
	if p.live && len(p.rows) > 0 && p.stop == nil {
		p.stop, p.done = make(chan struct{}), make(chan struct{})
		go p.redraw()
	}
	return nil
}

// redraw keeps the elapsed times moving until finish.
func (p *progress) redraw() {
	defer close(p.done)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.mu.Lock()
			p.draw(false)
			p.mu.Unlock()
		}
	}
}

// event is told of each step by the executor.
func (p *progress) event(e reconcile.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	row := p.byID[e.Step.Target]
	if row == nil || e.State == reconcile.StepQueued {
		return
	}
	if e.State == reconcile.StepStarted {
		if row.since.IsZero() {
			row.since = time.Now()
		}
		row.op, row.detail = e.Step.Op, ""
		row.running++
		return
	}
	row.left--
	switch e.State {
	case reconcile.StepDone:
		row.running--
	case reconcile.StepFailed:
		row.running--
		row.failed, row.detail, row.op = true, firstLine(stepDetail(e.Step, e.Detail)), e.Step.Op
	case reconcile.StepSkipped:
		row.skipped = true
		if !row.failed {
			row.detail = e.Detail
		}
	case reconcile.StepReplanned:
		if e.Detail != "" { // it had begun
			row.running--
			row.detail = e.Detail
		}
	}
	if row.left == 0 {
		row.finished = time.Now()
	}
	if !p.live {
		writeStep(p.w, e)
	}
}

// writeStep writes the line of a step that has ended.
func writeStep(w io.Writer, e reconcile.Event) {
	if e.Step.Op == plan.OpRecord && e.State == reconcile.StepDone {
		return
	}
	if e.State == reconcile.StepReplanned {
		if e.Detail != "" {
			fmt.Fprintf(w, "%-8s %s %s\n", e.Step.Op, escape(e.Step.Target.String()), escape(e.Detail))
		}
		return
	}
	line := fmt.Sprintf("%-8s %s %s", e.Step.Op, escape(e.Step.Target.String()), e.State)
	if e.State != reconcile.StepSkipped {
		line += " in " + e.Elapsed.Round(time.Millisecond).String()
	}
	if e.Detail != "" {
		line += ": " + escape(firstLine(stepDetail(e.Step, e.Detail)))
	}
	fmt.Fprintln(w, line)
}

// firstLine is what fits into a line of progress: what follows is output of
// something else, which the result has.
func firstLine(text string) string {
	first, _, more := strings.Cut(text, "\n")
	if more {
		first = strings.TrimSuffix(first, ":")
		first = strings.TrimSuffix(strings.TrimSuffix(first, "; its output ends"), "; it said last")
	}
	return first
}

// pull is told by the runtime what a long step does.
func (p *progress) pull(pr podman.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	row := p.byID[pr.Target]
	if row == nil || row.detail == pr.Text {
		return
	}
	row.detail = pr.Text
	if !p.live {
		fmt.Fprintf(p.w, "%-8s %s %s\n", pr.Op, escape(pr.Target.String()), escape(pr.Text))
	}
}

// finish draws the last state and gives the terminal back.
func (p *progress) finish() {
	if p.stop != nil {
		close(p.stop)
		<-p.done
		p.mu.Lock()
		p.draw(true)
		p.mu.Unlock()
	}
}

// draw writes the rows over what it wrote before. While the pass goes on it
// shows no more rows than the screen has; the last drawing shows all.
func (p *progress) draw(last bool) {
	rows := p.rows
	if limit := p.height() - 2; !last && len(rows) > limit {
		rows = p.mostTelling(max(limit, 1))
	}
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	b.WriteString("\x1b[J")
	for _, r := range rows {
		b.WriteString(p.row(r) + "\n")
	}
	p.drawn = len(rows)
	io.WriteString(p.w, b.String())
}

// mostTelling picks the rows to show when not all fit: what failed and what
// runs before what waits and what is done.
func (p *progress) mostTelling(n int) []*progressRow {
	var picked []*progressRow
	for _, want := range []func(*progressRow) bool{
		func(r *progressRow) bool { return r.failed },
		func(r *progressRow) bool { return !r.failed && r.running > 0 },
		func(r *progressRow) bool { return !r.failed && r.running == 0 && r.left > 0 },
		func(r *progressRow) bool { return !r.failed && r.running == 0 && r.left == 0 },
	} {
		for _, r := range p.rows {
			if want(r) && len(picked) < n {
				picked = append(picked, r)
			}
		}
	}
	return picked
}

func (p *progress) row(r *progressRow) string {
	symbol, word := "·", "waiting"
	paint := p.style.dim
	switch {
	case r.failed:
		symbol, word, paint = "✗", string(r.op)+" failed", p.style.red
	case r.left == 0 && r.skipped:
		symbol, word, paint = "!", "skipped", p.style.yellow
	case r.left == 0:
		symbol, word, paint = "✓", "done", p.style.green
	case !r.since.IsZero():
		symbol, word, paint = "→", string(r.op), p.style.cyan
	}
	elapsed := ""
	if !r.since.IsZero() {
		end := r.finished
		if end.IsZero() {
			end = time.Now()
		}
		elapsed = end.Sub(r.since).Round(100 * time.Millisecond).String()
	}
	text := fmt.Sprintf("%s %-32s %-10s %7s  %s", symbol, escape(r.id.String()), word, elapsed, escape(r.detail))
	if runes := []rune(text); len(runes) > p.width()-1 {
		text = string(runes[:max(p.width()-2, 0)]) + "…"
	}
	return paint(p.plain(strings.TrimRight(text, " ")))
}
