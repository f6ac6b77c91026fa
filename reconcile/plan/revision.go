// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// revisionsKept is how many revisions of one TaskAgent are remembered.
const revisionsKept = 10

// The keys of the data of a [RecordRevision].
const (
	revisionDigest = "digest"
	revisionInputs = "inputs"
	revisionSpec   = "spec"
)

// Revision is what executions of a TaskAgent are made from: a spec, and the facts
// that it is bound to. One is recorded once all is there that a container of it
// takes.
type Revision struct {
	ID     ID
	Number int // from 1
	Digest string
	Inputs map[string]string // Input.String() → value
	Spec   Spec
	// Ready is since when it takes requests.
	Ready time.Time
}

// Name is what people call the revision: that of the agent, with five digits at
// least behind it.
func (r Revision) Name() string { return r.ID.Name + "-" + revisionKey(r.Number) }

// Image returns the reference of the image and the value that it is bound to, as
// in [Fact]; "" = it was not known.
func (r Revision) Image() (ref, bound string) {
	if r.Spec.Container == nil {
		return "", ""
	}
	ref = r.Spec.Container.Image
	return ref, r.Inputs[Input{InputImage, ref}.String()]
}

// Usable reports whether the spec is known, and is the one that was recorded.
func (r Revision) Usable() bool {
	return r.Spec.Container != nil && KnownDigest(r.Digest) && r.Spec.DigestAs(r.Digest) == r.Digest
}

// Record is the inverse of [Record.Revision].
func (r Revision) Record() Record {
	data := map[string]string{revisionDigest: r.Digest, revisionSpec: string(r.Spec.canonicalJSON())}
	if len(r.Inputs) > 0 {
		data[revisionInputs] = formatInputs(r.Inputs)
	}
	return Record{ID: r.ID, Kind: RecordRevision, Key: revisionKey(r.Number), At: r.Ready, Data: data}
}

// Revision reads a [RecordRevision]. False: it is none. A spec that makes no sense
// is empty.
func (r Record) Revision() (Revision, bool) {
	n := r.revisionNumber()
	if n == 0 {
		return Revision{}, false
	}
	rev := Revision{ID: r.ID.Canonical(), Number: n, Digest: r.Data[revisionDigest], Ready: r.At}
	rev.Inputs, _ = parseInputs(r.Data[revisionInputs])
	if err := json.Unmarshal([]byte(r.Data[revisionSpec]), &rev.Spec); err != nil {
		rev.Spec = Spec{}
	}
	return rev, true
}

// revisionNumber is the number of the revision that r records; 0 = it records none.
func (r Record) revisionNumber() int {
	n, err := strconv.Atoi(r.Key)
	if r.Kind != RecordRevision || err != nil || n < 1 {
		return 0
	}
	return n
}

func revisionKey(number int) string { return fmt.Sprintf("%05d", number) }
