// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// addTasks adds Tasks, CronTasks and Agents, and the Contexts and ConfigMaps that
// they use, each with an edge to what it refers to that is there, and to the
// contexts that are written in it. In edges they are called by their IDs.
func (g *Graph) addTasks(t *Tree, blocked func(plan.ID) bool) {
	byID := map[plan.ID]schema.Document{}
	for _, doc := range t.documents {
		id := documentID(doc)
		if _, again := byID[id]; !again {
			byID[id] = doc
		}
	}
	used := map[plan.ID]bool{}
	var edges []Edge
	add := func(from plan.ID, refs []ref) {
		for _, ref := range refs {
			if _, ok := byID[ref.to]; ok {
				used[ref.to] = true
				edges = append(edges, Edge{From: from.String(), To: ref.to.String(), Text: ref.to.String(), Origin: ref.pos})
			}
		}
	}
	for id, doc := range byID {
		add(id, refsOf(doc))
		for _, c := range inPlace(doc) {
			if !used[c.id] {
				g.Nodes = append(g.Nodes, Node{ID: c.id, Name: c.id.Name, Origin: c.pos})
			}
			used[c.id] = true
			edges = append(edges, Edge{From: id.String(), To: c.id.String(), Text: c.id.String(), Origin: c.pos})
			add(c.id, refsOfSource(c.source, namespaceOf(doc)))
		}
	}
	for id, doc := range byID {
		switch doc.Kind {
		case schema.KindTask, schema.KindCronTask, schema.KindAgent:
		default:
			if !used[id] {
				continue
			}
		}
		g.Nodes = append(g.Nodes, Node{ID: id, Name: id.Name, Origin: doc.Pos, Blocked: blocked(id)})
	}
	slices.SortFunc(edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.From, b.From), a.Origin.Compare(b.Origin), cmp.Compare(a.To, b.To))
	})
	g.Edges = append(g.Edges, edges...)
}

// graphRank is the place of a kind among the nodes.
func graphRank(k plan.Kind) int {
	return slices.Index([]plan.Kind{
		plan.Manifest, plan.DaemonAgent, plan.TaskAgent, plan.Task, plan.CronTask,
		plan.Kind(schema.KindAgent), plan.Kind(schema.KindContext), plan.Kind(schema.KindConfigMap),
	}, k)
}

// ref is a reference of an object to another.
type ref struct {
	to  plan.ID
	pos schema.Pos
}

// refsOf are the references of an object, in their order.
func refsOf(doc schema.Document) []ref {
	namespace := namespaceOf(doc)
	switch x := doc.Object.(type) {
	case *schema.Task:
		return refsOfTask(doc, x.TaskSpec)
	case *schema.CronTask:
		return refsOfTask(doc, x.Template)
	case *schema.Agent:
		return refsOfContexts(x.Contexts, namespace)
	case *schema.Context:
		return refsOfSource(x.Source, namespace)
	}
	return nil
}

func refsOfTask(doc schema.Document, spec schema.TaskSpec) []ref {
	namespace, name := namespaceOf(doc), spec.AgentRef
	if !name.IsSet() {
		name = schema.Str{V: defaultAgent, Pos: doc.Pos}
	}
	agent := ref{refID(schema.KindAgent, namespace, name.V), name.Pos}
	return append([]ref{agent}, refsOfContexts(spec.Contexts, namespace)...)
}

func refsOfContexts(entries []schema.ContextMount, namespace string) []ref {
	var refs []ref
	for _, e := range entries {
		if e.Source == nil && e.Name.IsSet() {
			refs = append(refs, ref{refID(schema.KindContext, cmp.Or(e.Namespace.V, namespace), e.Name.V), e.Name.Pos})
		}
	}
	return refs
}

// placedContext is a context that is written in place.
type placedContext struct {
	id     plan.ID // that no object has
	pos    schema.Pos
	source schema.ContextSource
}

// inPlace are the contexts that are written in an object, each called by its name or
// else its mountPath, and by the object.
func inPlace(doc schema.Document) []placedContext {
	var out []placedContext
	for _, e := range contextsOf(doc) {
		if e.Source != nil {
			name := cmp.Or(e.Name.V, strings.Trim(path.Clean(e.MountPath.V), "/")) + " of " + documentID(doc).String()
			out = append(out, placedContext{plan.ID{Kind: plan.Kind(schema.KindContext), Name: name}, e.Pos, *e.Source})
		}
	}
	return out
}

func refsOfSource(src schema.ContextSource, namespace string) []ref {
	if src.ConfigMap == nil || !src.ConfigMap.Name.IsSet() {
		return nil
	}
	return []ref{{refID(schema.KindConfigMap, namespace, src.ConfigMap.Name.V), src.ConfigMap.Name.Pos}}
}
