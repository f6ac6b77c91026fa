// SPDX-License-Identifier: Apache-2.0

package schema

// unifyWorkspace turns repos into objects, literal variables into {value: V},
// exposed values into text and hooks.timeout into seconds.
func (r *reader) unifyWorkspace(n *Node) *Node {
	return n.mapValues(func(f Field) *Node {
		if f.Key != "spec" {
			return f.Value
		}
		return f.Value.mapValues(func(f Field) *Node {
			switch f.Key {
			case "repos":
				return unifyRepos(f.Value)
			case "vars":
				return f.Value.mapValues(func(v Field) *Node { return unifyVar(v.Value) })
			case "expose":
				return f.Value.mapValues(func(agent Field) *Node {
					return agent.Value.mapValues(func(v Field) *Node { return unifyText(v.Value) })
				})
			case "hooks":
				return f.Value.mapValues(func(h Field) *Node {
					if h.Key == "timeout" {
						return r.unifySeconds(h.Value)
					}
					return h.Value
				})
			}
			return f.Value
		})
	})
}

func unifyVar(n *Node) *Node {
	if n.Kind == NodeMap {
		if n.field("value") == nil {
			return n
		}
		return refused(n.Pos)
	}
	if !n.isScalar() {
		return n
	}
	return &Node{Kind: NodeMap, Pos: n.Pos, Fields: []Field{{Key: "value", Pos: n.Pos, Value: unifyText(n)}}}
}
