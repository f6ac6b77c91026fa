// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
)

// orderNeeds sorts the resources so that what is needed comes before what
// needs it, ties by ID. Resolve cuts cycles; one that is left all the same is
// returned in cyclic, and its members stand before what needs them.
func orderNeeds(rs map[ID]*Resource) (order []ID, cyclic map[ID]bool) {
	ids, needs, users := map[string]ID{}, map[string][]string{}, map[string][]string{}
	for id, r := range rs {
		k := id.String()
		ids[k] = id
		for _, n := range r.Needs {
			on := n.On.String()
			needs[k] = append(needs[k], on)
			users[on] = append(users[on], k)
		}
	}
	first, rest := sortGraph(slices.Collect(maps.Keys(ids)), needs)
	_, core := sortGraph(rest, users)
	cyclic = map[ID]bool{}
	for _, k := range core {
		cyclic[ids[k]] = true
	}
	behind, _ := sortGraph(slices.DeleteFunc(rest, func(k string) bool { return cyclic[ids[k]] }), needs)
	for _, k := range slices.Concat(first, core, behind) {
		order = append(order, ids[k])
	}
	return order, cyclic
}

// Generation names what an object was made as, so that what is bound to it can
// tell whether it was replaced by something else: 16 hexadecimal digits. A
// container that needs an image has that of the image among its inputs, under
// need:IMAGE.
func Generation(digest string, bound map[string]string) string {
	sum := sha256.Sum256([]byte(digest + "\n" + formatInputs(bound)))
	return hex.EncodeToString(sum[:8])
}

// needReason says that user needs something, for the steps that exist only
// because of that.
func needReason(user ID, n Need) Reason {
	return Reason{Code: CodeNeeds, Text: user.String() + " needs it " + string(n.Until), Origin: n.Origin}
}
