// SPDX-License-Identifier: Apache-2.0

package schema

import (
	_ "crypto/sha256" // digests in image references
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
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
	if isJSONNumber(s) && !strings.HasPrefix(s, "-") {
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
	if strings.ContainsAny(s.V, "<>") {
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

// quantity reads a Kubernetes quantity, such as 512Mi or 0.5, as a multiple of
// unit, rounded up; 0 when absent.
func (c cursor) quantity(unit *big.Rat, example string) (Str, int64) {
	if !c.is("a number or text", NodeInt, NodeFloat, NodeString) {
		return Str{}, 0
	}
	s := Str{V: strings.TrimSpace(c.n.Text), Pos: c.n.Pos}
	v, ok := parseQuantity(s.V)
	if !ok || v.Sign() <= 0 {
		c.invalid(fmt.Sprintf("%s is not a quantity above 0", quoteKey(s.V)), "for example "+example)
		return s, 0
	}
	v.Quo(v, unit)
	n := new(big.Int).Add(v.Num(), new(big.Int).Sub(v.Denom(), big.NewInt(1)))
	n.Quo(n, v.Denom())
	if !n.IsInt64() {
		c.invalid(fmt.Sprintf("%s is too large", quoteKey(s.V)), "")
		return s, 0
	}
	return s, n.Int64()
}

var quantityForm = regexp.MustCompile(`^([0-9]{1,18}(?:\.[0-9]{1,18})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?$`)

func parseQuantity(s string) (*big.Rat, bool) {
	m := quantityForm.FindStringSubmatch(s)
	if m == nil {
		return nil, false
	}
	digits, suffix := m[1], m[2]
	if len(suffix) > 1 && suffix != "Ei" && (suffix[0] == 'e' || suffix[0] == 'E') {
		return new(big.Rat).SetString(digits + suffix)
	}
	v, ok := new(big.Rat).SetString(digits)
	if !ok || suffix == "" {
		return v, ok
	}
	if suffix == "m" {
		return v.Quo(v, big.NewRat(1000, 1)), true
	}
	base := int64(1000)
	if strings.HasSuffix(suffix, "i") {
		base = 1024
	}
	power := int64(strings.Index("kmgtpe", strings.ToLower(suffix[:1]))) + 1
	factor := new(big.Int).Exp(big.NewInt(base), big.NewInt(power), nil)
	return v.Mul(v, new(big.Rat).SetInt(factor)), true
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

// ParsePort reads `P`, `H:C`, `IP:H:C` or `[IPv6]:H:C`, each with an optional
// /tcp or /udp. `P` is published under its own number.
func ParsePort(s string) (Port, error) {
	p := Port{Protocol: "tcp"}
	addr, proto, hasProto := strings.Cut(s, "/")
	if hasProto {
		if p.Protocol = strings.ToLower(proto); p.Protocol != "tcp" && p.Protocol != "udp" {
			return Port{}, fmt.Errorf("the protocol %s is neither tcp nor udp", quoteKey(proto))
		}
	}
	if rest, v6 := strings.CutPrefix(addr, "["); v6 {
		ip, after, closed := strings.Cut(rest, "]:")
		if !closed {
			return Port{}, fmt.Errorf("an IPv6 address is written [IP]:HOST:CONTAINER")
		}
		return p.bound(ip, strings.Split(after, ":"))
	}
	switch parts := strings.Split(addr, ":"); len(parts) {
	case 1:
		return p.numbers([]string{parts[0], parts[0]})
	case 2:
		return p.numbers(parts)
	case 3:
		return p.bound(parts[0], parts[1:])
	}
	return Port{}, fmt.Errorf("%s has too many parts", quoteKey(s))
}

func (p Port) bound(ip string, parts []string) (Port, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Zone() != "" {
		return Port{}, fmt.Errorf("%s is not an IP address", quoteKey(ip))
	}
	p.HostIP = addr.String()
	return p.numbers(parts)
}

func (p Port) numbers(parts []string) (Port, error) {
	if len(parts) != 2 {
		return Port{}, fmt.Errorf("a host port and a container port are needed")
	}
	var err error
	if p.Host, err = portNumber(parts[0]); err != nil {
		return Port{}, err
	}
	p.Container, err = portNumber(parts[1])
	return p, err
}

func portNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || !isJSONInt(s) {
		return 0, fmt.Errorf("%s is not a port number", quoteKey(s))
	}
	if n < 1 || n > math.MaxUint16 {
		return 0, fmt.Errorf("port %d is not between 1 and 65535", n)
	}
	return uint16(n), nil
}
