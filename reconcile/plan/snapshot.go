// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// SnapshotKind is what a snapshot says that it is.
const SnapshotKind = "snapshot"

// Snapshot is a host as it was observed at one moment, to be planned against
// elsewhere. It has fingerprints of secrets, keyed with the host's key, and no
// values. Busy and Backoff, which no other moment shares, are not in it.
type Snapshot struct {
	Taken     time.Time
	Workspace string
	Root      string // of the workspace, as labels have it
	Dir       string // of its files on that host; absolute
	StateDir  string
	// Supervised: a daemon ran the workspace.
	Supervised bool
	Observed   Observed
}

// The JSON forms. Each has the fields of the type that it stands for, so that a
// field which is added there does not go missing here.

type snapshotJSON struct {
	FormatVersion string       `json:"format_version"`
	Kind          string       `json:"kind"`
	Taken         time.Time    `json:"taken"`
	Workspace     string       `json:"workspace"`
	Root          string       `json:"root"`
	Dir           string       `json:"dir"`
	StateDir      string       `json:"state_dir"`
	Supervised    bool         `json:"supervised"`
	Observed      observedJSON `json:"observed"`
}

type observedJSON struct {
	Objects     []objectJSON               `json:"objects"`
	Foreign     []objectJSON               `json:"foreign"`
	Inputs      map[Input]factJSON         `json:"inputs"`
	Incomplete  []Reason                   `json:"incomplete"`
	Records     recordsJSON                `json:"records"`
	Specs       map[string]json.RawMessage `json:"specs"`
	Converged   []ID                       `json:"converged"`
	HostHooks   map[ID]HostHook            `json:"host_hooks,omitempty"`
	Outcomes    map[ID]map[string]Outcome  `json:"outcomes,omitempty"`
	NoCommit    bool                       `json:"no_commit,omitempty"`
	NoHostPaths bool                       `json:"no_host_paths,omitempty"`
	Unenforced  map[Limit]string           `json:"unenforced,omitempty"`
}

type recordsJSON struct {
	Owner    string   `json:"owner"`
	Accepted []string `json:"accepted"`
	Records  []Record `json:"records"`
}

type factJSON struct {
	State  FactState `json:"state"`
	Value  string    `json:"value,omitempty"`
	Detail string    `json:"detail,omitempty"`
	Local  bool      `json:"local,omitempty"`
}

// objectJSON is an Object. A foreign one need not have a name in its ID.
type objectJSON struct {
	ID     objectID `json:"id"`
	Handle string   `json:"handle"`
	Name   string   `json:"name"`

	Workspace string            `json:"workspace,omitempty"`
	Root      string            `json:"root,omitempty"`
	Owner     string            `json:"owner,omitempty"`
	Role      Role              `json:"role,omitempty"`
	Run       string            `json:"run,omitempty"`
	Session   string            `json:"session,omitempty"`
	Digest    string            `json:"digest,omitempty"`
	Inputs    map[string]string `json:"inputs,omitempty"`
	Revision  string            `json:"revision,omitempty"`
	Version   string            `json:"version,omitempty"`
	Keep      bool              `json:"keep,omitempty"`

	State    State     `json:"state,omitempty"`
	ExitCode int       `json:"exit_code,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Image    string    `json:"image,omitempty"`
	Ports    []Port    `json:"ports,omitempty"`
	UsedBy   string    `json:"used_by,omitempty"`
	Drift    []Reason  `json:"drift,omitempty"`
	Health   *Health   `json:"health,omitempty"`
	Outcome  *Outcome  `json:"outcome,omitempty"`
}

// objectID is an ID that may lack its name.
type objectID ID

func (id objectID) MarshalText() ([]byte, error) { return []byte(ID(id).String()), nil }

func (id *objectID) UnmarshalText(b []byte) error {
	kind, ok := strings.CutSuffix(string(b), "/")
	if !ok {
		return (*ID)(id).UnmarshalText(b)
	}
	for _, k := range kinds {
		if strings.EqualFold(string(k), kind) {
			*id = objectID{Kind: k}
			return nil
		}
	}
	return fmt.Errorf("parse id %q: unknown kind", b)
}

func objectForm(o Object) objectJSON {
	return objectJSON{
		objectID(o.ID), o.Handle, o.Name, o.Workspace, o.Root, o.Owner, o.Role, o.Run, o.Session, o.Digest, o.Inputs,
		o.Revision, o.Version, o.Keep, o.State, o.ExitCode, o.Created.UTC(), o.Started.UTC(), o.Finished.UTC(), o.Image, o.Ports, o.UsedBy, o.Drift, o.Health, o.Outcome,
	}
}

func (o objectJSON) object() Object {
	return Object{
		ID(o.ID), o.Handle, o.Name, o.Workspace, o.Root, o.Owner, o.Role, o.Run, o.Session, o.Digest, o.Inputs,
		o.Revision, o.Version, o.Keep, o.State, o.ExitCode, o.Created, o.Started, o.Finished, o.Image, o.Ports, o.UsedBy, o.Drift, o.Health, o.Outcome,
	}
}

func objectForms(objs []Object) []objectJSON {
	out := []objectJSON{}
	for _, o := range objs {
		out = append(out, objectForm(o))
	}
	slices.SortStableFunc(out, func(a, b objectJSON) int {
		return cmp.Or(ID(a.ID).Compare(ID(b.ID)), cmp.Compare(a.Handle, b.Handle))
	})
	return out
}

func objectsOf(forms []objectJSON) []Object {
	var out []Object
	for _, f := range forms {
		out = append(out, f.object())
	}
	return out
}

func factForms(facts map[Input]Fact) map[Input]factJSON {
	out := map[Input]factJSON{}
	for in, f := range facts {
		out[in] = factJSON(f)
	}
	return out
}

func factsOf(forms map[Input]factJSON) map[Input]Fact {
	out := map[Input]Fact{}
	for in, f := range forms {
		out[in] = Fact(f)
	}
	return out
}

// hostHookForms are facts with their times in UTC; nil for none.
func hostHookForms(facts map[ID]HostHook) map[ID]HostHook {
	var out map[ID]HostHook
	for id, h := range facts {
		if out == nil {
			out = map[ID]HostHook{}
		}
		h.At = h.At.UTC()
		out[id.Canonical()] = h
	}
	return out
}

// JSON returns s as a file has it, indented and with a final newline.
func (s Snapshot) JSON() ([]byte, error) {
	o := s.Observed
	out := snapshotJSON{
		FormatVersion: FormatVersion, Kind: SnapshotKind, Taken: s.Taken.UTC(),
		Workspace: s.Workspace, Root: s.Root, Dir: s.Dir, StateDir: s.StateDir, Supervised: s.Supervised,
		Observed: observedJSON{
			Objects: objectForms(o.Objects), Foreign: objectForms(o.Foreign), Inputs: factForms(o.Inputs),
			Incomplete: list(o.Incomplete),
			Records:    recordsJSON{o.Records.Owner, list(o.Records.Accepted), list(o.Records.Records)},
			Specs:      maps.Clone(o.Specs), Converged: list(o.Converged),
			HostHooks: hostHookForms(o.HostHooks), Outcomes: o.Outcomes, NoCommit: o.NoCommit, NoHostPaths: o.NoHostPaths,
			Unenforced: o.Unenforced,
		},
	}
	if out.Observed.Specs == nil {
		out.Observed.Specs = map[string]json.RawMessage{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return nil, fmt.Errorf("write snapshot: %w", err)
	}
	return b.Bytes(), nil
}

// ParseSnapshot is the inverse of [Snapshot.JSON]. A snapshot of another major
// version, or with something in it that this build does not know, is refused.
func ParseSnapshot(b []byte) (Snapshot, error) {
	if err := CheckFormat(b, SnapshotKind); err != nil {
		return Snapshot{}, err
	}
	var in snapshotJSON
	if err := decodeStrictly(b, &in); err != nil {
		return Snapshot{}, fmt.Errorf("read snapshot: %w", err)
	}
	if in.Workspace == "" || in.Root == "" || in.Taken.IsZero() {
		return Snapshot{}, errors.New("read snapshot: it does not say of which workspace it is, or when it was taken")
	}
	o := in.Observed
	s := Snapshot{
		Taken: in.Taken, Workspace: in.Workspace, Root: in.Root, Dir: in.Dir, StateDir: in.StateDir, Supervised: in.Supervised,
		Observed: Observed{
			Objects: objectsOf(o.Objects), Foreign: objectsOf(o.Foreign), Inputs: factsOf(o.Inputs),
			Incomplete: o.Incomplete, Records: Records{o.Records.Owner, o.Records.Accepted, o.Records.Records},
			Specs: map[string]json.RawMessage{}, Converged: o.Converged,
			HostHooks: o.HostHooks, Outcomes: o.Outcomes, NoCommit: o.NoCommit, NoHostPaths: o.NoHostPaths,
			Unenforced: o.Unenforced,
		},
	}
	for _, obj := range s.Observed.Objects {
		if obj.ID.Name == "" {
			return Snapshot{}, errors.New("read snapshot: an object has no name in its id")
		}
	}
	for digest, spec := range o.Specs {
		var compact bytes.Buffer
		if err := json.Compact(&compact, spec); err != nil {
			return Snapshot{}, fmt.Errorf("read snapshot: spec %s: %w", digest, err)
		}
		s.Observed.Specs[digest] = compact.Bytes()
	}
	return s, nil
}

// CheckFormat reports whether b is a JSON document of the kind and of a version
// that this build can read.
func CheckFormat(b []byte, kind string) error {
	var head struct {
		FormatVersion string `json:"format_version"`
		Kind          string `json:"kind"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return fmt.Errorf("it is no %s: %w", kind, err)
	}
	if head.Kind != kind {
		return fmt.Errorf("it is no %s: its kind is %q", kind, head.Kind)
	}
	major, _, _ := strings.Cut(FormatVersion, ".")
	if got, _, _ := strings.Cut(head.FormatVersion, "."); got != major {
		return fmt.Errorf("it is a %s of format %q, and this build reads %s.x", kind, head.FormatVersion, major)
	}
	return nil
}

// decodeStrictly decodes one JSON document that has no field which v lacks.
func decodeStrictly(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}
