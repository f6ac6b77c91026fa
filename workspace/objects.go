// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// documentID is the identity of an object, in the one spelling that can be
// compared.
func documentID(doc schema.Document) plan.ID {
	id := plan.ID{Kind: plan.Kind(doc.Kind), Name: doc.Meta.Name.V}
	if ns := namespaceOf(doc); ns != plan.DefaultNamespace {
		id.Namespace = ns
	}
	return id
}

func namespaceOf(doc schema.Document) string {
	return cmp.Or(doc.Meta.Namespace.V, plan.DefaultNamespace)
}

// objects are the documents by identity, and what has been worked out of them for
// the Tasks that use them.
type objects struct {
	byID      map[plan.ID]schema.Document
	order     []plan.ID               // of byID, as found
	plaintext map[plan.ID]plan.Reason // Secrets that policy refuses
	contexts  map[plan.ID]*content    // of Contexts
	configs   map[plan.ID]*configMap  // of ConfigMaps
	runners   map[plan.ID]*runner     // of Agents
	files     map[plan.ID][]TaskFile  // of Tasks and CronTasks
	contents  map[string][]byte       // as in plan.Desired
	sealed    map[string]plan.Sealed  // as in plan.Desired
	said      map[saying]plan.Reason  // what was reported already
}

// saying is a problem at a place.
type saying struct {
	pos  schema.Pos
	text string
}

func newObjects() objects {
	return objects{
		byID: map[plan.ID]schema.Document{}, plaintext: map[plan.ID]plan.Reason{}, contexts: map[plan.ID]*content{},
		configs: map[plan.ID]*configMap{}, runners: map[plan.ID]*runner{}, files: map[plan.ID][]TaskFile{},
		contents: map[string][]byte{}, sealed: map[string]plan.Sealed{}, said: map[saying]plan.Reason{},
	}
}

// blockOnce is report.block for what several Tasks may come across.
func (r *resolver) blockOnce(pos schema.Pos, code plan.Code, summary, hint, format string, args ...any) plan.Reason {
	key := saying{pos, fmt.Sprintf(summary+format, args...)}
	if reason, said := r.objects.said[key]; said {
		return reason
	}
	reason := r.report.block(pos, code, summary, hint, format, args...)
	r.objects.said[key] = reason
	return reason
}

// addDocuments adds the resources of objects. Two objects of one identity are
// an error that names both places.
func (r *resolver) addDocuments() {
	for _, doc := range r.tree.documents {
		if doc.Meta.Name.V == "" {
			continue // reported with its document
		}
		id := documentID(doc)
		if first, again := r.objects.byID[id]; again {
			r.report.fail(doc.Pos, "given twice", "rename or remove one of them", "%s %s is already at %s", doc.Kind, displayName(doc), first.Pos)
			continue
		}
		r.objects.byID[id] = doc
		r.objects.order = append(r.objects.order, id)
		if doc.Kind == schema.KindSecret {
			r.plaintext(id, doc)
		}
	}
	for _, id := range r.objects.order {
		r.addDocument(id, r.objects.byID[id])
	}
	for _, id := range r.objects.order {
		r.checkReferences(r.objects.byID[id])
	}
}

// checkReferences reports what a Context or Agent refers to and what is not
// there, also when no Task uses it.
func (r *resolver) checkReferences(doc schema.Document) {
	if doc.Invalid {
		return
	}
	switch x := doc.Object.(type) {
	case *schema.Context:
		r.context(doc.Meta.Name, namespaceOf(doc))
	case *schema.Agent:
		r.contexts(x.Contexts, namespaceOf(doc), x.WorkspaceDir.V)
	}
}

func displayName(doc schema.Document) string {
	if ns := namespaceOf(doc); ns != plan.DefaultNamespace {
		return ns + "/" + doc.Meta.Name.V
	}
	return doc.Meta.Name.V
}

func (r *resolver) addDocument(id plan.ID, doc schema.Document) {
	res := plan.Resource{ID: id, Name: r.objectName(doc), Origin: doc.Pos.String()}
	switch doc.Kind {
	case schema.KindDaemonAgent:
		res.Want = plan.WantRunning
	case schema.KindTask, schema.KindCronTask:
		res.Want = plan.WantOnce
	case schema.KindTaskAgent:
		res.Want = plan.WantPrepared
	default:
		return // parts of tasks
	}
	added := r.add(res)
	if doc.Invalid {
		added.Blocked = []plan.Reason{{Code: plan.CodeInvalid, Text: "the object has errors", Origin: doc.Pos.String()}}
	}
	switch {
	case doc.Kind == schema.KindTask:
		r.task(added, doc)
	case doc.Kind == schema.KindCronTask:
		r.cronTask(added, doc)
	case doc.Invalid:
	case doc.Kind == schema.KindDaemonAgent:
		r.daemon(added, doc)
	default:
		r.taskAgent(added, doc)
	}
	added.Blocked = append(added.Blocked, r.tree.refused[doc.Pos]...)
}

// objectName is the name of the container of an object, for people. Runs of a
// CronTask have their slot behind it.
func (r *resolver) objectName(doc schema.Document) string {
	parts := []string{r.tree.name}
	ns := namespaceOf(doc)
	switch doc.Kind {
	case schema.KindTask, schema.KindCronTask:
		parts = append(parts, "task")
	}
	if ns != plan.DefaultNamespace {
		parts = append(parts, ns)
	}
	if doc.Kind == schema.KindTaskAgent {
		parts = append(parts, "run")
	}
	return strings.Join(append(parts, doc.Meta.Name.V), "-")
}

// plaintext refuses a Secret whose values everybody can read, when policy says
// so; the warning is the decoder's.
func (r *resolver) plaintext(id plan.ID, doc schema.Document) {
	s, ok := doc.Object.(*schema.Secret)
	if ok && r.tree.policy.denyPlaintext && !s.SOPS && len(s.Plain) > 0 {
		r.objects.plaintext[id] = r.report.block(doc.Pos, plan.CodePolicy, summaryPolicy, "encrypt it, or keep it in the host's secret store", "the Secret %s is in plain text%s", displayName(doc), forbids(r.tree.policy.plaintextAt))
	}
}

// checkNames reports names that two containers would bear.
func (r *resolver) checkNames() {
	ids := make([]plan.ID, 0, len(r.resources))
	for id := range r.resources {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, plan.ID.Compare)
	names := map[string]plan.ID{}
	for _, id := range ids {
		res := r.resources[id]
		if id.Kind == plan.TaskAgent || id.Kind.Role() == plan.RoleSupport {
			continue // containers of these are named by execution, or there is none
		}
		name := strings.ToLower(res.Name)
		if id.Kind == plan.CronTask {
			name += "-SLOT"
		}
		other, taken := names[name]
		if !taken {
			names[name] = id
			continue
		}
		first := r.resources[other]
		r.report.fail(r.place(res), "name is taken", "rename one of them", "%s and %s at %s both make a container %s", what(id), what(other), first.Origin, name)
	}
}

func what(id plan.ID) string {
	kind := "the " + string(id.Kind)
	if id.Kind == plan.Manifest {
		kind = "the agent"
	}
	if id.Canonical().Namespace != "" {
		return kind + " " + id.NamespacedName()
	}
	return kind + " " + id.Name
}

// place is the position of what asks for a resource.
func (r *resolver) place(res *plan.Resource) schema.Pos {
	if i, ok := r.tree.closure.byName[strings.ToLower(res.ID.Name)]; ok && i.id() == res.ID {
		return i.entry.Pos
	}
	for _, doc := range r.tree.documents {
		if documentID(doc) == res.ID {
			return doc.Pos
		}
	}
	return schema.Pos{}
}
