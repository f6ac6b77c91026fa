// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"slices"
	"strings"
)

// group is an API group of ours: its version and the kinds in it.
type group struct {
	name    string
	version string
	kinds   []Kind
	// others: the group has further kinds that we do not act on.
	others bool
}

func groups() []group {
	return []group{
		{name: "reconcile", version: "v1alpha1", kinds: []Kind{KindWorkspace}},
		{name: "kubetask.io", version: "v1alpha1", kinds: []Kind{KindContext, KindTask, KindAgent, KindCronTask}},
		{name: "kubeopencode.io", version: "v1alpha1", kinds: []Kind{KindContext, KindTask, KindAgent, KindCronTask}},
		{name: "clrk.apoxy.dev", version: "v1alpha1", kinds: []Kind{KindTaskAgent, KindDaemonAgent}, others: true},
	}
}

// Kinds lists every kind of document, manifests and workspaces first.
func Kinds() []Kind {
	return []Kind{
		KindManifest, KindWorkspace, KindContext, KindTask, KindAgent, KindCronTask,
		KindConfigMap, KindSecret, KindTaskAgent, KindDaemonAgent,
	}
}

// namesOurGroup reports whether a text mentions one of our API groups.
func namesOurGroup(src []byte) bool {
	s := string(src)
	for _, g := range groups() {
		if strings.Contains(s, g.name+"/v") {
			return true
		}
	}
	return false
}

// Ignored is a document that is not of a kind known here.
type Ignored struct {
	Pos        Pos
	APIVersion string
	Kind       string
	Why        string
}

// choice is what a document was found to be: a kind, or ignored, or neither
// when there are errors.
type choice struct {
	kind       Kind
	apiVersion string
	ignored    *Ignored
	ds         Diagnostics
}

// chooseKind reads apiVersion and kind. want, when set, is the only kind that
// the document may be.
func chooseKind(n *Node, want Kind) choice {
	version, kind := n.field("apiVersion"), n.field("kind")
	if want != "" {
		c := choice{kind: want}
		if version.isString() {
			c.apiVersion = version.Text
		}
		return c
	}
	skip := func(why string) choice {
		ig := &Ignored{Pos: n.Pos, Why: why}
		if version.isString() {
			ig.APIVersion = version.Text
		}
		if kind.isString() {
			ig.Kind = kind.Text
		}
		return choice{ignored: ig}
	}
	if !version.isString() || !kind.isString() {
		return skip("no apiVersion and kind")
	}
	if version.Text == "v1" {
		if k := Kind(kind.Text); k == KindConfigMap || k == KindSecret {
			return choice{kind: k, apiVersion: version.Text}
		}
		return skip("another kind of the core API")
	}
	name, v, _ := strings.Cut(version.Text, "/")
	i := slices.IndexFunc(groups(), func(g group) bool { return g.name == name })
	if i < 0 {
		c := skip("another API group")
		c.ds = misspeltGroup(name, version, kind)
		return c
	}
	g := groups()[i]
	c := choice{apiVersion: version.Text}
	if v != g.version {
		c.ds = Diagnostics{{
			Severity: Error, Summary: summaryUnknownVersion, Pos: version.Pos,
			Detail: fmt.Sprintf("apiVersion: %s has no version %s here", g.name, quoteKey(v)),
			Hint:   fmt.Sprintf("use %s/%s", g.name, g.version),
		}}
		return c
	}
	if slices.Contains(g.kinds, Kind(kind.Text)) {
		c.kind = Kind(kind.Text)
		return c
	}
	c.ds = Diagnostics{g.unknownKind(kind)}
	return c
}

func (g group) unknownKind(kind *Node) Diagnostic {
	names := make([]string, len(g.kinds))
	for i, k := range g.kinds {
		names[i] = string(k)
	}
	hint := didYouMean(kind.Text, names)
	close := slices.ContainsFunc(names, func(n string) bool {
		return EditDistance(strings.ToLower(n), strings.ToLower(kind.Text), 3) < 3
	})
	if g.others && !close {
		return Diagnostic{
			Severity: Warning, Summary: summaryNotActedOn, Pos: kind.Pos,
			Detail: fmt.Sprintf("kind: %s of %s is not acted on; only %s are", quoteKey(kind.Text), g.name, strings.Join(names, " and ")),
		}
	}
	return Diagnostic{
		Severity: Error, Summary: summaryUnknownKind, Pos: kind.Pos,
		Detail: fmt.Sprintf("kind: %s has no kind %s; it has %s", g.name, quoteKey(kind.Text), strings.Join(names, ", ")),
		Hint:   hint,
	}
}

// misspeltGroup warns about a group that is nearly one of ours, so that a typo
// does not make an object disappear without a word.
func misspeltGroup(name string, version, kind *Node) Diagnostics {
	for _, g := range groups() {
		if !slices.Contains(g.kinds, Kind(kind.Text)) || EditDistance(g.name, strings.ToLower(name), 3) > 2 {
			continue
		}
		return Diagnostics{{
			Severity: Warning, Summary: summaryUnknownGroup, Pos: version.Pos,
			Detail: fmt.Sprintf("apiVersion: the group %s is not known; the document is ignored", quoteKey(name)),
			Hint:   fmt.Sprintf("did you mean %q?", g.name+"/"+g.version),
		}}
	}
	return nil
}
