// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// Where sops has the keys of age, and what says so.
const (
	envKeyFile    = "SOPS_AGE_KEY_FILE"
	envKey        = "SOPS_AGE_KEY"
	envSSHKeyFile = "SOPS_AGE_SSH_PRIVATE_KEY_FILE"
)

// maxKeyFile bounds a file of identities in bytes.
const maxKeyFile = 1 << 20

// KeyFile is the file that the identities of age are read from: AgeKey, else
// $SOPS_AGE_KEY_FILE, else, without $SOPS_AGE_KEY, the file in which sops looks for
// them. "" = none. It need not exist.
func (o Options) KeyFile() string {
	switch {
	case o.AgeKey != "":
		return o.AgeKey
	case o.lookup(envKeyFile) != "":
		return o.lookup(envKeyFile)
	case o.lookup(envKey) != "":
		return ""
	}
	if dir := o.lookup("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "sops/age/keys.txt")
	}
	if dir := o.lookup("HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, ".config/sops/age/keys.txt")
	}
	return ""
}

// identities reads the identities that there are now.
func (o Options) identities() ([]age.Identity, error) {
	file := o.KeyFile()
	if file == "" {
		if text := o.lookup(envKey); text != "" {
			return parseIdentities("$"+envKey, []byte(text))
		}
		return nil, errors.New("there is no key: give one with --age-key")
	}
	text, err := readKeyFile(file)
	if errors.Is(err, os.ErrNotExist) && o.AgeKey == "" && o.lookup(envKeyFile) == "" {
		return nil, fmt.Errorf("there is no key: give one with --age-key, or put it at %s", file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	return parseIdentities(file, text)
}

func readKeyFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxKeyFile)
	}
	return b, err
}

// parseIdentities reads a private SSH key, or a line for each identity of age. What
// the parsers say is not passed on: it may quote a key.
func parseIdentities(from string, text []byte) ([]age.Identity, error) {
	switch {
	case isSSHKey(text):
		id, err := agessh.ParseIdentity(text)
		if _, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
			return nil, fmt.Errorf("the SSH key %s has a passphrase, for which nobody can be asked", from)
		}
		if err != nil {
			return nil, fmt.Errorf("%s is no private SSH key that age can use: ed25519 or RSA", from)
		}
		return []age.Identity{id}, nil
	case bytes.HasPrefix(text, []byte("age-encryption.org/")), bytes.HasPrefix(text, []byte("-----BEGIN AGE ENCRYPTED FILE-----")):
		return nil, fmt.Errorf("the key %s has a passphrase, for which nobody can be asked", from)
	}
	var all []age.Identity
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		ids, err := age.ParseIdentities(strings.NewReader(line))
		if err != nil {
			return nil, fmt.Errorf("%s:%d:1: no identity of age: those begin with AGE-SECRET-KEY-1", from, n)
		}
		all = append(all, ids...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no identity of age in %s", from)
	}
	return all, nil
}

func isSSHKey(text []byte) bool {
	text = bytes.TrimSpace(text)
	return bytes.HasPrefix(text, []byte("-----BEGIN ")) && bytes.Contains(text, []byte("PRIVATE KEY-----"))
}
