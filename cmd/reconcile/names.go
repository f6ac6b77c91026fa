// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// findID resolves NAME, written [kind/][namespace/]name, among ids; one that is written
// as it is printed goes before all others, and what runs before what merely
// exists. An ambiguous name is an error that lists the candidates.
func findID(name string, ids []plan.ID) (plan.ID, error) {
	var found []plan.ID
	for _, id := range ids {
		if id.String() == name {
			return id, nil
		}
		if names(id, name) && !slices.Contains(found, id) {
			found = append(found, id)
		}
	}
	// A network bears the workspace's name, which an agent often has too.
	isInstance := func(id plan.ID) bool { return id.Kind.Role() == plan.RoleInstance }
	if slices.ContainsFunc(found, isInstance) {
		found = slices.DeleteFunc(found, func(id plan.ID) bool { return !isInstance(id) })
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return plan.ID{}, fmt.Errorf("nothing is called %q%s", name, nearest(name, ids))
	}
	var all []string
	for _, id := range found {
		all = append(all, id.String())
	}
	slices.Sort(all)
	return plan.ID{}, fmt.Errorf("%q is ambiguous: %s", name, strings.Join(all, ", "))
}

// names reports whether the text names the id.
func names(id plan.ID, text string) bool {
	namespace := id.FullNamespace()
	kinds := []string{strings.ToLower(string(id.Kind))}
	if id.Kind == plan.Manifest {
		kinds = append(kinds, "agent")
	}
	parts := strings.Split(text, "/")
	if parts[len(parts)-1] != id.Name {
		return false
	}
	isKind := func(s string) bool { return slices.Contains(kinds, strings.ToLower(s)) }
	switch len(parts) {
	case 1:
		return true
	case 2:
		return isKind(parts[0]) || parts[0] == namespace
	case 3:
		return isKind(parts[0]) && parts[1] == namespace
	}
	return false
}

// nearest is a "did you mean" for an unknown name; "" without a candidate.
func nearest(name string, ids []plan.ID) string {
	best, distance := "", len(name)/2+1
	for _, id := range ids {
		if d := schema.EditDistance(name, id.Name, distance); d < distance {
			best, distance = id.Name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
