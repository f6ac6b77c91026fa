// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawnPart is a context that is drawn, with the text that it is to be in task.md.
type drawnPart struct {
	entry map[string]any   // of contexts
	docs  []map[string]any // what it refers to
	text  string
}

// drawText draws content with what could be taken for structure.
func drawText(t *rapid.T, label string) string {
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
		"", "x", "\n", "\n\n", "\r\n", "\r", " ", "\t", "</context>", "<file name=\"a\">", "&lt;", "\\n", "%s", "ä", "e\u0301", "\u2028", "\u0085", "\ufeff", "🙂", "---\n", "\x1b[1m",
	}), 0, 5).Draw(t, label)
	return strings.Join(pieces, "")
}

func drawPart(t *rapid.T, name string) drawnPart {
	kind := rapid.SampledFrom([]string{"inline", "key", "aggregated", "absent"}).Draw(t, "kind of "+name)
	content, spec, docs := "", map[string]any{"type": "ConfigMap"}, []map[string]any(nil)
	switch kind {
	case "inline":
		content = drawText(t, name)
		spec = map[string]any{"type": "Inline", "inline": map[string]any{"content": content}}
	case "key":
		content = drawText(t, name)
		spec["configMap"] = map[string]any{"name": name, "key": "k"}
		docs = append(docs, drawnObject("v1", "ConfigMap", name, "data", map[string]string{"k": content, "other": "no"}))
	case "aggregated":
		data := map[string]string{}
		for _, key := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "B", "a-b", "a.b", "a_b", "z"}), 0, 4).Draw(t, "keys of "+name) {
			data[key] = drawText(t, name+"/"+key)
		}
		var files []string
		for _, key := range slices.Sorted(maps.Keys(data)) {
			files = append(files, "<file name=\""+key+"\">\n"+data[key]+"\n</file>")
		}
		content = strings.Join(files, "\n")
		spec["configMap"] = map[string]any{"name": name}
		docs = append(docs, drawnObject("v1", "ConfigMap", name, "data", data))
	case "absent":
		spec["configMap"] = map[string]any{"name": "nowhere", "key": "k", "optional": true}
	}
	p := drawnPart{entry: map[string]any{"name": name}, docs: docs}
	if rapid.Bool().Draw(t, name+" in place") {
		maps.Copy(p.entry, spec)
	} else {
		p.docs = append(p.docs, drawnObject("kubetask.io/v1alpha1", "Context", name, "spec", spec))
	}
	p.text = fmt.Sprintf("<context name=\"%s\" namespace=\"default\" type=\"%s\">\n%s", name, spec["type"], content)
	if !strings.HasSuffix(content, "\n") {
		p.text += "\n"
	}
	p.text += "</context>"
	return p
}

func drawnObject(version, kind, name, field string, value any) map[string]any {
	return map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{"name": name}, field: value}
}

// TestTaskMDProperty joins what is drawn by the rules of the format, without any
// code of the product.
func TestTaskMDProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		description := drawText(t, "description")
		lists := map[string][]any{}
		var docs []map[string]any
		var parts []string
		if description != "" {
			parts = append(parts, description)
		}
		for _, whose := range []string{"agent", "task"} {
			for i := range rapid.IntRange(0, 3).Draw(t, "contexts of "+whose) {
				p := drawPart(t, fmt.Sprintf("%s-%d", whose, i))
				lists[whose] = append(lists[whose], p.entry)
				docs = append(docs, p.docs...)
				parts = append(parts, p.text)
			}
		}
		docs = append(docs,
			drawnObject("kubetask.io/v1alpha1", "Agent", "default", "spec", map[string]any{"agentImage": "alpine", "contexts": lists["agent"]}),
			drawnObject("kubetask.io/v1alpha1", "Task", "t", "spec", map[string]any{"description": description, "contexts": lists["task"]}))
		want := ""
		for i, part := range parts {
			switch {
			case i == 0:
			case strings.HasSuffix(parts[i-1], "\n"):
				want += "\n"
			default:
				want += "\n\n"
			}
			want += part
		}
		if got := taskMDOfObjects(t, docs); got != want {
			t.Fatalf("task.md\n got %q\nwant %q", got, want)
		}
	})
}

// taskMDOfObjects returns task.md of the Task t; "" = there is none.
func taskMDOfObjects(t *rapid.T, docs []map[string]any) string {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for i, doc := range docs {
		for _, field := range doc {
			if m, ok := field.(map[string]any); ok && m["contexts"] == nil {
				delete(m, "contexts") // null is no list
			}
		}
		src, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.json", i)), src, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	md, err := taskMDIn(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return string(md)
}
