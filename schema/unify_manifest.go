// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strconv"
	"strings"
)

// noEffectField reports fields of other tools that manifests carry and that
// mean nothing here. The list is that of #ManifestSource.
func noEffectField(name string) bool {
	switch name {
	case "name", "run", "webchat", "webtty", "webmeet", "dashboard", "profile", "tags", "version",
		"description", "author", "license", "keywords", "runtime", "readiness", "containerSecurity",
		"volumeOptions", "ssoProvider", "mounts", "secrets", "resources", "network", "httpServices",
		"networkMode", "lite-sandbox", "runTask", "provides", "requires", "publicServices", "guest",
		"ploinky", "workdir", "entrypoint", "defaultProfile", "hosthook_aftercreation", "hosthook_postinstall":
		return true
	}
	return false
}

// layers are the parts of a manifest with profiles, with plain names.
type layers struct {
	base     *Node // the manifest's own fields
	profiles *Node // as written
}

// unifyManifest merges profiles.default and the active profile over the
// manifest and unifies the result.
func (r *reader) unifyManifest(n *Node, profile string) *Node {
	if n.Kind != NodeMap {
		return n
	}
	base := plainNames(n)
	profiles := base.field("profiles")
	if profiles == nil {
		return r.unifyOverlay(base)
	}
	base = base.mapValues(func(f Field) *Node {
		if f.Key == "profiles" {
			return nil
		}
		return f.Value
	})
	r.layers = &layers{base: base, profiles: profiles}
	active := []string{"default"}
	if profile != "" && profile != "default" {
		active = append(active, profile)
	}
	merged := base
	for _, name := range active {
		if over := profiles.field(name); over != nil && over.Kind == NodeMap {
			merged = mergeNodes(merged, plainNames(over))
		}
	}
	return r.unifyOverlay(merged)
}

// withProfiles completes a unified manifest by its profiles, each unified, as
// CUE sees it. Problems of value show up in the layer and in the merged
// manifest; equal problems are reported once.
func (r *reader) withProfiles(unified *Node) *Node {
	if r.layers == nil || unified.Kind != NodeMap {
		return unified
	}
	each := r.layers.profiles.mapValues(func(f Field) *Node { return r.unifyOverlay(plainNames(f.Value)) })
	return unified.withField(Field{Key: "profiles", Pos: each.Pos, Value: each})
}

// unifiedBase is the manifest without its profiles, nil when it has none.
func (r *reader) unifiedBase() *Node {
	if r.layers == nil {
		return nil
	}
	return r.unifyOverlay(r.layers.base)
}

// plainNames resolves the aliases of fields and leaves out those without
// effect, so that layers merge by what they mean. Where two spellings of one
// field are given, the first counts; the conflict is reported by the decoder.
func plainNames(n *Node) *Node {
	if n.Kind != NodeMap {
		return n
	}
	out := n.mapValues(func(f Field) *Node {
		if noEffectField(f.Key) || f.Key == "image" || f.Key == "port" || f.Key == "commands" && f.Value.Kind == NodeMap {
			return nil
		}
		return f.Value
	})
	alias := func(name string, v *Node) {
		if v == nil {
			return
		}
		if old := out.field(name); old == nil || old.isString() && old.Text == "" {
			out = out.withField(Field{Key: name, Pos: v.Pos, Value: v})
		}
	}
	alias("container", n.field("image"))
	alias("ports", n.field("port"))
	if commands := n.field("commands"); commands != nil && commands.Kind == NodeMap {
		alias("cli", commands.field("cli"))
		alias("agent", commands.field("run"))
		for _, f := range commands.Fields {
			if f.Key != "cli" && f.Key != "run" || !f.Value.isString() { // for CUE to refuse
				out = out.withField(Field{Key: "commands", Pos: f.Pos, Value: commands})
			}
		}
	}
	return out
}

// unifyOverlay unifies the shapes of a manifest or profile with plain names.
func (r *reader) unifyOverlay(n *Node) *Node {
	return n.mapValues(func(f Field) *Node {
		switch f.Key {
		case "preinstall", "install", "postinstall", "update":
			return unifyCommands(f.Value)
		case "cli", "agent", "start":
			if f.Value.isString() && strings.TrimSpace(f.Value.Text) == "" {
				return nil
			}
		case "env":
			return unifyEnv(f.Value)
		case "expose":
			return unifyExpose(f.Value)
		case "repos":
			return unifyRepos(f.Value)
		case "ports":
			return unifyPorts(f.Value)
		case "health":
			return f.Value.mapValues(func(p Field) *Node { return r.unifyProbe(p.Value) })
		}
		return f.Value
	})
}

func unifyPorts(n *Node) *Node {
	items := []*Node{n}
	switch n.Kind {
	case NodeList:
		items = n.Items
	case NodeInt, NodeFloat, NodeString:
	default:
		return n
	}
	out := &Node{Kind: NodeList, Pos: n.Pos, Items: make([]*Node, 0, len(items))}
	for _, x := range items {
		if v, whole := x.wholeNumber(); whole {
			x = textAt(x.Pos, strconv.FormatInt(v, 10))
		}
		out.Items = append(out.Items, x)
	}
	return out
}

func (r *reader) unifyProbe(n *Node) *Node {
	return n.mapValues(func(f Field) *Node {
		switch f.Key {
		case "interval", "timeout":
			return r.unifyNumber(f.Value, bounds{least: minSeconds})
		case "initialDelay":
			return r.unifyNumber(f.Value, bounds{least: minSeconds, zero: true})
		case "failureThreshold", "successThreshold":
			return r.unifyNumber(f.Value, bounds{least: 1, whole: true})
		}
		return f.Value
	})
}

// unifyEnv turns both forms of env into a list of {name, varName, default,
// required}.
func unifyEnv(n *Node) *Node {
	out := &Node{Kind: NodeList, Pos: n.Pos}
	switch n.Kind {
	case NodeList:
		for _, x := range n.Items {
			out.Items = append(out.Items, unifyEnvItem(x))
		}
	case NodeMap:
		for _, f := range n.Fields {
			out.Items = append(out.Items, unifyEnvEntry(f))
		}
	default:
		return n
	}
	return out
}

func unifyEnvItem(x *Node) *Node {
	if x.Kind == NodeMap {
		return unifyEnvObject(x)
	}
	if !x.isString() {
		return x
	}
	name, value, hasValue := strings.Cut(x.Text, "=")
	out := &Node{Kind: NodeMap, Pos: x.Pos}
	out.Fields = []Field{{Key: "name", Pos: x.Pos, Value: textAt(x.Pos, name)}}
	if hasValue {
		out.Fields = append(out.Fields, Field{Key: "default", Pos: x.Pos, Value: textAt(x.Pos, value)})
	} else {
		out.Fields = append(out.Fields, Field{Key: "required", Pos: x.Pos, Value: boolAt(x.Pos, true)})
	}
	return out
}

func unifyEnvEntry(f Field) *Node {
	name := Field{Key: "name", Pos: f.Pos, Value: textAt(f.Pos, f.Key)}
	switch {
	case f.Value.Kind == NodeNull:
		return &Node{Kind: NodeMap, Pos: f.Pos, Fields: []Field{name, {Key: "required", Pos: f.Value.Pos, Value: boolAt(f.Value.Pos, true)}}}
	case f.Value.isScalar():
		return &Node{Kind: NodeMap, Pos: f.Pos, Fields: []Field{name, {Key: "default", Pos: f.Value.Pos, Value: unifyText(f.Value)}}}
	case f.Value.Kind == NodeMap && f.Value.field("name") != nil:
		return refused(f.Value.Pos)
	case f.Value.Kind == NodeMap:
		out := unifyEnvObject(f.Value)
		return &Node{Kind: NodeMap, Pos: f.Pos, Fields: append([]Field{name}, out.Fields...)}
	}
	return f.Value
}

// unifyEnvObject unifies {default|value, required}: default wins over value.
func unifyEnvObject(n *Node) *Node {
	hasDefault := n.field("default") != nil
	out := &Node{Kind: NodeMap, Pos: n.Pos}
	for _, f := range n.Fields {
		switch f.Key {
		case "value":
			if !f.Value.isScalar() { // for CUE to refuse
				break
			}
			if hasDefault {
				continue
			}
			f = Field{Key: "default", Pos: f.Pos, Value: unifyText(f.Value)}
		case "default":
			f.Value = unifyText(f.Value)
		case "required":
			f.Value = unifyYesNo(f.Value)
		}
		out.Fields = append(out.Fields, f)
	}
	return out
}

func unifyYesNo(n *Node) *Node {
	if !n.isScalar() {
		return n
	}
	switch strings.ToLower(n.Text) {
	case "true", "yes", "1":
		return boolAt(n.Pos, true)
	case "false", "no", "0":
		return boolAt(n.Pos, false)
	}
	return n
}

// unifyExpose turns both forms of expose into a list of {name, value|ref}.
func unifyExpose(n *Node) *Node {
	out := &Node{Kind: NodeList, Pos: n.Pos}
	switch n.Kind {
	case NodeList:
		for _, x := range n.Items {
			out.Items = append(out.Items, x.mapValues(func(f Field) *Node {
				if f.Key == "value" {
					return unifyText(f.Value)
				}
				return f.Value
			}))
		}
	case NodeMap:
		for _, f := range n.Fields {
			item := &Node{Kind: NodeMap, Pos: f.Pos, Fields: []Field{{Key: "name", Pos: f.Pos, Value: textAt(f.Pos, f.Key)}}}
			item.Fields = append(item.Fields, Field{Key: "value", Pos: f.Value.Pos, Value: unifyText(f.Value)})
			out.Items = append(out.Items, item)
		}
	default:
		return n
	}
	return out
}
