// SPDX-License-Identifier: Apache-2.0

package schema

// DecodePolicy reads a host's policy file: YAML or JSON with the fields of a
// workspace's spec.policy at the top level. An empty file sets nothing.
func DecodePolicy(name string, src []byte) (Policy, Diagnostics) {
	nodes, ds := parse(name, src)
	if ds.HasErrors() || len(nodes) == 0 || nodes[0].node.Kind == NodeNull {
		return Policy{}, ds
	}
	n := nodes[0].node
	within := func(key string, v *Node) *Node {
		return &Node{Kind: NodeMap, Pos: n.Pos, Fields: []Field{{Key: key, Pos: n.Pos, Value: v}}}
	}
	doc, found := DecodeNode(within("spec", within("policy", n)), Options{Kind: KindWorkspace})
	ds = append(ds, found...).Sort()
	if w, ok := doc.Object.(*Workspace); ok && !ds.HasErrors() {
		return w.Policy, ds
	}
	return Policy{}, ds
}
