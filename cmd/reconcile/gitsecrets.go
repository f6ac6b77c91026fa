// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"reconcile/repos"
)

// maxSecret bounds a file of the secrets directory, as Podman bounds a secret.
const maxSecret = 512_000

// gitSecret is what a repository is asked for with: a file of the secrets
// directory, or the files of a folder there.
func (a *app) gitSecret(name string) (repos.Secret, error) {
	s, err := a.readSecret(name)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	return s, nil
}

func (a *app) readSecret(name string) (repos.Secret, error) {
	if a.secretsDir == "" {
		return nil, errors.New("there is no --secrets-dir")
	}
	root, err := os.OpenRoot(a.secretsDir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		value, err := readSecretIn(root.FS(), name)
		return repos.Secret{"": value}, err
	}
	s := repos.Secret{}
	for _, key := range repos.SecretKeys() {
		value, err := readSecretIn(root.FS(), path.Join(name, key))
		switch {
		case err == nil:
			s[key] = value
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if len(s) == 0 {
		return nil, fmt.Errorf("the folder has none of %s", strings.Join(repos.SecretKeys(), ", "))
	}
	return s, nil
}

func readSecretIn(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(b) > maxSecret {
		err = errors.New("larger than 500 KiB")
	}
	return b, err
}
