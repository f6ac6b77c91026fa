// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
	"strings"
)

// why says in a few words what a revision is made for after last.
func (d *decision) why(last Revision, faults []Reason) string {
	var words []string
	for _, f := range faults {
		word := "template changed"
		switch f.Code {
		case CodeSpec:
			word = d.specWord(last)
		case CodeImage:
			word = "image digest moved"
		case CodeSecret:
			word = "secret changed"
		case CodeNeeds:
			word = "what it is bound to changed"
		case CodeBroken:
			word = "its record is damaged"
		case CodeWish:
			word = "reconcile refresh asked for it"
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// specWord says what of the spec is another than that of last. Not all of it is the
// template's.
func (d *decision) specWord(last Revision) string {
	differs := map[string]bool{}
	for _, path := range d.paths {
		field, _, _ := strings.Cut(path, ".")
		differs[field] = true
	}
	switch {
	case len(differs) != 1:
	case differs["image"]:
		return imageWord(last, d.res.Spec)
	case differs["mounts"]:
		return "state mount changed"
	case differs["network"]:
		return "network changed"
	}
	return "template changed"
}

// imageWord says how the image that now has is another than that of last. A reference
// that the lock file pins has a digest behind its tag.
func imageWord(last Revision, now Spec) string {
	ref, bound := last.Image()
	was, _, _ := strings.Cut(ref, "@")
	is, digest, pinned := strings.Cut(now.Container.Image, "@")
	switch {
	case was != is:
		return "image changed"
	case pinned && digest == bound:
		return "image pinned"
	case pinned:
		return "image digest moved"
	}
	return "image no longer pinned"
}
