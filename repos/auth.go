// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"
)

// tokenUser is the user that a bare token is sent with. GitHub and GitLab take
// any name beside a token, and Gitea and Forgejo look at the password first.
const tokenUser = "x-access-token"

// maxCredentials bounds files that somebody named by mistake.
const maxCredentials = 1 << 20

// login is what basic authentication sends.
type login struct{ user, password string }

// login returns the credentials for a repository over http or https; false =
// there are none. Its errors wrap [ErrAuth] and never show a secret.
func (a Auth) login(u URL, secret string) (login, bool, error) {
	if secret == "" {
		return a.stored(u)
	}
	s, err := a.secret(secret)
	if err != nil {
		return login{}, false, err
	}
	content, single := s[""]
	if !single {
		l, err := s.login(u, secret)
		return l, err == nil, err
	}
	text := strings.TrimRight(string(content), "\r\n")
	switch {
	case bytes.Contains(content, []byte("PRIVATE KEY-----")):
		return login{}, false, fmt.Errorf("%w: the secret %q is a private key, which %s has no use for", ErrAuth, secret, u.Scheme)
	case text == "" || strings.ContainsAny(text, "\r\n\x00"):
		return login{}, false, fmt.Errorf("%w: the secret %q is not one line with user:password or a token", ErrAuth, secret)
	}
	if user, password, ok := strings.Cut(text, ":"); ok {
		return login{user, password}, true, nil
	}
	return login{tokenUser, text}, true, nil
}

func (a Auth) secret(name string) (Secret, error) {
	if a.Secret == nil {
		return nil, fmt.Errorf("%w: the secret %q is asked for, and there are no secrets", ErrAuth, name)
	}
	content, err := a.Secret(name)
	if err != nil {
		return nil, fmt.Errorf("%w: read secret %q: %w", ErrAuth, name, err)
	}
	return content, nil
}

// stored looks the credentials file through. Scheme, host and port of an entry
// must be those of u; of several entries the one with the longest path that u is
// below is taken, or the first.
func (a Auth) stored(u URL) (login, bool, error) {
	if a.Credentials == "" {
		return login{}, false, nil
	}
	content, err := private(a.Credentials)
	if errors.Is(err, fs.ErrNotExist) {
		return login{}, false, nil
	}
	if err != nil {
		return login{}, false, fmt.Errorf("%w: credentials file: %w", ErrAuth, err)
	}
	var best login
	length := -1
	for i, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, l, err := credential(line)
		if err != nil {
			return login{}, false, fmt.Errorf("%w: %s:%d: not of the form https://user:password@host", ErrAuth, a.Credentials, i+1)
		}
		if e.Scheme != u.Scheme || e.host() != u.host() || !below(u.Path, e.Path) {
			continue
		}
		if len(e.Path) > length {
			best, length = l, len(e.Path)
		}
	}
	return best, length >= 0, nil
}

// credential reads one line. Its path may be empty.
func credential(line string) (URL, login, error) {
	p, err := url.Parse(line)
	if err != nil || p.User == nil {
		return URL{}, login{}, errors.New("not a URL with a user")
	}
	e := URL{Scheme: strings.ToLower(p.Scheme), Path: strings.TrimRight(p.Path, "/")}
	if err := e.setHost(p.Hostname(), p.Port()); err != nil {
		return URL{}, login{}, err
	}
	password, ok := p.User.Password()
	if !ok { // a token and nothing else
		return e, login{tokenUser, p.User.Username()}, nil
	}
	return e, login{cmp.Or(p.User.Username(), tokenUser), password}, nil
}

func below(name, dir string) bool {
	return dir == "" || name == dir || strings.TrimSuffix(name, ".git") == dir || strings.HasPrefix(name, dir+"/")
}

// private reads a file that nobody but its owner may read.
func private(name string) (content []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", name)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o); chmod 600 it", name, info.Mode().Perm())
	}
	content, err = io.ReadAll(io.LimitReader(f, maxCredentials+1))
	if err == nil && len(content) > maxCredentials {
		err = fmt.Errorf("%s is larger than 1 MiB", name)
	}
	return content, err
}

func (a Auth) env(name string) string {
	look := a.LookupEnv
	if look == nil {
		look = os.LookupEnv
	}
	value, _ := look(name)
	return value
}

// advice says what to do when a remote wants to know who asks.
func (a Auth) advice(u URL) string {
	switch {
	case u.Scheme == "ssh":
		return "offered were " + a.offered()
	case a.Credentials == "":
		return "no credentials file is configured"
	}
	if _, err := os.Lstat(a.Credentials); errors.Is(err, fs.ErrNotExist) {
		return "the credentials file " + a.Credentials + " does not exist"
	}
	return fmt.Sprintf("the credentials file %s has nothing for %s://%s", a.Credentials, u.Scheme, u.host())
}
