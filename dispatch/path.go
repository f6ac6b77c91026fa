// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"errors"
	"net/url"
	"strings"
)

// Root is the path below which instances are reached.
const Root = "/mcps"

// own is the path at an instance below which everything is that others reach.
const own = "/mcp"

// Handles reports whether a request for u is one for a [Router].
func Handles(u *url.URL) bool {
	return u.Path == Root || strings.HasPrefix(u.Path, Root+"/")
}

var errPath = errors.New("the path leads out of the instance's: it has a . or .. in it")

// split takes the path of u apart: the instance, "" for none, and the path at the
// instance, escaped as it was.
func split(u *url.URL) (instance, path string, err error) {
	rest := strings.TrimPrefix(strings.TrimPrefix(u.EscapedPath(), Root), "/")
	name, path, more := strings.Cut(rest, "/")
	if instance, err = url.PathUnescape(name); err != nil {
		return "", "", err
	}
	if !more || path == strings.TrimPrefix(own, "/") {
		return instance, own, nil
	}
	if leaves(path) {
		return instance, "", errPath
	}
	return instance, own + "/" + path, nil
}

// leaves reports whether somebody could understand an escaped path so that it
// leads upwards.
func leaves(escaped string) bool {
	for range 3 { // what is unescaped twice on the way is no better
		for part := range strings.FieldsFuncSeq(escaped, func(r rune) bool { return r == '/' || r == '\\' }) {
			if part == "." || part == ".." {
				return true
			}
		}
		plain, err := url.PathUnescape(escaped)
		if err != nil {
			return false
		}
		escaped = plain
	}
	return false
}

// relocate turns a redirect of an instance to a place of its own into one to the
// same place here. host is the instance's address.
func relocate(location, host, instance string) string {
	u, err := url.Parse(location)
	if err != nil || u.Host != "" && u.Host != host {
		return location
	}
	path := u.EscapedPath()
	switch {
	case path == own:
	case strings.HasPrefix(path, own+"/"):
		path = strings.TrimPrefix(path, own)
	default:
		return location
	}
	out := Root + "/" + url.PathEscape(instance) + path
	if u.RawQuery != "" {
		out += "?" + u.RawQuery
	}
	if u.Fragment != "" {
		out += "#" + u.EscapedFragment()
	}
	return out
}
