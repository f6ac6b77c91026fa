// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"strings"
)

// Kind names what a resource is, spelled as in the file formats.
type Kind string

// The kinds of resources. Network, Volume, Secret and Image are what instances
// need and no document names; the others are kinds of documents. An Image is
// what the install hook of the instance with the same name makes.
const (
	Manifest    Kind = "Manifest"
	DaemonAgent Kind = "DaemonAgent"
	TaskAgent   Kind = "TaskAgent"
	Task        Kind = "Task"
	CronTask    Kind = "CronTask"
	Network     Kind = "Network"
	Volume      Kind = "Volume"
	Secret      Kind = "Secret"
	Image       Kind = "Image"
)

// kinds lists every kind in the order in which plans print them.
var kinds = []Kind{Network, Volume, Secret, Image, Manifest, DaemonAgent, TaskAgent, Task, CronTask}

// DefaultNamespace is the namespace of a document that names none.
const DefaultNamespace = "default"

// ID identifies a resource within its workspace. Several objects may carry one
// ID: a new generation beside the old one.
type ID struct {
	Kind      Kind
	Namespace string // "" and DefaultNamespace are the same and print as nothing
	Name      string
}

// String returns kind/[namespace/]name in the form that labels, plans and the
// command line use: the kind in lower case, the default namespace left out.
func (id ID) String() string {
	kind := strings.ToLower(string(id.Kind))
	if id.Namespace == "" || id.Namespace == DefaultNamespace {
		return kind + "/" + id.Name
	}
	return kind + "/" + id.Namespace + "/" + id.Name
}

// ParseID is the inverse of [ID.String].
func ParseID(s string) (ID, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return ID{}, fmt.Errorf("parse id %q: want kind/[namespace/]name", s)
	}
	id := ID{Name: parts[len(parts)-1]}
	if len(parts) == 3 {
		id.Namespace = parts[1]
	}
	for _, k := range kinds {
		if strings.EqualFold(string(k), parts[0]) {
			id.Kind = k
		}
	}
	if id.Kind == "" || id.Name == "" {
		return ID{}, fmt.Errorf("parse id %q: unknown kind or empty name", s)
	}
	return id, nil
}

// MarshalText makes IDs usable as JSON strings and map keys.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	*id = v
	return err
}

// Role returns the role that objects of the kind have.
func (k Kind) Role() Role {
	switch k {
	case Network, Volume, Secret:
		return RoleSupport
	case Image:
		return RoleImage
	}
	return RoleInstance
}

// Canonical returns the one spelling of an ID, fit for a map key: its namespace is
// "" for the default one.
func (id ID) Canonical() ID {
	if id.Namespace == DefaultNamespace {
		id.Namespace = ""
	}
	return id
}

// FullNamespace returns the namespace, the default one by its name.
func (id ID) FullNamespace() string { return cmp.Or(id.Namespace, DefaultNamespace) }

// NamespacedName returns NAMESPACE/NAME, the default namespace by its name: what
// requests, metrics and folders call it by.
func (id ID) NamespacedName() string { return id.FullNamespace() + "/" + id.Name }

// Compare orders IDs by their text form.
func (id ID) Compare(other ID) int { return cmp.Compare(id.String(), other.String()) }
