// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
)

// HookDigest returns the digest of a hook, sha256:HEX: that of its commands, and
// of the files that they name. Files are the digests, sha256:HEX, of what is in
// them, by their slash path in the agent's folder.
func HookDigest(commands []string, files map[string]string) string {
	b, err := json.Marshal(struct {
		Commands []string          `json:"commands"`
		Files    map[string]string `json:"files,omitempty"`
	}{commands, files})
	if err != nil {
		return "" // text always has a JSON form
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// HookText returns what a hook is, for a person: its commands, then a line for
// each file that they name.
func HookText(commands []string, files map[string]string) []string {
	text := slices.Clone(commands)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text = append(text, "# "+name+" "+files[name])
	}
	return text
}

// Text is [HookText] of h.
func (h Hook) Text() []string { return HookText(h.Commands, h.Files) }
