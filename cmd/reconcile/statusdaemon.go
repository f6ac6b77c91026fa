// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"reconcile/control"
	"reconcile/reconcile"
	"reconcile/workspace"
)

// askDaemon returns what the daemon that runs the workspace at root says of
// itself; nil = there is none. One that does not answer is a warning: what runs
// can be looked at all the same.
func (a *app) askDaemon(ctx context.Context, root string) *control.Status {
	c, err := a.dialDaemon(ctx, root)
	if err == nil && c == nil {
		return nil
	}
	var st control.Status
	if err == nil {
		st, err = c.Status(ctx)
	}
	if err != nil {
		fmt.Fprintln(a.std.err, "warning: "+escapeLines(err.Error()))
		return nil
	}
	return &st
}

// factsOf are what only the daemon knows of what runs.
func factsOf(daemon *control.Status) reconcile.Facts {
	var f reconcile.Facts
	if daemon == nil || json.Unmarshal(daemon.Facts, &f) != nil {
		return reconcile.Facts{} // another version says nothing that is understood
	}
	return f
}

// sourcesOf are the git sources of a workspace: as its daemon knows them, else
// as the mirrors do. They are never null.
func sourcesOf(src source, daemon *control.Status) []control.Source {
	if daemon != nil {
		return append([]control.Source{}, daemon.Sources...)
	}
	out := []control.Source{}
	for _, s := range src.sources {
		out = append(out, s.public())
	}
	return out
}

// public is the state as others see it.
func (s sourceState) public() control.Source {
	return control.Source{
		Name: s.Name, URL: s.URL, Ref: s.Ref, Commit: s.Commit, Since: s.Since,
		Stale: s.Stale, Error: s.Error, Refused: s.Refused, Pinned: s.Pinned,
	}
}

// daemonJSON is the daemon in the JSON of status; its sources stand beside it.
func daemonJSON(st *control.Status) any {
	if st == nil {
		return nil
	}
	return map[string]any{
		"pid": st.PID, "version": st.Version, "since": st.Since, "listen": st.Listen, "watching": st.Watching,
		"ready": st.Ready, "reason": st.Reason, "last": st.Last,
	}
}

// printDaemon prints a line about the daemon and one for each source.
func (a *app) printDaemon(st *control.Status, sources []control.Source) {
	s := a.styleFor(a.std.out)
	if st != nil {
		line := fmt.Sprintf("daemon: pid %d, up %s", st.PID, age(st.Since))
		var last reconcile.PassRecord
		if json.Unmarshal(st.Last, &last) == nil && !last.Began.IsZero() {
			line += fmt.Sprintf(", last pass %s ago (%s): %s", age(last.Ended), causes(last), last.Result)
		}
		if st.Watching == "polling" {
			line += ", folders are polled"
		}
		fmt.Fprintln(a.std.out, escape(line))
		if !st.Ready {
			fmt.Fprintln(a.std.out, s.red("daemon: not ready: ")+escape(st.Reason))
		}
	}
	for _, x := range sources {
		ref := x.URL
		if x.Ref != "" {
			ref += "#" + x.Ref
		}
		name := x.Name
		if name == workspace.ContextKind+ref {
			name = "context" // one in place is called by its address
		}
		line := fmt.Sprintf("source: %s %s at %s", name, ref, orNone(shortRevision(x.Commit)))
		if x.Pinned {
			line += ", locked"
		}
		fmt.Fprintln(a.std.out, escape(line)+", "+freshness(s, x))
		if x.Refused != "" {
			fmt.Fprintln(a.std.out, s.red("source: ")+escape(x.Name+" "+x.Refused))
		}
	}
	if st != nil || len(sources) > 0 {
		fmt.Fprintln(a.std.out)
	}
}

// freshness says how old what is known of a source is.
func freshness(s style, x control.Source) string {
	asked := "never reached"
	if !x.Since.IsZero() {
		asked = "reached " + age(x.Since) + " ago"
	}
	if !x.Stale {
		return asked
	}
	asked = "not reached" // a repository of this host may have been there before
	if !x.Since.IsZero() {
		asked = "stale since " + x.Since.UTC().Format(time.RFC3339)
	}
	return s.red(asked) + ": " + escape(x.Error)
}

// anyRefused reports whether a newer commit of a source is not taken.
func anyRefused(sources []control.Source) bool {
	for _, s := range sources {
		if s.Refused != "" {
			return true
		}
	}
	return false
}
