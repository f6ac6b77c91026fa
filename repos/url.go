// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// URL is the address of a repository in its normal form: equal repositories
// have equal URLs, as far as the text can tell. It has no credentials.
type URL struct {
	Scheme string // https, http, ssh or file
	User   string // of ssh; "" = that of this process
	Host   string // in lower case, without port and brackets; "" for file
	Port   string // "" = that of the scheme
	// Path is what comes after the host, decoded. Only that of git@host:path may
	// not begin with a slash: it is relative to the user's home folder.
	Path string

	raw string // the path as it was escaped; "" = as usual
}

var (
	hostPattern = regexp.MustCompile(`^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?$`)
	userPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	scpPattern  = regexp.MustCompile(`^([^/:@\[\]]+)@(\[[0-9A-Fa-f:.]+\]|[^/:@\[\]]+):(.*)$`)
	schemeLike  = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`)
)

// ParseURL reads an address: https, http, ssh or file as a scheme,
// git@host:path, or the absolute path of a repository of this host. Its errors
// wrap [ErrURL] and never show what may be a credential.
func ParseURL(s string) (URL, error) {
	u, err := parseURL(s)
	if err != nil {
		return URL{}, fmt.Errorf("%w %q: %w", ErrURL, Redact(s), err)
	}
	return u, nil
}

func parseURL(s string) (URL, error) {
	switch {
	case s == "":
		return URL{}, errors.New("it is empty")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return URL{}, errors.New("it has control characters in it")
	case strings.HasPrefix(s, "-"):
		return URL{}, errors.New("it begins with a dash, like an option")
	case strings.HasPrefix(s, "/"):
		return local(s)
	case program(s):
		return URL{}, errors.New("transports of the form name::address run programs")
	case strings.ContainsFunc(s, unicode.IsSpace):
		return URL{}, errors.New("it has a space in it")
	}
	if m := schemeLike.FindStringSubmatch(s); m != nil {
		return parseScheme(strings.ToLower(m[1]), s)
	}
	if m := scpPattern.FindStringSubmatch(s); m != nil {
		return scp(m[1], m[2], m[3])
	}
	if strings.Contains(s, "@") && strings.Contains(s, ":") {
		return URL{}, errors.New("it is not of the form git@host:path; credentials belong into the credentials file")
	}
	return URL{}, errors.New("write https://…, ssh://…, git@host:path, file:///… or an absolute path")
}

// program is name::address, which git gives to git-remote-name.
func program(s string) bool {
	name, _, ok := strings.Cut(s, "::")
	return ok && !strings.ContainsAny(name, "@/[")
}

func parseScheme(scheme, s string) (URL, error) {
	switch scheme {
	case "https", "http", "ssh", "file":
	case "git":
		return URL{}, errors.New("the git protocol has neither encryption nor authentication; use https or ssh")
	default:
		return URL{}, fmt.Errorf("unknown scheme %q; use https, ssh or file", scheme)
	}
	p, err := url.Parse(s)
	if err != nil {
		return URL{}, errors.New("it is not a URL") // the error would show all of it
	}
	switch {
	case p.RawQuery != "" || p.ForceQuery:
		return URL{}, errors.New("it has a query (?…) in it")
	case p.Fragment != "" || strings.HasSuffix(s, "#"):
		return URL{}, errors.New("it has a fragment (#…) in it; branches and tags are named by the ref")
	case strings.ContainsFunc(p.Path, unicode.IsControl) || !utf8.ValidString(p.Path):
		return URL{}, errors.New("it has control characters in it")
	}
	if scheme == "file" {
		if p.User != nil || p.Host != "" && p.Host != "localhost" {
			return URL{}, errors.New("a file URL has no host; write file:///path")
		}
		return local(p.Path)
	}
	u := URL{Scheme: scheme, Path: strings.TrimRight(p.Path, "/")}
	if p.RawPath != "" {
		u.raw = strings.TrimRight(p.RawPath, "/")
	}
	if err := u.setUser(p.User); err != nil {
		return URL{}, err
	}
	if err := u.setHost(p.Hostname(), p.Port()); err != nil {
		return URL{}, err
	}
	if u.Path == "" {
		return URL{}, errors.New("it names a host and no repository")
	}
	return u, nil
}

func (u *URL) setUser(user *url.Userinfo) error {
	if user == nil {
		return nil
	}
	if _, has := user.Password(); has || u.Scheme != "ssh" {
		return errors.New("it has credentials in it; put them into the credentials file")
	}
	if u.User = user.Username(); !userPattern.MatchString(u.User) {
		return errors.New("the user's name has characters that no user's name has")
	}
	return nil
}

var defaultPorts = map[string]string{"https": "443", "http": "80", "ssh": "22"}

func (u *URL) setHost(host, port string) error {
	host = strings.ToLower(host)
	if host == "" {
		return errors.New("it has no host")
	}
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
	} else if !hostPattern.MatchString(host) {
		return errors.New("the host's name has characters that no host's name has")
	}
	u.Host = host
	if port == "" {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return errors.New("the port is not a number from 1 to 65535")
	}
	if p := strconv.FormatUint(n, 10); p != defaultPorts[u.Scheme] {
		u.Port = p
	}
	return nil
}

func local(name string) (URL, error) {
	if !strings.HasPrefix(name, "/") {
		return URL{}, errors.New("the path of a repository of this host is absolute")
	}
	return URL{Scheme: "file", Path: path.Clean(name)}, nil
}

func scp(user, host, name string) (URL, error) {
	if !userPattern.MatchString(user) {
		return URL{}, errors.New("the user's name has characters that no user's name has")
	}
	u := URL{Scheme: "ssh", User: user}
	if err := u.setHost(strings.Trim(host, "[]"), ""); err != nil {
		return URL{}, err
	}
	switch name = strings.TrimRight(name, "/"); {
	case name == "":
		return URL{}, errors.New("it names a host and no repository")
	case strings.HasPrefix(name, "-"):
		return URL{}, errors.New("the path begins with a dash, like an option")
	case strings.ContainsAny(name, "?#"):
		return URL{}, errors.New("it has ? or # in it")
	}
	u.Path = name
	return u, nil
}

// String returns the normal form, which [ParseURL] reads.
func (u URL) String() string {
	if u.relative() {
		host := u.Host
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return u.User + "@" + host + ":" + u.Path
	}
	v := url.URL{Scheme: u.Scheme, Host: u.host(), Path: u.Path, RawPath: u.raw}
	if u.User != "" {
		v.User = url.User(u.User)
	}
	return v.String()
}

// escapedPath is the path as it stands in a URL.
func (u URL) escapedPath() string {
	return (&url.URL{Path: u.Path, RawPath: u.raw}).EscapedPath()
}

// relative is git@host:path.
func (u URL) relative() bool { return u.Scheme == "ssh" && !strings.HasPrefix(u.Path, "/") }

// host is host, or host:port.
func (u URL) host() string {
	switch {
	case u.Port != "":
		return net.JoinHostPort(u.Host, u.Port)
	case strings.Contains(u.Host, ":"):
		return "[" + u.Host + "]"
	}
	return u.Host
}

// addr is host:port.
func (u URL) addr() string {
	if u.Port != "" {
		return net.JoinHostPort(u.Host, u.Port)
	}
	return net.JoinHostPort(u.Host, defaultPorts[u.Scheme])
}

// Local is the path of a repository of this host, else "".
func (u URL) Local() string {
	if u.Scheme != "file" {
		return ""
	}
	return filepath.FromSlash(u.Path)
}

// Redact hides what may be a credential in the text of an address: user and
// password, query and fragment.
func Redact(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if ok {
		s = scheme + "://" + redactLogin(scheme, rest)
	} else {
		s = redactLogin("", s)
	}
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i+1] + "***"
	}
	return s
}

// redactLogin hides user:password@ whatever the password has in it; the
// user alone is shown for ssh, of which it is no secret.
func redactLogin(scheme, s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	login := s[:at]
	ssh := scheme == "" || strings.EqualFold(scheme, "ssh")
	if ssh && userPattern.MatchString(login) || strings.Contains(login, "/") && !strings.ContainsAny(login, ":@") {
		return s
	}
	return "***@" + s[at+1:]
}
