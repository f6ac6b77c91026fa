// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reconcile/reconcile"
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
