// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
)

// Unsettled is what a plan wants to do although a pass of the same workspace has
// just ended and did all it had to: something takes back what passes do, or what
// is made never looks as it was asked for.
type Unsettled struct {
	ID      plan.ID       `json:"id"`
	Actions []plan.Action `json:"actions"`
	Fields  []string      `json:"fields"` // that differ, as dotted paths; none where the reason is no field
	Reasons []plan.Reason `json:"reasons"`
}

// FindUnsettled reads p, which was made after such a pass. A run for which there
// is room or a slot by now is none of them, nor what is left of one that is not
// kept any longer.
func FindUnsettled(p plan.Plan) []Unsettled {
	var out []Unsettled
	for _, c := range p.Changes {
		if (c.ID.Kind == plan.Task || c.ID.Kind == plan.CronTask) && !slices.ContainsFunc(c.Reasons, unsettling) {
			continue
		}
		out = append(out, Unsettled{ID: c.ID, Actions: c.Actions, Fields: c.ReplacePaths, Reasons: c.Reasons})
	}
	return out
}

// unsettling reports whether a reason to do something about runs is none that comes
// by itself.
func unsettling(r plan.Reason) bool {
	return r.Code != plan.CodeNew && r.Code != plan.CodeSlot && r.Code != plan.CodeEnded
}

// String names the object, the fields and the reasons, without their places.
func (u Unsettled) String() string {
	words := make([]string, 0, len(u.Actions))
	for _, a := range u.Actions {
		words = append(words, string(a))
	}
	var why []string
	said := map[string]bool{}
	for _, r := range u.Reasons {
		if !said[r.Text] {
			said[r.Text] = true
			why = append(why, r.Text)
		}
	}
	text := fmt.Sprintf("%s does not settle (%s again): %s", u.ID, strings.Join(words, ", "), strings.Join(why, "; "))
	var unsaid []string
	for _, f := range u.Fields {
		if !strings.Contains(text, f) {
			unsaid = append(unsaid, f)
		}
	}
	if len(unsaid) > 0 {
		text += " (" + strings.Join(unsaid, ", ") + ")"
	}
	return text
}

// Origin is the place of the first reason, file:line:col.
func (u Unsettled) Origin() string {
	if len(u.Reasons) == 0 {
		return ""
	}
	return u.Reasons[0].Origin
}
