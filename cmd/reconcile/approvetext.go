// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// approvedJSON is one agent in the JSON form. Field names are part of it.
type approvedJSON struct {
	ID       string            `json:"id"`
	Approved []approvedKeyJSON `json:"approved"` // everything, also what was approved before
	Dropped  []string          `json:"dropped"`  // keys
	Hook     *approvedHookJSON `json:"hook"`     // on the host; null = it has none
}

type approvedKeyJSON struct {
	Key    string         `json:"key"`
	Kind   plan.GrantKind `json:"kind"`
	Text   string         `json:"text"`
	Origin string         `json:"origin"`
	New    bool           `json:"new"`
}

// report says what was approved, and where that counts.
func (r *approving) report(why string) error {
	if r.a.output == formatJSON {
		return r.reportJSON()
	}
	w := r.a.std.out
	if len(r.agents) == 0 {
		fmt.Fprintln(w, "nothing to approve: what these agents can do is as it was approved")
	} else {
		r.print(w)
		fmt.Fprintf(w, "approved in %s; commit it\n", schema.LockFile)
	}
	if note := r.here(); note != "" {
		fmt.Fprintln(w, note)
	}
	if why != "" {
		fmt.Fprintf(w, "%s counts again once that is so, and after another reconcile approve --all\n", escape(why+": "+schema.LockFile))
	}
	return nil
}

// here says that the lock file does not count by itself, and why; "" = it does.
func (r *approving) here() string {
	ids, can := r.writers, "can write"
	if len(ids) == 0 {
		ids, can = r.held, "could write"
	}
	if len(ids) == 0 {
		return ""
	}
	var names []string
	for _, id := range ids {
		names = append(names, id.String())
	}
	return escape(fmt.Sprintf("on this host only what is approved here counts, since %s %s %s", strings.Join(names, ", "), can, schema.LockFile))
}

// print lists what is new and what goes, by agent.
func (r *approving) print(w io.Writer) {
	s := r.a.styleFor(w)
	for _, x := range r.agents {
		fmt.Fprintln(w, s.bold(escape(x.title())))
		for _, g := range x.fresh {
			fmt.Fprintf(w, "  %s %s%s\n", s.green("+"), escape(g.Text), origin(s, g.Origin))
		}
		for _, key := range x.gone {
			fmt.Fprintf(w, "  %s %s\n", s.red("-"), escape(key))
		}
		x.hook.print(w, s)
		if len(x.fresh)+len(x.gone) == 0 && !x.hook.edit && !x.hook.fresh {
			fmt.Fprintln(w, "  "+s.dim("as before"))
		}
	}
}

// title is what a person calls x: its ID, or what the lock file says.
func (x approvedAgent) title() string {
	if x.id.Name != "" {
		return x.id.String()
	}
	return strings.Join(slices.Concat(x.names, x.hook.names), ", ")
}

func (r *approving) reportJSON() error {
	out := struct {
		FormatVersion string         `json:"format_version"`
		Workspace     string         `json:"workspace"`
		Changed       []approvedJSON `json:"changed"`
		// HostOnly: an agent can write the lock file, or could, so that only what is
		// approved on this host counts.
		HostOnly bool `json:"host_only"`
	}{plan.FormatVersion, r.src.name, []approvedJSON{}, r.here() != ""}
	for _, x := range r.agents {
		j := approvedJSON{ID: x.title(), Approved: []approvedKeyJSON{}, Dropped: append([]string{}, x.gone...), Hook: x.hook.form()}
		for _, g := range x.grants {
			j.Approved = append(j.Approved, approvedKeyJSON{g.Key, g.Kind, g.Text, g.Origin, !g.Approved})
		}
		out.Changed = append(out.Changed, j)
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(r.a.std.out, escapeJSON(string(b))+"\n")
	return err
}
