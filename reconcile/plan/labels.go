// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"maps"
	"strings"
)

// The labels that make an object ours. They are written and parsed nowhere
// but here.
const (
	LabelWorkspace = "reconcile.workspace"
	LabelRoot      = "reconcile.root"
	LabelID        = "reconcile.id"
	LabelOwner     = "reconcile.owner"
	LabelRole      = "reconcile.role"
	LabelRun       = "reconcile.run"
	LabelSession   = "reconcile.session"
	LabelDigest    = "reconcile.digest"
	LabelInputs    = "reconcile.inputs"
	LabelRevision  = "reconcile.revision"
	LabelKeep      = "reconcile.keep"
	LabelVersion   = "reconcile.version"
)

// imagePrefix takes the place of the prefix of the labels on an image of ours, so
// that no container made of it inherits what makes an object ours.
const (
	labelPrefix = "reconcile."
	imagePrefix = "reconcile-image."
)

// ImageLabels returns the labels that o, which is an image, carries at the
// runtime. None of them is one of a container.
func (o Object) ImageLabels() map[string]string {
	l := map[string]string{}
	for k, v := range o.Labels() {
		l[ImageLabel(k)] = v
	}
	return l
}

// ImageLabel is the name on an image of a label of this package.
func ImageLabel(name string) string { return imagePrefix + strings.TrimPrefix(name, labelPrefix) }

// ParseImageLabels is as [ParseLabels], for the labels of an image.
func ParseImageLabels(labels map[string]string) (Object, bool) {
	l := map[string]string{}
	for k, v := range labels {
		if rest, ok := strings.CutPrefix(k, imagePrefix); ok {
			l[labelPrefix+rest] = v
		}
	}
	o, ok := ParseLabels(l)
	return o, ok && o.Role == RoleImage && o.ID.Kind.Role() == RoleImage
}

// Labels returns the labels that o carries at the runtime. Empty values are
// left out.
func (o Object) Labels() map[string]string {
	l := map[string]string{
		LabelWorkspace: o.Workspace,
		LabelRoot:      o.Root,
		LabelID:        o.ID.String(),
		LabelOwner:     o.Owner,
		LabelRole:      string(o.Role),
		LabelRun:       o.Run,
		LabelSession:   o.Session,
		LabelDigest:    o.Digest,
		LabelInputs:    formatInputs(o.Inputs),
		LabelRevision:  o.Revision,
		LabelVersion:   o.Version,
	}
	if o.Keep {
		l[LabelKeep] = "true"
	}
	maps.DeleteFunc(l, func(_, v string) bool { return v == "" })
	return l
}

// ParseLabels returns the part of an object that its labels hold. It reports
// false for an object that is not ours: one without a workspace, a valid ID and
// a role, or with any label that [Object.Labels] would not have written.
func ParseLabels(labels map[string]string) (Object, bool) {
	id, err := ParseID(labels[LabelID])
	if err != nil {
		return Object{}, false
	}
	inputs, err := parseInputs(labels[LabelInputs])
	if err != nil {
		return Object{}, false
	}
	o := Object{
		ID:        id,
		Workspace: labels[LabelWorkspace],
		Root:      labels[LabelRoot],
		Owner:     labels[LabelOwner],
		Role:      Role(labels[LabelRole]),
		Run:       labels[LabelRun],
		Session:   labels[LabelSession],
		Digest:    labels[LabelDigest],
		Inputs:    inputs,
		Revision:  labels[LabelRevision],
		Version:   labels[LabelVersion],
	}
	switch labels[LabelKeep] {
	case "", "false":
	default: // whoever sets it by hand means it
		o.Keep = true
	}
	if o.Workspace == "" || o.Role == "" || o.ID.String() != labels[LabelID] {
		return Object{}, false
	}
	return o, true
}

func formatInputs(in map[string]string) string {
	if len(in) == 0 {
		return ""
	}
	b, err := canonicalJSON(in)
	if err != nil {
		return "" // a map of strings always has a JSON form
	}
	return string(b)
}

func parseInputs(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	var in map[string]string
	if err := json.Unmarshal([]byte(s), &in); err != nil {
		return nil, err
	}
	if len(in) == 0 {
		return nil, nil
	}
	return in, nil
}
