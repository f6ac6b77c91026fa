// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"strings"

	"reconcile/reconcile/plan"
)

// troubles are what a plan says nothing of, since nothing can be done about it:
// that what runs is not ready, and what its probes and hooks said. It is never nil.
func (s *summary) troubles(r plan.Resource, st Status) []plan.Reason {
	out := []plan.Reason{}
	add := func(code plan.Code, origin, format string, args ...any) {
		out = append(out, plan.Reason{Code: code, Text: fmt.Sprintf(format, args...), Origin: origin})
	}
	if h := st.Health; h != nil {
		if p := h.Liveness; p != nil && p.Verdict == plan.VerdictFailing {
			add(plan.CodeUnhealthy, r.Origin, "its liveness probe fails%s", said(p.Output))
		}
		switch p := h.Readiness; {
		case p == nil || p.Verdict == plan.VerdictPassing:
		case p.Verdict == plan.VerdictFailing:
			add(plan.CodeUnhealthy, r.Origin, "it is not ready: its readiness probe fails%s", said(p.Output))
		default:
			add(plan.CodeUnhealthy, r.Origin, "it is not ready yet%s", said(p.Output))
		}
	}
	for _, h := range r.Hooks {
		if fact, failed := s.failed[r.ID.String()]; failed && h.Host() && fact.Digest == h.Digest {
			add(plan.CodeHook, h.Origin, "its %s hook failed: %s", h.Name, oneLine(fact.Detail))
		}
	}
	return out
}

// said is the end of a sentence about a probe.
func said(output string) string {
	if output = oneLine(output); output == "" {
		return ""
	}
	return ": " + output
}

// oneLine joins the lines of a text.
func oneLine(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if b.Len() > 0 && strings.HasSuffix(b.String(), ":") {
			b.WriteString(" ")
		} else if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(line)
	}
	return b.String()
}
