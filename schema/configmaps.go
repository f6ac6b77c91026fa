// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// ConfigMap is a core ConfigMap. A key is in one of the three maps.
type ConfigMap struct {
	Pos    Pos
	Data   map[string]string
	Binary map[string][]byte // decoded
	Files  map[string]Str    // paths relative to the document's folder (our addition)
}

// Secret is a core Secret. A key is in one of the two maps.
type Secret struct {
	Pos Pos
	// Plain are the values in clear, of data (decoded) and stringData. It is
	// empty when SOPS is set: the values are ciphertext then.
	Plain map[string][]byte
	// Encrypted are armored age messages (our addition).
	Encrypted map[string]string
	// SOPS marks a document that the sops program decrypts, and SOPSKeys are the
	// keys of its data and stringData, which are in clear; sorted.
	SOPS     bool
	SOPSKeys []string
}

func (c cursor) configMap() *ConfigMap {
	m := &ConfigMap{Pos: c.n.Pos}
	keys := map[string]Pos{}
	for _, e := range c.at("data").entries() {
		if c.dataKey(e.key, keys) && e.is("text", NodeString) {
			put(&m.Data, e.key.V, e.n.Text)
		}
	}
	for _, e := range c.at("binaryData").entries() {
		if v, ok := e.base64(); c.dataKey(e.key, keys) && ok {
			put(&m.Binary, e.key.V, v)
		}
	}
	for _, e := range c.at("files").entries() {
		if v := e.inside("this document's folder"); c.dataKey(e.key, keys) && v.IsSet() {
			put(&m.Files, e.key.V, v)
		}
	}
	return m
}

func (c cursor) secret() *Secret {
	s := &Secret{Pos: c.n.Pos, SOPS: c.at("sops").set()}
	keys := map[string]Pos{}
	plain := Pos{}
	for _, e := range c.at("data").entries() {
		plain = e.key.Pos
		if !c.dataKey(e.key, keys) {
			continue
		}
		if s.SOPS {
			s.SOPSKeys = append(s.SOPSKeys, e.key.V)
			continue
		}
		if v, ok := e.base64(); ok {
			put(&s.Plain, e.key.V, v)
		}
	}
	// As in Kubernetes, stringData wins over data, without a complaint.
	clear(keys)
	for _, e := range c.at("stringData").entries() {
		plain = e.key.Pos
		switch {
		case !c.dataKey(e.key, keys):
		case s.SOPS:
			s.SOPSKeys = append(s.SOPSKeys, e.key.V)
		case e.is("text", NodeString):
			put(&s.Plain, e.key.V, []byte(e.n.Text))
		}
	}
	slices.Sort(s.SOPSKeys)
	s.SOPSKeys = slices.Compact(s.SOPSKeys)
	for _, e := range c.at("encryptedData").entries() {
		if !c.dataKey(e.key, keys) || !e.is("text", NodeString) {
			continue
		}
		if !strings.HasPrefix(strings.TrimSpace(e.n.Text), "-----BEGIN AGE ENCRYPTED FILE-----") {
			e.invalid("not an armored age message", "encrypt with: age --armor")
			continue
		}
		put(&s.Encrypted, e.key.V, e.n.Text)
	}
	if !s.SOPS && plain != (Pos{}) {
		c.warn(c.n.Pos, summaryInsecure, "the secret is in plain text, for everybody who reads this file", "encrypt it, or keep it in the host's secret store")
	}
	return s
}

func put[T any](m *map[string]T, key string, v T) {
	if *m == nil {
		*m = map[string]T{}
	}
	(*m)[key] = v
}

// dataKey checks a key, which becomes a file's name, and that it is new.
func (c cursor) dataKey(key Str, seen map[string]Pos) bool {
	if !validDataKey(key.V) {
		c.fail(key.Pos, summaryName, fmt.Sprintf("%s cannot name an entry", quoteKey(key.V)),
			dataKeyHint)
		return false
	}
	if first, again := seen[key.V]; again {
		c.fail(key.Pos, summaryDupKey, fmt.Sprintf("%s is already set on line %d", quoteKey(key.V), first.Line), "remove one of the two")
		return false
	}
	seen[key.V] = key.Pos
	return true
}

const dataKeyHint = `use letters, digits, dots, dashes and underscores, at most 253; not "." and nothing that begins with ".."`

func validDataKey(s string) bool {
	if s == "" || len(s) > 253 || s == "." || strings.HasPrefix(s, "..") {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r != '.' && r != '-' && notEnvRune(r) }) < 0
}

// keyOf reads a key of something with data, such as "a secret".
func (c cursor) keyOf(what string) Str {
	s := c.word()
	if s.IsSet() && !validDataKey(s.V) {
		c.fail(s.Pos, summaryName, fmt.Sprintf("%s cannot be a key of %s", quoteKey(s.V), what), dataKeyHint)
	}
	return s
}

// base64 reads a value in base64. The message never shows it.
func (c cursor) base64() ([]byte, bool) {
	if !c.is("text", NodeString) {
		return nil, false
	}
	v, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c.n.Text), ""))
	if err != nil {
		c.invalid("not base64", "write plain text under data of a ConfigMap or stringData of a Secret")
		return nil, false
	}
	return v, true
}
