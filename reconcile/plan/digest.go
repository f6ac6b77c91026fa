// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// digestVersion is the version in which new digests are made. A change of the
// canonical form needs a new version, and [Spec.DigestAs] keeps the old one, or
// an upgrade of the tool recreates everything.
const digestVersion = "v1"

// Digest returns "v1:" and the SHA-256, in hex, of the canonical JSON of s.
// Equal specs have equal digests on every machine and in every build.
func (s Spec) Digest() string {
	sum := sha256.Sum256(s.canonicalJSON())
	return digestVersion + ":" + hex.EncodeToString(sum[:])
}

// DigestAs returns the digest of s in the version that label, the digest of an
// object, carries. A version that this build does not know is answered in the
// current one, so that the two differ; see [KnownDigest].
func (s Spec) DigestAs(label string) string {
	// There is one version so far; each further one adds a branch here.
	_ = label
	return s.Digest()
}

// KnownDigest reports whether this build can make digests in the version that
// label carries.
func KnownDigest(label string) bool {
	version, _, ok := strings.Cut(label, ":")
	return ok && version == digestVersion
}

// canonicalJSON returns s as JSON with sorted keys and no white space.
func (s Spec) canonicalJSON() []byte {
	b, err := canonicalJSON(s)
	if err != nil {
		panic(fmt.Sprintf("a spec has no JSON form: %v", err)) // its types all have one
	}
	return b
}

// canonicalJSON returns v as JSON without white space and HTML escapes.
// encoding/json sorts the keys of maps; the fields of structs are in the order
// of their declaration, which a test holds to that of their names.
func canonicalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Inputs returns the facts that an object of this spec is bound to at
// creation: its image and every secret reference, sorted, each once.
func (s Spec) Inputs() []Input {
	var ins []Input
	if c := s.Container; c != nil {
		if c.Image != "" {
			ins = append(ins, Input{InputImage, c.Image})
		}
		for _, e := range c.Env {
			if e.Secret != "" {
				ins = append(ins, Input{InputSecret, e.Secret})
			}
		}
	}
	if s.Secret != nil && s.Secret.Ref != "" {
		ins = append(ins, Input{InputSecret, s.Secret.Ref})
	}
	slices.SortFunc(ins, Input.Compare)
	return slices.Compact(ins)
}

// ports returns the ports that an object of this spec publishes, as written.
func (s Spec) ports() []Port {
	if s.Container == nil {
		return nil
	}
	return s.Container.Ports
}
