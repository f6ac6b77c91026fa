// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const (
	summaryNoReference = "missing reference"
	summaryBadContext  = "invalid context"
)

// content is what a context holds: one file, a folder of files, or a folder of a
// git repository.
type content struct {
	typ        schema.ContextType
	file       *blob            // nil = a folder
	folder     map[string]*blob // by name
	from, tree string           // of a folder in git, as in [plan.File]
	blocked    []plan.Reason    // why nothing of it can be had
}

// text is the content as a part of task.md.
func (c *content) text() []byte {
	if c.file != nil {
		return c.file.data
	}
	return filesText(c.folder)
}

// mounted is an entry of contexts, resolved.
type mounted struct {
	name, namespace string // name is "" for content in place without one
	pos             schema.Pos
	path            string     // absolute; "" = it is a part of task.md
	pathPos         schema.Pos // of mountPath; pos where there is none
	content         *content
}

// what names the context in messages.
func (m mounted) what() string {
	switch {
	case m.name == "":
		return "context"
	case m.namespace != plan.DefaultNamespace:
		return "context " + m.namespace + "/" + m.name
	}
	return "context " + m.name
}

// refID is the identity of an object that is referred to.
func refID(kind schema.Kind, namespace, name string) plan.ID {
	return plan.ID{Kind: plan.Kind(kind), Namespace: namespace, Name: name}.Canonical()
}

// contexts resolves entries of contexts. Namespace is that of the Task.
func (r *resolver) contexts(entries []schema.ContextMount, namespace, workspaceDir string) []mounted {
	out := make([]mounted, 0, len(entries))
	for _, e := range entries {
		m := mounted{name: e.Name.V, namespace: cmp.Or(e.Namespace.V, namespace), pos: e.Pos, pathPos: e.Pos}
		if e.Name.IsSet() {
			m.pos, m.pathPos = e.Name.Pos, e.Name.Pos
		}
		if e.MountPath.IsSet() {
			m.path, m.pathPos = placedAt(workspaceDir, e.MountPath.V), e.MountPath.Pos
		}
		switch {
		case e.Source != nil:
			m.content = r.content(*e.Source, namespace, e.Pos)
		case e.Name.IsSet():
			m.content = r.context(e.Name, m.namespace)
		default:
			continue // reported with its document
		}
		if m.path == "" && m.content.typ == schema.ContextGit {
			m.path = placedAt(workspaceDir, "git-"+m.name)
		}
		out = append(out, m)
	}
	return out
}

// context returns what a Context holds that is referred to by name.
func (r *resolver) context(name schema.Str, namespace string) *content {
	id := refID(schema.KindContext, namespace, name.V)
	doc, ok := r.objects.byID[id]
	if !ok {
		return &content{blocked: []plan.Reason{r.noSuch(name, id, "")}}
	}
	if c, known := r.objects.contexts[id]; known {
		return c
	}
	c := &content{}
	if x, ok := doc.Object.(*schema.Context); ok && !doc.Invalid {
		c = r.content(x.Source, namespaceOf(doc), doc.Pos)
	}
	c.blocked = append(c.blocked, r.unusable(doc)...)
	r.objects.contexts[id] = c
	return c
}

// noSuch blocks whatever refers to an object that is not there, until it is. Hint
// is for whoever wrote nothing like any name; "" = none.
func (r *resolver) noSuch(name schema.Str, id plan.ID, hint string) plan.Reason {
	namespace := id.FullNamespace()
	if !schema.IsName(id.Name) || !schema.IsName(namespace) { // reported with its document
		return plan.Reason{Code: plan.CodeInvalid, Text: fmt.Sprintf("%q cannot name a %s", id.Name, id.Kind), Origin: name.Pos.String()}
	}
	var names []string
	elsewhere := ""
	for _, other := range r.objects.order {
		switch {
		case other.Kind != id.Kind:
		case other.FullNamespace() == namespace:
			names = append(names, other.Name)
		case other.Name == id.Name && elsewhere == "":
			elsewhere = "there is one in the namespace " + other.FullNamespace()
		}
	}
	slices.Sort(names)
	return r.blockOnce(name.Pos, plan.CodePending, summaryNoReference, cmp.Or(elsewhere, nearest(id.Name, names), hint), "there is no %s %s in the namespace %s", id.Kind, id.Name, namespace)
}

// unusable says why an object that is there cannot be used; its errors have been
// reported.
func (r *resolver) unusable(doc schema.Document) []plan.Reason {
	refused := r.tree.refused[doc.Pos]
	if doc.Invalid {
		return append(slices.Clone(refused), plan.Reason{Code: plan.CodeInvalid, Text: "the " + string(doc.Kind) + " " + displayName(doc) + " has errors", Origin: doc.Pos.String()})
	}
	return refused
}

// content returns what a source holds. Pos is where it is asked for.
func (r *resolver) content(src schema.ContextSource, namespace string, pos schema.Pos) *content {
	c := &content{typ: src.Type}
	switch {
	case src.Inline != nil:
		c.file = &blob{data: []byte(src.Inline.V)}
	case src.ConfigMap != nil:
		r.fromConfigMap(c, *src.ConfigMap, namespace)
	case src.Git != nil:
		r.fromGit(c, src.Git, pos)
	default: // reported with its document
		c.blocked = []plan.Reason{{Code: plan.CodeInvalid, Text: summaryBadContext, Origin: pos.String()}}
	}
	return c
}

// fromConfigMap takes one key, or all, of a ConfigMap. Optional forgives that
// there is none, and nothing else.
func (r *resolver) fromConfigMap(c *content, src schema.ConfigMapSource, namespace string) {
	if src.Key.IsSet() {
		c.file = &blob{}
	}
	if !src.Name.IsSet() {
		return // reported with its document
	}
	id := refID(schema.KindConfigMap, namespace, src.Name.V)
	m := r.configMap(id)
	if m == nil {
		if !src.Optional {
			c.blocked = []plan.Reason{r.noSuch(src.Name, id, "")}
		}
		return
	}
	c.blocked = slices.Clone(r.unusable(m.doc))
	if !src.Key.IsSet() {
		c.folder = m.files
		for _, key := range slices.Sorted(maps.Keys(m.missing)) {
			c.blocked = append(c.blocked, m.missing[key])
		}
		return
	}
	if reason, unread := m.missing[src.Key.V]; unread {
		c.blocked = append(c.blocked, reason)
		return
	}
	if file, ok := m.files[src.Key.V]; ok {
		c.file = file
		return
	}
	if !src.Optional {
		c.blocked = append(c.blocked, r.blockOnce(src.Key.Pos, plan.CodePending, summaryNoReference, nearest(src.Key.V, m.keys()),
			"the ConfigMap %s at %s has no key %s", displayName(m.doc), m.doc.Pos, src.Key.V))
	}
}

func (r *resolver) fromGit(c *content, src *schema.GitSource, pos schema.Pos) {
	git, reason := r.tree.gitContext(src, pos)
	switch {
	case reason != nil:
		c.blocked = []plan.Reason{*reason}
	case git.Files == nil:
		c.file = &blob{data: git.Content, mode: git.Mode}
	default:
		c.from, c.tree = git.From, git.TreeHash
	}
}
