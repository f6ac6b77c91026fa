// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"reconcile/schema"
)

// taskPart is a context in task.md.
type taskPart struct {
	name, namespace string
	typ             schema.ContextType
	content         []byte
	gap             string // why the content is not known; "" = it is
}

// taskMD returns task.md, nil for a task without any part: the description if it
// is not empty, then the contexts in their order. Content is taken byte for byte.
// One blank line stands between two parts, and nothing is added at the end: a
// description alone is the whole file as it is.
//
// A context is
//
//	<context name="N" namespace="NS" type="T">
//	CONTENT
//	</context>
//
// with a line feed added after content that does not end in one, empty content
// included. An attribute that would need quoting is an error. In the place of a
// context that is not known stands [GAP].
func taskMD(description string, contexts []taskPart) ([]byte, error) {
	size := len(description)
	for _, c := range contexts {
		size += len(c.content) + len(c.name) + len(c.namespace) + 80
	}
	b := bytes.NewBuffer(make([]byte, 0, size))
	b.WriteString(description)
	for _, c := range contexts {
		for _, attr := range []string{c.name, c.namespace, string(c.typ)} {
			if !plainAttribute(attr) {
				return nil, fmt.Errorf("%q cannot be an attribute in task.md", attr)
			}
		}
		if b.Len() > 0 {
			endLine(b)
			b.WriteByte('\n')
		}
		if c.gap != "" {
			fmt.Fprintf(b, "[%s]", c.gap)
			continue
		}
		fmt.Fprintf(b, "<context name=\"%s\" namespace=\"%s\" type=\"%s\">\n", c.name, c.namespace, c.typ)
		b.Write(c.content)
		if !bytes.HasSuffix(c.content, []byte("\n")) {
			b.WriteByte('\n')
		}
		b.WriteString("</context>")
	}
	if b.Len() == 0 {
		return nil, nil
	}
	return b.Bytes(), nil
}

// endLine ends the last line of b, unless it has ended.
func endLine(b *bytes.Buffer) {
	if !bytes.HasSuffix(b.Bytes(), []byte("\n")) {
		b.WriteByte('\n')
	}
}

// plainAttribute reports whether s is the same between double quotes as outside.
func plainAttribute(s string) bool {
	return !strings.ContainsAny(s, "\"<>&\\") && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// filesText is all keys of a ConfigMap as the content of one context, in the
// order of their bytes:
//
//	<file name="K">
//	VALUE
//	</file>
//
// A line feed follows each value, whether it ends in one or not.
func filesText(files map[string]*blob) []byte {
	var b bytes.Buffer
	for i, key := range slices.Sorted(maps.Keys(files)) {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "<file name=\"%s\">\n", key)
		b.Write(files[key].data)
		b.WriteString("\n</file>")
	}
	return b.Bytes()
}
