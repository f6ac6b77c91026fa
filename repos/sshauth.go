// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// sshKeys is what a server may be offered. Close it when the server has
// decided.
type sshKeys struct {
	methods []ssh.AuthMethod
	close   func()
}

// defaultKeys are tried in this order, after the agent's.
var defaultKeys = []string{"id_ed25519", "id_ecdsa", "id_rsa"}

// sshKeys never asks for a passphrase: keys that have one are the agent's
// business.
func (a Auth) sshKeys(u URL, secret string) (sshKeys, error) {
	switch {
	case secret != "":
		content, err := a.sshKey(secret)
		if err != nil {
			return sshKeys{}, err
		}
		return oneKey(content, fmt.Sprintf("the secret %q", secret))
	case a.SSHKey != "":
		content, err := private(a.SSHKey)
		if err != nil {
			return sshKeys{}, fmt.Errorf("%w: ssh key: %w", ErrAuth, err)
		}
		return oneKey(content, a.SSHKey)
	}
	return a.usualKeys(), nil
}

func oneKey(content []byte, name string) (sshKeys, error) {
	signer, err := ssh.ParsePrivateKey(content)
	missing := (*ssh.PassphraseMissingError)(nil)
	switch {
	case errors.As(err, &missing):
		return sshKeys{}, fmt.Errorf("%w: %s has a passphrase; add it to an ssh agent, or use a key without", ErrAuth, name)
	case err != nil:
		return sshKeys{}, fmt.Errorf("%w: %s is not a private key in PEM form", ErrAuth, name)
	}
	return sshKeys{methods: []ssh.AuthMethod{ssh.PublicKeys(signer)}, close: func() {}}, nil
}

// agentTimeout is how long an agent has for all it is asked for one login.
const agentTimeout = 30 * time.Second

// usualKeys are those of the agent, then those in ~/.ssh; a server gets no
// further than to the first it knows.
func (a Auth) usualKeys() sshKeys {
	var signers []ssh.Signer
	closeAgent := func() {}
	if sock := a.env("SSH_AUTH_SOCK"); sock != "" {
		if conn, err := net.Dial("unix", sock); err == nil {
			closeAgent = func() { _ = conn.Close() }
			_ = conn.SetDeadline(time.Now().Add(agentTimeout)) // an agent that hangs is as none
			if held, err := agent.NewClient(conn).Signers(); err == nil {
				signers = held
			}
		}
	}
	for _, file := range a.keyFiles() {
		content, err := private(file)
		if err != nil {
			continue // advice says so when the server lets nobody in
		}
		if signer, err := ssh.ParsePrivateKey(content); err == nil {
			signers = append(signers, signer)
		}
	}
	return sshKeys{methods: []ssh.AuthMethod{ssh.PublicKeys(signers...)}, close: closeAgent}
}

func (a Auth) keyFiles() []string {
	home := a.env("HOME")
	if home == "" {
		return nil
	}
	files := make([]string, 0, len(defaultKeys))
	for _, name := range defaultKeys {
		files = append(files, filepath.Join(home, ".ssh", name))
	}
	return files
}

// offered says which keys a server may have seen.
func (a Auth) offered() string {
	if a.SSHKey != "" {
		return "the key " + a.SSHKey
	}
	var from []string
	if a.env("SSH_AUTH_SOCK") != "" {
		from = append(from, "the keys of the ssh agent")
	}
	for _, file := range a.keyFiles() {
		switch content, err := private(file); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			from = append(from, fmt.Sprintf("not %s, since %v", filepath.Base(file), err))
		default:
			if _, err := ssh.ParsePrivateKey(content); err != nil {
				from = append(from, "not "+file+", which has a passphrase or is broken")
				continue
			}
			from = append(from, file)
		}
	}
	if len(from) == 0 {
		return "no keys: there is no ssh agent, and none in ~/.ssh"
	}
	return strings.Join(from, ", ")
}

func (a Auth) sshUser(u URL) (string, error) {
	if u.User != "" {
		return u.User, nil
	}
	me, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("name the user: %w", err)
	}
	return me.Username, nil
}

// hostKeys says which keys a server may have.
type hostKeys struct {
	files      []string
	algorithms []string // those of the known keys first; nil = any
	db         *knownhosts.HostKeyDB
	u          URL
	// content is what a secret says, in the place of files, which then is its name.
	content []byte
}

// hosts returns the keys of servers that are known: those that the secret has, or
// those in files.
func (a Auth) hosts(u URL, secret string) (hostKeys, error) {
	content, err := a.knownHosts(secret)
	switch {
	case err != nil:
		return hostKeys{}, err
	case len(content) > 0:
		k := hostKeys{u: u, content: content, files: []string{fmt.Sprintf("%s of the secret %q", keyKnownHosts, secret)}}
		return k, asFile(content, func(name string) error { return k.read([]string{name}) })
	}
	files := a.KnownHosts
	if files == nil {
		if home := a.env("HOME"); home != "" {
			files = append(files, filepath.Join(home, ".ssh", "known_hosts"))
		}
		files = append(files, "/etc/ssh/ssh_known_hosts")
	}
	k := hostKeys{files: files, u: u}
	var there []string
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			there = append(there, f)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return hostKeys{}, fmt.Errorf("%w: known hosts: %w", ErrAuth, err)
		}
	}
	return k, k.read(there)
}

func (k *hostKeys) read(files []string) error {
	db, err := knownhosts.NewDB(files...)
	switch {
	case err != nil && k.content != nil: // the name of a file that is gone says nothing
		return fmt.Errorf("%w: known hosts: %s cannot be read", ErrAuth, k.files[0])
	case err != nil:
		return fmt.Errorf("%w: known hosts: %w", ErrAuth, err)
	}
	k.db, k.algorithms = db, db.HostKeyAlgorithms(k.u.addr())
	return nil
}

// place is a line of a file of known keys.
func (k hostKeys) place(key xknownhosts.KnownKey) string {
	if k.content != nil {
		return fmt.Sprintf("%s, line %d", k.files[0], key.Line)
	}
	return fmt.Sprintf("%s:%d", key.Filename, key.Line)
}

func (k hostKeys) check(name string, addr net.Addr, key ssh.PublicKey) error {
	err := k.db.HostKeyCallback()(name, addr, key)
	if err == nil {
		return nil
	}
	fingerprint := ssh.FingerprintSHA256(key)
	known, revoked := (*xknownhosts.KeyError)(nil), (*xknownhosts.RevokedError)(nil)
	switch {
	case errors.As(err, &revoked):
		return fmt.Errorf("%w: the host key of %s (%s) is revoked by %s", ErrAuth, k.u.host(), fingerprint, k.place(revoked.Revoked))
	case errors.As(err, &known) && len(known.Want) > 0:
		return fmt.Errorf("%w: the host key of %s has changed: it is %s now, and %s has another; somebody may be in between",
			ErrAuth, k.u.host(), fingerprint, k.place(known.Want[0]))
	case errors.As(err, &known):
		return fmt.Errorf("%w: the host key of %s (%s %s) is in none of %s; once you have checked it, add what ssh-keyscan prints",
			ErrAuth, k.u.host(), key.Type(), fingerprint, strings.Join(k.files, ", "))
	}
	return fmt.Errorf("%w: the host key of %s (%s): %w", ErrAuth, k.u.host(), fingerprint, err)
}
