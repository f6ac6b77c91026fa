// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"errors"
	"regexp"
	"strings"
)

const summaryCommand = "invalid command"

// assignment is a first word that only a shell understands: NAME=value.
var assignment = regexp.MustCompile(`^\s*[A-Za-z_][A-Za-z0-9_]*=`)

// needsShell reports whether a command line has characters that mean something
// to a shell: operators, expansions, patterns, comments, assignments before the
// command. Quotes and backslashes alone do not; [split] understands them.
func needsShell(text string) bool {
	if assignment.MatchString(text) {
		return true
	}
	quote, wordStart := rune(0), true
	escaped := false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quote == '\'':
			if c == quote {
				quote = 0
			}
		case c == '\\':
			escaped = true
		case c == '$' || c == '`':
			return true
		case quote == '"':
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case strings.ContainsRune("|&;<>()*?[\n", c), wordStart && (c == '#' || c == '~' || c == '!'):
			return true
		}
		wordStart = quote == 0 && (c == ' ' || c == '\t')
	}
	return false
}

var (
	errQuote = errors.New("a quote is not closed")
	errSlash = errors.New("nothing follows the last backslash")
)

// split splits a command line into words as a shell does, expanding nothing.
func split(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, escaped := false, false
	quote := rune(0)
	for _, c := range text {
		switch {
		case escaped:
			if quote == '"' && !strings.ContainsRune("\"\\$`", c) {
				word.WriteRune('\\')
			}
			word.WriteRune(c)
			escaped = false
		case quote == '\'' && c != quote, quote == '"' && c != quote && c != '\\':
			word.WriteRune(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\':
			escaped, inWord = true, true
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case strings.ContainsRune(" \t\r\n", c):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	switch {
	case quote != 0:
		return nil, errQuote
	case escaped:
		return nil, errSlash
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
