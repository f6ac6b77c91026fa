// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"path"
	"strings"
)

// Options says how documents are decoded.
type Options struct {
	// Profile is the active profile of manifests; "" means default.
	Profile string
	// Cache remembers documents that are known to be well-formed; may be nil.
	Cache *Cache
	// Kind, when set, is what every document must be: KindManifest for
	// manifest.*, KindWorkspace for workspace.*. Otherwise apiVersion and kind
	// decide.
	Kind Kind
	// Unified asks for Document.Unified.
	Unified bool
}

// File is what a YAML or JSON file holds.
type File struct {
	Documents []Document // in source order, invalid ones included
	Ignored   []Ignored
}

// DecodeFile reads the documents of a YAML file, or the one of a file called
// *.json. The diagnostics are sorted and hold every problem of the file; a
// document with errors is marked Invalid. Problems of syntax are errors if the
// file must be of a kind, mentions one of our API groups or holds a document of
// ours; otherwise the file is none of our business, and the first is a warning.
func DecodeFile(name string, src []byte, opts Options) (File, Diagnostics) {
	docs, parseDS := parse(name, src)
	var f File
	var ds Diagnostics
	for _, p := range docs {
		n := p.node
		if n.Kind == NodeNull && (opts.Kind == "" || len(docs) > 1) {
			continue
		}
		c := chooseKind(n, opts.Kind)
		if c.ignored != nil {
			f.Ignored = append(f.Ignored, *c.ignored)
		}
		ds = append(ds, c.ds...)
		if c.kind == "" {
			continue
		}
		doc, found := decodeAs(c, n, opts)
		doc.Invalid = doc.Invalid || p.bad
		f.Documents = append(f.Documents, doc)
		ds = append(ds, found...)
	}
	if opts.Kind == "" && len(f.Documents) == 0 && !namesOurGroup(src) && len(parseDS) > 0 {
		parseDS = parseDS.Sort()[:1]
		parseDS[0].Severity = Warning
	}
	ds = append(ds, parseDS...)
	if opts.Kind != "" && len(f.Documents) == 0 && len(ds) == 0 {
		ds = append(ds, emptyDocument(Pos{name, 1, 1}, opts.Kind))
	}
	return f, ds.Sort()
}

// parsed is one document, bad when there were errors in it.
type parsed struct {
	node *Node
	bad  bool
}

func parse(name string, src []byte) ([]parsed, Diagnostics) {
	if !strings.EqualFold(path.Ext(name), ".json") {
		return parseYAML(name, src)
	}
	n, ds := ParseJSON(name, src)
	if n == nil {
		return nil, ds
	}
	return []parsed{{n, ds.HasErrors()}}, ds
}

// DecodeNode reads a document that came from elsewhere, such as a CUE file.
// The document's Kind is empty when it is not of a kind known here; the
// diagnostics say why only when it is one of our API groups.
func DecodeNode(n *Node, opts Options) (Document, Diagnostics) {
	c := chooseKind(n, opts.Kind)
	if c.kind == "" {
		return Document{}, c.ds.Sort()
	}
	doc, ds := decodeAs(c, n, opts)
	return doc, append(ds, c.ds...).Sort()
}

func emptyDocument(pos Pos, k Kind) Diagnostic {
	return Diagnostic{Severity: Error, Summary: summaryEmpty, Pos: pos, Detail: "there is no " + string(k) + " in this file"}
}

// decodeAs checks a document against its kind's definition and reads it. CUE
// decides about shapes; what it refuses is explained by the JSON Schema; what
// needs a parser is checked while the values are read.
func decodeAs(c choice, n *Node, opts Options) (Document, Diagnostics) {
	doc := Document{Kind: c.kind, APIVersion: c.apiVersion, Pos: n.Pos}
	if n.Kind == NodeNull {
		doc.Invalid = true
		return doc, Diagnostics{emptyDocument(n.Pos, c.kind)}
	}
	n = n.withoutSchema()
	defs := mustDefinitions()
	written := dropNulls(n, defs.fields)
	r := &reader{written: written}
	unified := r.unify(c.kind, written, opts.Profile)

	var refused, explained Diagnostics
	key := defs.cacheKeyOf(c.kind, opts.Profile, n)
	if !opts.Cache.has(key) {
		hidden := &reader{written: written, layers: r.layers}
		refused = defs.check(c.kind, hidden.withProfiles(unified), hidden.unifiedBase())
		hidden.readLayers()
		switch {
		case refused != nil:
			explained = mustExplain(c.kind, written)
		case len(hidden.ds) == 0:
			opts.Cache.add(key)
		}
		r.ds = append(r.ds, hidden.ds...)
	}
	if c.kind != KindManifest {
		doc.Meta = cursor{r, unified.field("metadata")}.meta()
	}
	doc.Object = cursor{r, unified}.object(c.kind)
	if opts.Unified {
		doc.Unified = (&reader{written: written, layers: r.layers}).withProfiles(unified)
	}
	ds := combine(explained, r.ds)
	if refused != nil && !ds.HasErrors() {
		ds = append(ds, refused...)
	}
	doc.Invalid = ds.HasErrors()
	return doc, ds
}

func mustExplain(k Kind, n *Node) Diagnostics {
	ds, err := explain(k, n)
	if err != nil {
		panic(err) // the JSON Schema is part of the binary
	}
	return ds
}

func (c cursor) object(k Kind) any {
	switch k {
	case KindManifest:
		return c.manifest()
	case KindWorkspace:
		return c.workspace()
	case KindContext:
		return c.context()
	case KindTask:
		return c.task()
	case KindAgent:
		return c.agent()
	case KindCronTask:
		return c.cronTask()
	case KindConfigMap:
		return c.configMap()
	case KindSecret:
		return c.secret()
	case KindTaskAgent:
		return c.taskAgent()
	case KindDaemonAgent:
		return c.daemonAgent()
	}
	return nil
}

// combine adds what reading found to what was explained, without saying twice
// what is wrong in one place, and without the consequences of a typo.
func combine(explained, read Diagnostics) Diagnostics {
	places := map[Pos]bool{}
	typo := false
	for _, d := range explained {
		places[d.Pos] = places[d.Pos] || d.Summary != summaryMissing
		typo = typo || d.Summary == summaryUnknownField && (strings.Contains(d.Hint, `"container"`) || strings.Contains(d.Hint, `"image"`))
	}
	out := explained
	for _, d := range read {
		switch {
		case d.Severity == Error && d.Summary == summaryMissing:
			if typo && strings.HasPrefix(d.Detail, "container: ") {
				continue
			}
		case d.Severity == Error && d.Pos != (Pos{}) && places[d.Pos]:
			continue
		}
		out = append(out, d)
	}
	return out
}
