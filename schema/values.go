// SPDX-License-Identifier: Apache-2.0

package schema

import (
	_ "crypto/sha256" // digests in image references
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
)

// duration reads a Go duration above 0; 0 when absent.
func (c cursor) duration() time.Duration {
	s := c.word()
	if !s.IsSet() {
		return 0
	}
	d, err := time.ParseDuration(s.V)
	if err != nil || d <= 0 {
		c.invalid(fmt.Sprintf("%s is not a duration above 0", quoteKey(s.V)), durationHint(s.V))
		return 0
	}
	return d
}

// durationHint shows the spelling; a bare number was meant in seconds.
func durationHint(s string) string {
	if d, err := time.ParseDuration(s + "s"); err == nil && d > 0 && isJSONNumber(s) {
		return fmt.Sprintf("write %q for seconds", s+"s")
	}
	return `a duration is a number with a unit: "90s", "10m", "1h30m"`
}

// image reads an image reference.
func (c cursor) image() Str {
	s := c.filled()
	if !s.IsSet() {
		return s
	}
	if strings.ContainsAny(s.V, "<>{}") {
		c.invalid(fmt.Sprintf("%s is a placeholder, not an image", quoteKey(s.V)), "put your own registry and image name in its place")
		return s
	}
	if _, err := reference.ParseNormalizedNamed(s.V); err != nil {
		hint := ""
		switch {
		case s.V != strings.ToLower(s.V):
			hint = "image names are lower case (tags may have capitals)"
		case strings.Contains(s.V, "://"):
			hint = "leave out the scheme: registry/name:tag"
		}
		c.invalid(fmt.Sprintf("%s is not an image reference (registry/name:tag or registry/name@sha256:…)", quoteKey(s.V)), hint)
	}
	return s
}

// envName reports a name that no environment variable can have.
func (r *reader) envName(name Str) bool {
	if name.V != "" && strings.IndexFunc(name.V, notEnvRune) < 0 && (name.V[0] < '0' || name.V[0] > '9') {
		return true
	}
	r.fail(name.Pos, summaryName, fmt.Sprintf("%s cannot name an environment variable", quoteKey(name.V)),
		"use letters, digits and underscores, not a digit first")
	return false
}

func notEnvRune(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// IsName reports whether s is a DNS label: at most 63 lower-case letters,
// digits and dashes, with a letter or digit at both ends.
func IsName(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }) < 0
}

// absolutePath reads a cleaned absolute path that is not the root. A path with
// ".." is refused rather than cleaned.
func (c cursor) absolutePath() Str {
	s := c.filled()
	switch {
	case !s.IsSet():
		return s
	case !path.IsAbs(s.V):
		c.invalid(fmt.Sprintf("%s is not an absolute path", quoteKey(s.V)), "")
	case climbs(s.V):
		c.invalid(fmt.Sprintf(`%s contains ".."`, quoteKey(s.V)), "")
	case path.Clean(s.V) == "/":
		c.invalid("must not be the root directory", "")
	}
	s.V = path.Clean(s.V)
	return s
}

// inside reads a path relative to some folder that must not leave it.
func (c cursor) inside(of string) Str {
	s := c.filled()
	switch {
	case !s.IsSet():
		return s
	case path.IsAbs(s.V):
		c.invalid(fmt.Sprintf("%s must be relative to %s", quoteKey(s.V), of), "")
	case leaves(s.V):
		c.invalid(fmt.Sprintf("%s leads out of %s", quoteKey(s.V), of), "")
	}
	return s
}

// climbs reports whether a path has a ".." component.
func climbs(p string) bool { return slices.Contains(strings.Split(p, "/"), "..") }

// leaves reports whether a relative path leads out of where it starts.
func leaves(p string) bool {
	clean := path.Clean(p)
	return clean == ".." || strings.HasPrefix(clean, "../")
}
