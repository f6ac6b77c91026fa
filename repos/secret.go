// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"cmp"
	"fmt"
	"os"
	"strings"
)

// Secret is a secret by its keys: username and password, or token, for http and
// https; ssh-privatekey, and maybe known_hosts, which then counts alone, for ssh.
//
// A secret that is one value has it under the key "": a private key (PEM),
// user:password, or a token. A token is sent as the password of a user that
// GitHub, GitLab, Gitea and Forgejo accept.
type Secret map[string][]byte

// The keys of a [Secret], as Kubernetes calls them.
const (
	keyUsername   = "username"
	keyPassword   = "password"
	keyToken      = "token"
	keySSH        = "ssh-privatekey"
	keyKnownHosts = "known_hosts"
)

// SecretKeys are the keys of a [Secret] that count.
func SecretKeys() []string {
	return []string{keyUsername, keyPassword, keyToken, keySSH, keyKnownHosts}
}

// line is a value of one line; "" = there is none.
func (s Secret) line(key, name string) (string, error) {
	text := strings.TrimRight(string(s[key]), "\r\n")
	if strings.ContainsAny(text, "\r\n\x00") {
		return "", fmt.Errorf("%w: the key %s of the secret %q is not one line", ErrAuth, key, name)
	}
	return text, nil
}

// login is what a secret of several keys says of http and https.
func (s Secret) login(u URL, name string) (login, error) {
	var values [3]string
	for i, key := range []string{keyUsername, keyPassword, keyToken} {
		var err error
		if values[i], err = s.line(key, name); err != nil {
			return login{}, err
		}
	}
	user, password := values[0], cmp.Or(values[1], values[2])
	if password == "" {
		return login{}, fmt.Errorf("%w: the secret %q has neither a password nor a token, which %s needs", ErrAuth, name, u.Scheme)
	}
	return login{cmp.Or(user, tokenUser), password}, nil
}

// sshKey is the private key of a secret.
func (a Auth) sshKey(name string) ([]byte, error) {
	s, err := a.secret(name)
	if err != nil {
		return nil, err
	}
	if content, single := s[""]; single {
		return content, nil
	}
	content := s[keySSH]
	if len(content) == 0 {
		return nil, fmt.Errorf("%w: the secret %q has no %s, which ssh needs", ErrAuth, name, keySSH)
	}
	if content[len(content)-1] != '\n' {
		content = append(content[:len(content):len(content)], '\n')
	}
	return content, nil
}

// knownHosts is what a secret says of the keys of servers; nil = nothing.
func (a Auth) knownHosts(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	s, err := a.secret(name)
	if err != nil {
		return nil, err
	}
	return s[keyKnownHosts], nil
}

// asFile has a function read content from a file, which is gone afterwards.
func asFile(content []byte, read func(name string) error) (err error) {
	f, err := os.CreateTemp("", "reconcile-known-hosts-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // of the temporary folder
	_, err = f.Write(content)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return read(f.Name())
}
