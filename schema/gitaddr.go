// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// gitRef reads a branch, tag or commit.
func (c cursor) gitRef() Str {
	s := c.filled()
	if s.IsSet() && (strings.HasPrefix(s.V, "-") || strings.Contains(s.V, "..") || strings.ContainsAny(s.V, " \t~^:?*[\\") ||
		strings.HasPrefix(s.V, "/") || strings.HasSuffix(s.V, "/") || strings.HasSuffix(s.V, ".lock")) {
		c.invalid(fmt.Sprintf("%s cannot name a branch, tag or commit", quoteKey(s.V)), "")
	}
	return s
}

var scpURL = regexp.MustCompile(`^[A-Za-z0-9._-]+@[A-Za-z0-9.\[\]:-]+:[^/\s].*$`)

// gitURL reads the address of a repository: https, http, ssh, git@host:path
// or file://; where folders are allowed, also a path.
func (c cursor) gitURL(folders bool) Str {
	s := c.filled()
	if !s.IsSet() || scpURL.MatchString(s.V) {
		return s
	}
	scheme, rest, isURL := strings.Cut(s.V, "://")
	switch {
	case strings.HasPrefix(s.V, "-") || strings.Contains(s.V, "::"):
		c.invalid(fmt.Sprintf("%s is not the address of a git repository", quoteKey(s.V)), "")
	case !isURL && folders:
	case !isURL && strings.HasPrefix(s.V, "/"):
		c.invalid(fmt.Sprintf("%s is not a git URL", quoteKey(s.V)), "of a repository in that folder write file://"+s.V)
	case !isURL:
		c.invalid(fmt.Sprintf("%s is not a git URL", quoteKey(s.V)), "use https://, ssh://, git@host:path or file://")
	case !slices.Contains([]string{"https", "http", "ssh", "file"}, scheme):
		c.invalid(fmt.Sprintf("%s has the scheme %s", quoteKey(s.V), quoteKey(scheme)), "use https://, http://, ssh://, git@host:path or file://")
	default:
		c.checkURL(scheme, rest, s)
	}
	return s
}

func (c cursor) checkURL(scheme, rest string, s Str) {
	u, err := url.Parse(s.V)
	if err != nil || scheme != "file" && u.Host == "" || rest == "" {
		c.invalid("is not a URL that can be used", "")
		return
	}
	if _, hasPassword := u.User.Password(); hasPassword {
		c.warn(s.Pos, summaryInsecure, "the URL contains a password, for everybody who reads this file", "use secretRef")
	}
	if scheme == "http" {
		c.warn(s.Pos, summaryInsecure, "http is neither encrypted nor authenticated", "use https")
	}
}
