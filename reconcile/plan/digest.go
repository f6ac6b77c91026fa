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

// canonicalJSON returns v as JSON with sorted keys, no white space and no
// HTML escapes. Numbers keep their spelling.
func canonicalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	compact := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return appendSorted(make([]byte, 0, len(compact)), compact), nil
}

// appendSorted appends the compact JSON value src to dst with the members of
// its objects in the order of their keys, all the way down.
func appendSorted(dst, src []byte) []byte {
	switch src[0] {
	case '{':
		members := elements(src)
		slices.SortFunc(members, func(a, b []byte) int { return bytes.Compare(memberKey(a), memberKey(b)) })
		dst = append(dst, '{')
		for i, m := range members {
			if i > 0 {
				dst = append(dst, ',')
			}
			key := valueEnd(m)
			dst = append(dst, m[:key+1]...)
			dst = appendSorted(dst, m[key+1:])
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		for i, e := range elements(src) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendSorted(dst, e)
		}
		return append(dst, ']')
	}
	return append(dst, src...)
}

// elements returns the members of a compact JSON object, key and value
// together, or the elements of an array.
func elements(src []byte) [][]byte {
	var list [][]byte
	for rest := src[1 : len(src)-1]; len(rest) > 0; {
		end := valueEnd(rest)
		if src[0] == '{' {
			end += 1 + valueEnd(rest[end+1:])
		}
		list = append(list, rest[:end])
		rest = rest[min(end+1, len(rest)):]
	}
	return list
}

// memberKey is the key of a member as it reads, without its quotes and escapes.
func memberKey(m []byte) []byte {
	quoted := m[:valueEnd(m)]
	if !bytes.ContainsRune(quoted, '\\') {
		return quoted[1 : len(quoted)-1]
	}
	var key string
	if err := json.Unmarshal(quoted, &key); err != nil {
		panic(fmt.Sprintf("key %s: %v", quoted, err)) // encoding/json wrote it
	}
	return []byte(key)
}

// valueEnd is where the compact JSON value at the start of src ends.
func valueEnd(src []byte) int {
	depth := 0
	for i := 0; i < len(src); i++ {
		switch src[i] {
		case '"':
			for i++; src[i] != '"'; i++ {
				if src[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ':':
			if depth == 0 {
				return i
			}
		}
	}
	return len(src)
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
