// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"mime"
	"strings"
)

// The annotations of a TaskAgent that mean something.
const (
	annotationPrefix      = "reconcile/"
	annotationContentType = annotationPrefix + "content-type"
	annotationWarm        = annotationPrefix + "warm"
)

// annotations reads those of a TaskAgent that are ours.
func (t *TaskAgent) annotations(c cursor) {
	for _, a := range c.at("metadata").at("annotations").entriesOf(NodeMap) {
		if !strings.HasPrefix(a.key.V, annotationPrefix) {
			continue
		}
		switch a.key.V {
		case annotationContentType:
			t.ContentType = a.mediaType()
		case annotationWarm:
			t.warm(a)
		default:
			hint := ""
			if near := nearest(a.key.V, []string{annotationContentType, annotationWarm}); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			c.warn(a.key.Pos, summaryNoEffect, fmt.Sprintf("there is no annotation %s", quoteKey(a.key.V)), hint)
		}
	}
}

func (t *TaskAgent) warm(a entry) {
	v := a.word()
	switch {
	case !v.IsSet():
	case v.V == "started":
		t.WarmStarted = true
		if t.WarmPoolSize == 0 {
			a.warn(v.Pos, summaryNoEffect, "there is no warm pool: warmPoolSize is 0", "")
		}
	case v.V == "initialised", v.V == "initialized":
	default:
		a.invalid(fmt.Sprintf("%s is neither started nor initialised", quoteKey(v.V)), "")
	}
}

// mediaType reads a type of content, with its parameters.
func (c cursor) mediaType() string {
	v := c.filled()
	if !v.IsSet() {
		return ""
	}
	typ, _, err := mime.ParseMediaType(v.V)
	if err != nil || !strings.Contains(typ, "/") {
		c.invalid(fmt.Sprintf("%s is not a media type", quoteKey(v.V)), `for example "application/json", or "text/plain; charset=utf-8"`)
		return ""
	}
	return v.V
}

// entriesOf are the entries of a value of the kind, and none of another, which is
// reported where it is read as a whole.
func (c cursor) entriesOf(kind NodeKind) []entry {
	if c.n == nil || c.n.Kind != kind {
		return nil
	}
	return c.entries()
}
