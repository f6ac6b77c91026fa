// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/render"
)

// unmetAgent is why the wish did not come true for a TaskAgent, which is stopped
// when it takes no requests; "" = it did.
func (w *wish) unmetAgent(st reconcile.Status, r reconcile.PassResult) string {
	switch w.verb {
	case verbStop:
		if st.State == reconcile.WordReady {
			return because(st, r)
		}
		return ""
	case verbUpdate:
		return "a TaskAgent has no update hook"
	case verbRefresh:
		if len(st.Revisions) == 0 || st.Revisions[0].Ready.Before(w.at) {
			return because(st, r)
		}
		return ""
	}
	if st.State != reconcile.WordReady {
		return because(st, r)
	}
	return ""
}

// printAgent prints what a start or a restart did to a TaskAgent: no container of it
// changes by that in a pass.
func (w *wish) printAgent(a *app, id plan.ID, all []reconcile.Status) {
	i := slices.IndexFunc(all, func(st reconcile.Status) bool { return st.ID.Compare(id) == 0 })
	if i < 0 || w.verb != verbStart && w.verb != verbRestart {
		return
	}
	st, symbol, word := all[i], " ", "unchanged"
	done, text := w.didToAgent(st)
	if done {
		symbol, word = render.Symbol([]plan.Action{plan.ActionRestart}, a.renderOptions(a.std.out)), pastOf[w.verb]
	}
	line := fmt.Sprintf("%s %s %s: %s%s", symbol, escape(id.String()), word, escape(text), origin(a.styleFor(a.std.out), st.Origin))
	fmt.Fprintln(a.std.out, a.plainText(line))
}

// didToAgent says what was done to a TaskAgent that takes requests now. False:
// nothing was.
func (w *wish) didToAgent(st reconcile.Status) (done bool, text string) {
	var parts []string
	if slices.ContainsFunc(w.stopped, func(id plan.ID) bool { return id.Compare(st.ID) == 0 }) {
		done = true
		parts = append(parts, "it takes requests again, by "+st.Serving)
	}
	switch pool := st.Settings["warmPoolSize"]; {
	case w.verb == verbStart && !done:
		parts = append(parts, "it was not stopped, and takes requests by "+st.Serving)
	case w.verb == verbStart:
	case pool == "" || pool == "0":
		parts = append(parts, "it keeps no containers that wait for requests")
	case !w.daemon:
		parts = append(parts, "only a daemon keeps containers that wait for requests, and none runs")
	default:
		done = true
		parts = append(parts, "the containers that wait for requests are made anew, and executions go on")
	}
	return done, strings.Join(parts, "; ")
}
