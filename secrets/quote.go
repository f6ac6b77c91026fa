// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const redacted = "[redacted]"

// neverQuoted are digests and keys: a file's MAC is a digest of its values.
var neverQuoted = regexp.MustCompile(`[0-9A-Fa-f]{64,}|AGE-SECRET-KEY-[0-9A-Za-z-]*|AGE-PLUGIN-[0-9A-Za-z-]*`)

// minPrivate is the length from which a text is private: less is in every sentence.
const minPrivate = 4

// quote makes one harmless line of what sops said, without private.
func quote(said string, private []string) string {
	words := strings.Fields(strings.ToValidUTF8(said, "?"))
	// sops breaks lines between words, and begins them with these.
	words = slices.DeleteFunc(words, func(w string) bool { return w == "|" || w == "-" })
	said = strings.Join(words, " ")
	for _, text := range private {
		said = strings.ReplaceAll(said, strings.Join(strings.Fields(text), " "), redacted)
	}
	said = neverQuoted.ReplaceAllString(said, redacted)
	said = strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r < 0xa0 {
			return '?'
		}
		return r
	}, said)
	if len(said) <= maxQuote {
		return said
	}
	cut := maxQuote
	for !utf8.RuneStart(said[cut]) {
		cut--
	}
	return said[:cut] + "…"
}

// privateTexts are what sops may not be quoted with: the credentials of env, and
// what is in the file and should be encrypted but is not. nil = the file cannot be
// read.
func privateTexts(file []byte, env []string) []string {
	all := []string{}
	for _, v := range env {
		if name, value, _ := strings.Cut(v, "="); slices.Contains(secretVariables(), name) {
			all = append(all, value)
		}
	}
	loader, err := yaml.NewLoader(bytes.NewReader(file))
	if err != nil {
		return nil
	}
	for {
		var n yaml.Node
		err := loadNode(loader, &n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil
		}
		all = appendTexts(all, &n)
	}
	all = slices.DeleteFunc(all, func(s string) bool { return len(strings.TrimSpace(s)) < minPrivate })
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // parts of others come last
	return all
}

// appendTexts appends the values in clear that are below n, save what sops itself
// has written.
func appendTexts(all []string, n *yaml.Node) []string {
	switch n.Kind {
	case yaml.ScalarNode:
		if !strings.HasPrefix(n.Value, "ENC[") {
			all = append(all, n.Value)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value != "sops" {
				all = appendTexts(all, n.Content[i+1])
			}
		}
	case yaml.DocumentNode, yaml.SequenceNode:
		for _, c := range n.Content {
			all = appendTexts(all, c)
		}
	}
	return all
}
