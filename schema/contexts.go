// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// ContextType says where a Context's content comes from.
type ContextType string

// The sources of content.
const (
	ContextInline    ContextType = "Inline"
	ContextConfigMap ContextType = "ConfigMap"
	ContextGit       ContextType = "Git"
)

// Context is a KubeTask Context: its source.
type Context struct {
	Pos    Pos
	Source ContextSource
}

// ContextSource is content from one place: the block named by Type is set,
// the others are nil.
type ContextSource struct {
	Type      ContextType
	Inline    *Str // content, byte for byte
	ConfigMap *ConfigMapSource
	Git       *GitSource
}

// ConfigMapSource is one key of a ConfigMap, or all of them.
type ConfigMapSource struct {
	Name     Str
	Key      Str // unset: all keys
	Optional bool
}

// GitSource is a file or folder of a git repository.
type GitSource struct {
	Repository        Str
	Path              Str // relative; unset: the whole repository
	Ref               Str // unset: the remote's default branch
	Depth             Int // unset: 1; 0: full history
	SecretRef         Str
	RecurseSubmodules bool
}

// ContextMount is an entry of contexts: a reference by name, or, when Source
// is set, content in place.
type ContextMount struct {
	Pos       Pos
	Name      Str
	Namespace Str // of a reference; unset: that of the Task
	MountPath Str // as written; unset: part of task.md
	Source    *ContextSource
}

func (c cursor) context() *Context {
	return &Context{Pos: c.n.Pos, Source: c.at("spec").source()}
}

// source reads a type and its block, and refuses any other block.
func (c cursor) source() ContextSource {
	typ := c.at("type").word()
	s := ContextSource{Type: ContextType(typ.V)}
	blocks := map[ContextType]string{ContextInline: "inline", ContextConfigMap: "configMap", ContextGit: "git"}
	want, known := blocks[s.Type]
	if !known {
		return s // reported as a missing or invalid type
	}
	if !c.at(want).set() {
		c.fail(typ.Pos, summaryMissing, fmt.Sprintf("the block %s that goes with it", want), "")
	}
	for _, f := range c.n.Fields {
		if f.Key != want && (f.Key == "inline" || f.Key == "configMap" || f.Key == "git") {
			c.fail(f.Pos, summaryConflict, fmt.Sprintf("the type %s does not go with the block %s", s.Type, f.Key), "")
		}
	}
	switch s.Type {
	case ContextInline:
		if v := c.at("inline").at("content"); v.is("text", NodeString) {
			s.Inline = &Str{V: v.n.Text, Pos: v.n.Pos}
		}
	case ContextConfigMap:
		m := c.at("configMap")
		s.ConfigMap = &ConfigMapSource{Name: m.at("name").word(), Key: m.at("key").keyOf("a ConfigMap"), Optional: m.at("optional").boolean().V}
	case ContextGit:
		s.Git = c.at("git").gitSource()
	}
	return s
}

func (c cursor) gitSource() *GitSource {
	return &GitSource{
		Repository:        c.at("repository").gitURL(false),
		Path:              c.at("path").inside("the repository"),
		Ref:               c.at("ref").gitRef(),
		Depth:             c.at("depth").count(),
		SecretRef:         c.at("secretRef").at("name").word(),
		RecurseSubmodules: c.at("recurseSubmodules").boolean().V,
	}
}

// mounts reads a list of contexts.
func (c cursor) mounts() []ContextMount {
	var out []ContextMount
	for _, x := range c.items() {
		if !x.is("a map", NodeMap) {
			continue
		}
		m := ContextMount{
			Pos:       x.n.Pos,
			Name:      x.at("name").word(),
			Namespace: x.at("namespace").word(),
			MountPath: x.at("mountPath").mountPath(),
		}
		inPlace := x.at("type").set() || x.at("inline").set() || x.at("configMap").set() || x.at("git").set()
		switch {
		case inPlace && !x.at("type").set():
			x.fail(x.n.Pos, summaryMissing, "type: Inline, ConfigMap or Git", "")
		case inPlace:
			s := x.source()
			m.Source = &s
			if !x.at("name").set() && !m.MountPath.IsSet() {
				x.fail(x.n.Pos, summaryMissing, "name: what the part of task.md is called", "or give it a mountPath")
			}
			if m.Namespace.IsSet() {
				x.fail(m.Namespace.Pos, summaryConflict, "what is given in place is in the namespace of the Task", "leave out namespace, or refer to a Context by name")
			}
		case !x.at("name").set():
			x.fail(x.n.Pos, summaryMissing, "name: the Context to mount", "or give type and content in place")
		}
		out = append(out, m)
	}
	return out
}

// mountPath reads a path that is relative to workspaceDir or absolute; "" is
// unset.
func (c cursor) mountPath() Str {
	s := c.word()
	switch {
	case s.V == "":
		return Str{}
	case !path.IsAbs(s.V) && leaves(s.V):
		c.invalid(fmt.Sprintf("%s leads out of workspaceDir", quoteKey(s.V)), "")
	case path.Clean(s.V) == "/" || path.Clean(s.V) == ".":
		c.invalid(fmt.Sprintf("%s names a directory that exists already; give the path of a file or directory below it", quoteKey(s.V)), "")
	case slices.ContainsFunc(strings.Split(s.V, "/"), func(name string) bool { return len(name) > maxFileName }):
		c.invalid(fmt.Sprintf("there is a name of more than %d bytes in it", maxFileName), "")
	}
	return s
}

// maxFileName is how many bytes a name in a file system can have.
const maxFileName = 255
