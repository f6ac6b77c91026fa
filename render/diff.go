// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"reconcile/reconcile/plan"
)

// Diff writes what changes as unified differences of the specs, an object each.
// Lines that begin with # say the rest, and are no part of any difference.
func Diff(w io.Writer, r Report, o Options) error {
	p := newPage(o)
	p.line("# " + p.esc(r.head()))
	p.attention(r, "# ")
	p.authority(r, "# ")
	for _, c := range r.Plan.Changes {
		p.change(c, "# ")
		if forgotten(c) {
			p.line("#     " + forgottenText + "; this is what it will be made from")
		}
		p.hooks(hookRuns(r.Plan, c, false), "# ")
		p.raw(p.ascii(r.unified(c) + r.contentDiffs(c)))
	}
	p.drift(r, "# ")
	p.line("# " + Counts(r.Plan))
	return p.writeTo(w)
}

// unified returns the difference of the two specs of a change; "" when they are
// the same, or nothing is known of them.
func (r Report) unified(c plan.Change) string {
	before, after := plan.SpecTrees(c.Before, c.After)
	if after != nil { // else what was in them is told by nothing but this
		splitFiles(before, after)
	}
	b, a := join(yamlLines(before)), join(yamlLines(after))
	if b == a {
		return ""
	}
	from, to := "a/"+Escape(c.ID.String()), "b/"+Escape(c.ID.String())
	if before == nil {
		from = "/dev/null"
	}
	if after == nil {
		to = "/dev/null"
	}
	text, err := udiff.ToUnified(from, to, b, udiff.Lines(b, a), udiff.DefaultContextLines)
	if err != nil { // the edits are those of b
		return fmt.Sprintf("# no difference can be shown: %v\n", err)
	}
	return text
}

func join(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
