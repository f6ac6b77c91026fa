// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/schema"
)

// approvedHook is what changes about the hook of an agent that runs on this host.
type approvedHook struct {
	hook   *plan.Hook // nil = the agent has none, or not any more
	names  []string   // of its entries in the lock file, the first is to be kept
	before []string   // the text that was approved; nil = none, or it is not known
	fresh  bool       // it is not approved yet
	edit   bool       // the lock file says something else
}

// hostHookOf is the hook of a resource that runs on this host; nil = it has none.
func hostHookOf(d plan.Desired, id plan.ID) *plan.Hook {
	for _, res := range d.Resources {
		for i := range res.Hooks {
			if res.ID.Compare(id) == 0 && res.Hooks[i].Host() {
				return &res.Hooks[i]
			}
		}
	}
	return nil
}

// considerHook compares the hook of an agent with the entries of the lock file.
func (r *approving) considerHook(id plan.ID, grants []plan.Grant) approvedHook {
	h := approvedHook{hook: hostHookOf(r.src.Desired, id)}
	same := h.hook == nil
	for _, e := range r.lock.Hooks {
		if r.idOf(e.Name.V).Compare(id) != 0 {
			continue
		}
		h.names = append(h.names, e.Name.V)
		files := map[string]string{}
		for _, f := range e.Files {
			files[f.Name.V] = f.Digest.V
		}
		bare := len(e.Commands)+len(files) == 0
		if !bare {
			h.before = plan.HookText(texts(e.Commands), files)
		}
		same = h.hook != nil && e.Digest.V == h.hook.Digest && (bare || slices.Equal(h.before, h.hook.Text()))
	}
	h.edit = !same || len(h.names) > 1
	for _, g := range grants {
		h.fresh = h.fresh || g.Kind == plan.GrantHostHook && !g.Approved
	}
	return h
}

// idOf is the agent that an entry of the lock file is about; the zero one when
// its name is no agent's.
func (*approving) idOf(name string) plan.ID {
	id, err := plan.ParseID(name)
	if err != nil {
		return plan.ID{}
	}
	return id.Canonical()
}

func texts(list []schema.Str) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = s.V
	}
	return out
}

// editLock sets what the lock file says of the hook of id. Of several entries
// the first stays.
func (h approvedHook) editLock(id plan.ID, hooks map[string]*schema.HookEntry) {
	if !h.edit {
		return
	}
	for _, name := range h.names {
		hooks[name] = nil
	}
	if h.hook == nil {
		return
	}
	name := id.String()
	if len(h.names) > 0 {
		name = h.names[0]
	}
	hooks[name] = &schema.HookEntry{Digest: h.hook.Digest, Commands: h.hook.Commands, Files: maps.Clone(h.hook.Files)}
}

// print shows the text of a hook that is new, beside what was approved.
func (h approvedHook) print(w io.Writer, s style) {
	switch {
	case h.hook == nil && len(h.names) > 0:
		fmt.Fprintf(w, "  %s runs a hook on this host\n", s.red("-"))
		return
	case h.hook == nil || !h.fresh && !h.edit:
		return
	}
	head := "runs its " + string(h.hook.Name) + " hook on this host"
	if h.before != nil && !slices.Equal(h.before, h.hook.Text()) {
		head += ", which is not what was approved"
	}
	fmt.Fprintf(w, "  %s %s:%s\n", s.green("+"), head, origin(s, h.hook.Origin))
	for _, l := range render.HookLines(h.before, h.hook.Text()) {
		sign := s.dim(string(l.Sign))
		switch l.Sign {
		case '+':
			sign = s.green("+")
		case '-':
			sign = s.red("-")
		}
		fmt.Fprintln(w, strings.TrimRight("      "+sign+" "+escape(l.Text), " "))
	}
}

// approvedHookJSON is a hook in the JSON form. Field names are part of it.
type approvedHookJSON struct {
	Name     plan.HookName     `json:"name"`
	Commands []string          `json:"commands"`
	Files    map[string]string `json:"files"`
	Digest   string            `json:"digest"`
	Origin   string            `json:"origin"`
	New      bool              `json:"new"`
	Before   []string          `json:"before"` // what was approved, as far as that is known
}

func (h approvedHook) form() *approvedHookJSON {
	if h.hook == nil {
		return nil
	}
	out := approvedHookJSON{
		Name: h.hook.Name, Commands: h.hook.Commands, Files: map[string]string{}, Digest: h.hook.Digest,
		Origin: h.hook.Origin, New: h.fresh, Before: append([]string{}, h.before...),
	}
	maps.Copy(out.Files, h.hook.Files)
	return &out
}

// offerHooks shows whoever sits at a terminal the hooks that are held for want of
// approval, and approves them when told so. What cannot be found out is left to
// the pass.
func (a *app) offerHooks(ctx context.Context) error {
	at, err := locate(a.workspace)
	if err != nil || at.git != nil || a.output != formatText || !isTerminal(a.std.in) || !isTerminal(a.std.err) {
		return nil
	}
	src, err := a.load(ctx, reachHost)
	if err != nil || src.Fatal || src.NameUnknown {
		return nil
	}
	r := &approving{a: a, at: at, lock: &schema.Lock{}, src: src, hooksOnly: true}
	if err := r.read(); err != nil || !r.lacksHooks() {
		return err
	}
	l, err := a.planLive(ctx, src.Desired)
	if err != nil {
		return nil
	}
	for _, c := range l.plan.Held {
		if c.Hook != nil && !c.Hook.Approved && slices.ContainsFunc(c.Reasons, func(why plan.Reason) bool { return why.Code == plan.CodeHostHook }) {
			r.opt.names = append(r.opt.names, c.ID.String())
		}
	}
	if err := r.choose(); err != nil {
		return err
	}
	return r.ask(ctx)
}

// ask asks once for all, and approves when the answer is yes.
func (r *approving) ask(ctx context.Context) error {
	if len(r.agents) == 0 {
		return nil
	}
	w := r.a.std.err
	fmt.Fprintln(w, "These hooks would run on this host, outside of any container, and are not approved:")
	r.print(w)
	fmt.Fprintf(w, "Approve them in %s? [y/N] ", schema.LockFile)
	line, _ := bufio.NewReader(r.a.std.in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
	default:
		return nil
	}
	if err := r.write(ctx); err != nil {
		return err
	}
	fmt.Fprintf(w, "approved in %s; commit it\n", schema.LockFile)
	r.tellDaemon(ctx)
	return nil
}

// lacksHooks reports whether a hook has to be approved and is not.
func (r *approving) lacksHooks() bool {
	return slices.ContainsFunc(plan.Standing(r.src.Desired, r.records), func(g plan.Grant) bool {
		h := hostHookOf(r.src.Desired, g.ID)
		return g.Kind == plan.GrantHostHook && !g.Approved && h != nil && h.Locked
	})
}
