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

// The versions of digests. A change of the canonical form needs a new version,
// and [Spec.DigestAs] keeps the old one, or an upgrade of the tool recreates
// everything.
const (
	// digestV1 counts every field.
	digestV1 = "v1"
	// digestV2 leaves out where the files of a copy come from, since their hash
	// says what they are: the same files are the same agent, from a folder or
	// from any mirror of a repository. Specs without such a copy stay in v1, in
	// which they are the same.
	digestV2 = "v2"
)

// Digest returns the version, ":" and the SHA-256, in hex, of the canonical
// JSON of s. Equal specs have equal digests on every machine and in every build.
func (s Spec) Digest() string {
	for _, m := range s.mounts() {
		if m.fromElsewhere() {
			return s.digestIn(digestV2)
		}
	}
	return s.digestIn(digestV1)
}

// DigestAs returns the digest of s in the version that label, the digest of an
// object, carries. A version that this build does not know is answered as by
// Digest, so that the two differ; see [KnownDigest].
func (s Spec) DigestAs(label string) string {
	if !KnownDigest(label) {
		return s.Digest()
	}
	version, _, _ := strings.Cut(label, ":")
	return s.digestIn(version)
}

// KnownDigest reports whether this build can make digests in the version that
// label carries.
func KnownDigest(label string) bool {
	version, _, ok := strings.Cut(label, ":")
	return ok && (version == digestV1 || version == digestV2)
}

func (s Spec) digestIn(version string) string {
	if version == digestV2 {
		s = s.counted()
	}
	sum := sha256.Sum256(s.canonicalJSON())
	return version + ":" + hex.EncodeToString(sum[:])
}

// counted is s without what v2 leaves out.
func (s Spec) counted() Spec {
	if s.Container == nil {
		return s
	}
	c := *s.Container
	c.Mounts = slices.Clone(c.Mounts)
	for i, m := range c.Mounts {
		if m.fromElsewhere() {
			c.Mounts[i].From = ""
		}
	}
	s.Container = &c
	return s
}

// fromElsewhere reports whether m is a copy of files that its hash says all of.
func (m Mount) fromElsewhere() bool {
	return m.Type == MountCopy && m.TreeHash != "" && m.From != ""
}

func (s Spec) mounts() []Mount {
	if s.Container == nil {
		return nil
	}
	return s.Container.Mounts
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
// creation: its image, or the one it is made of, and every secret reference,
// sorted, each once.
func (s Spec) Inputs() []Input {
	var ins []Input
	add := func(image string, env []EnvVar) {
		if image != "" {
			ins = append(ins, Input{InputImage, image})
		}
		for _, e := range env {
			if e.Secret != "" {
				ins = append(ins, Input{InputSecret, e.Secret})
			}
		}
	}
	if c := s.Container; c != nil {
		add(c.Image, c.Env)
		for _, ref := range c.EnvFrom {
			ins = append(ins, Input{InputSecret, ref})
		}
		for _, f := range c.SecretFiles {
			ins = append(ins, Input{InputSecret, f.Ref})
		}
	}
	if i := s.Image; i != nil {
		add(i.Base, i.Env)
	}
	if s.Secret != nil && s.Secret.Ref != "" {
		ins = append(ins, Input{InputSecret, s.Secret.Ref})
	}
	slices.SortFunc(ins, Input.Compare)
	return slices.Compact(ins)
}

// gated reports whether an object of this spec is ready only once a probe says so.
func (s Spec) gated() bool { return s.Container != nil && s.Container.Readiness != nil }

// ports returns the ports that an object of this spec publishes, as written.
func (s Spec) ports() []Port {
	if s.Container == nil {
		return nil
	}
	return s.Container.Ports
}
